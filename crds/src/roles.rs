//! `spec.ingest`, `spec.workers`, `spec.tracing`: the processes that do the work.

use crate::{Duration, Pods, Quantity, patterns, rules};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The processes that read the source: one is active, the others stand by.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ingest {
    /// How many there are on a cluster, 1 to 5. Default: 2.
    #[serde(default = "default_ingesters")]
    #[schemars(range(min = 1, max = 5))]
    pub replicas: u16,
    /// What is said of its pods. For clusters only. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
}

const fn default_ingesters() -> u16 {
    2
}

impl Default for Ingest {
    fn default() -> Self {
        Self { replicas: default_ingesters(), pods: None }
    }
}

/// The processes that do the work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// How many there are on a cluster, 0 to the number of partitions of all slices. Default: 1.
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
    /// What is said of their pods. For clusters only. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
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
        let (drain, lease, buffer) = (default_drain(), default_lease(), default_buffer());
        Self { replicas: default_workers(), drain, lease, buffer, pods: None }
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
