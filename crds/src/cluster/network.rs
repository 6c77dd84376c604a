//! `spec.network`: whom the pods may speak to.

use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whom the pods may speak to: NetworkPolicies are made, which let in who reads metrics and health, and let out to DNS and to
/// what is named here. They know addresses and pods, no names of hosts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// Pods of this cluster that the pipeline needs, such as NATS and PostgreSQL, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub peers: Vec<Peer>,
    /// Addresses outside that the pipeline needs, such as the source, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub egress: Vec<Egress>,
}

/// Pods of this cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Their namespace. Default: absent, which is that of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::NAMESPACE.regex))]
    pub namespace: Option<String>,
    /// Their labels. Default: absent, which is every pod there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "super::mesh::labels")]
    pub labels: BTreeMap<String, String>,
    /// The ports of the pods (not of their Service), 1 to 16.
    #[schemars(length(min = 1, max = 16), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
}

/// Addresses outside.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Egress {
    /// The network, as 203.0.113.0/24 or 2001:db8::/32.
    #[schemars(length(min = 3, max = 64))]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("is not a network; give an address with a prefix, such as 203.0.113.0/24"))]
    pub cidr: String,
    /// Its ports, 1 to 16. Default: 443.
    #[serde(default = "https")]
    #[schemars(length(min = 1, max = 16), inner(range(min = 1, max = 65535)))]
    pub ports: Vec<u16>,
}

fn https() -> Vec<u16> {
    vec![443]
}
