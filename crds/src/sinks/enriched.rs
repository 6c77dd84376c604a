//! `spec.sinks.enriched`.

use crate::{Duration, Quantity, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every committed event on a stream for others to read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Enriched {
    /// A stream on the server of log.nats.
    pub nats: EnrichedNats,
}

/// A stream of NATS JetStream. What is beyond its limits goes, the oldest first.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct EnrichedNats {
    /// How many bytes the stream may hold, 16Mi to 10Ti. Default: 5Gi.
    #[serde(default = "default_bytes")]
    #[x_kube(validation = rules::size_within("16Mi", "10Ti"))]
    pub max_bytes: Quantity,
    /// How old a message may become, 1m or more. Default: absent, which is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_at_least("1m"))]
    pub max_age: Option<Duration>,
}

const fn default_bytes() -> Quantity {
    Quantity::from_mebibytes(5 * 1024)
}
