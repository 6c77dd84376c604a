//! `spec.ingest`, `spec.workers`, `spec.tracing`: the processes that do the work.

use crate::{Duration, Quantity, patterns, rules};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The processes that read the source: one is active, the others stand by.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// How many there are on a cluster, 1 to 5. Default: 2.
    #[serde(default = "default_ingesters")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: u16,
}

const fn default_ingesters() -> u16 {
    2
}

/// The processes that do the work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// How many there are on a cluster, 0 to 1024; more than there are partitions do nothing. Default: 1.
    #[serde(default = "default_workers")]
    #[schemars(range(min = 0, max = 1024))]
    pub replicas: u16,
    /// How long a worker has to finish and commit when it is told to stop, 1s to 1h. Default: 1m.
    #[serde(default = "default_drain")]
    #[x_kube(validation = rules::duration_within("1s", "1h"))]
    pub drain: Duration,
    /// Silence after which a process counts as gone and its shards are taken over, 2s to 5m. Default: 10s.
    #[serde(default = "default_lease")]
    #[x_kube(validation = rules::duration_within("2s", "5m"))]
    pub lease: Duration,
    /// How many bytes of open segments of the archive a worker may keep on its disk, 64Mi to 1Ti. Default: 4Gi.
    #[serde(default = "default_buffer")]
    #[x_kube(validation = rules::size_within("64Mi", "1Ti"))]
    pub buffer: Quantity,
}

const fn default_workers() -> u16 {
    1
}

const fn default_drain() -> Duration {
    Duration::from_secs(60)
}

const fn default_lease() -> Duration {
    Duration::from_secs(10)
}

const fn default_buffer() -> Quantity {
    Quantity::from_mebibytes(4 * 1024)
}

impl Default for Workers {
    fn default() -> Self {
        Self { replicas: default_workers(), drain: default_drain(), lease: default_lease(), buffer: default_buffer() }
    }
}

/// Traces of single events, sent to a collector.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The collector, http:// with host and port, which takes OTLP over gRPC.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::COLLECTOR.regex))]
    pub endpoint: String,
    /// The part of all events that is traced, 0 to 1. Default: 0.01.
    #[serde(default = "default_sample")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sample: f64,
}

const fn default_sample() -> f64 {
    0.01
}
