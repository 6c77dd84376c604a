//! `spec.mesh`, `spec.monitoring`: who encrypts between pods, and who watches them.

use crate::{Duration, patterns, rules};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The mesh that the pods are in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// Istio.
    pub istio: Istio,
}

/// How the pods are in Istio's mesh. Traffic to them is encrypted and from known clients, but for health and metrics.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.revision) || self.mode == 'Sidecar'")
    .message("names a revision with mode Ambient, which has none; leave it out"))]
pub struct Istio {
    /// Sidecar puts a proxy into each pod; Ambient leaves it to the node. Default: Sidecar.
    #[serde(default)]
    pub mode: MeshMode,
    /// The revision of Istio that puts the proxies in. Default: absent, which is the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 56), regex(pattern = patterns::NAMESPACE.regex))]
    pub revision: Option<String>,
    /// Who may see the page and the statistics of the pods, at most 32: identities as namespace/account, such as
    /// ops/dashboard. Health and metrics are open. Default: absent, which is nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 3, max = 317), regex(pattern = patterns::ACCOUNT.regex)))]
    pub allow: Vec<String>,
}

/// Where the proxies of a mesh are.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshMode {
    /// In each pod.
    #[default]
    Sidecar,
    /// On the node.
    Ambient,
}

/// How the metrics of the pods are found: a PodMonitor of the prometheus-operator is made.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Labels of the PodMonitor, by which a Prometheus takes it, such as release: prometheus.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels")]
    pub labels: BTreeMap<String, String>,
    /// How often metrics are read, 1s to 1h. Default: 30s.
    #[serde(default = "default_interval")]
    #[x_kube(validation = rules::duration_within("1s", "1h"))]
    pub interval: Duration,
}

const fn default_interval() -> Duration {
    Duration::from_secs(30)
}

/// Labels of an object.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 63 }, "maxProperties": 32 })
}
