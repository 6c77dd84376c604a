//! The `TurboPipeline` resource and the parts of its spec that are small.

use crate::{
    Hydration, Ingest, Log, Mesh, Monitoring, Network, Quantity, Sinks, Slice, Source, Tracing, TurboPipelineStatus,
    Workers, cluster, log, patterns, rules, slices, structural,
};
use kube::{
    CustomResource, KubeSchema,
    core::{Message, Rule},
};
use serde::{Deserialize, Serialize};

/// A pipeline: reads one stream of events, spreads it over a fixed number of shards and leaves it in the sinks.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "turbopipeline.dev",
    version = "v1alpha1",
    kind = "TurboPipeline",
    namespaced,
    shortname = "tp",
    category = "turbo",
    derive = "PartialEq",
    cel,
    status = "TurboPipelineStatus",
    scale(
        spec_replicas_path = ".spec.workers.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Workers", type_ = "string", json_path = ".status.workers.text"),
    printcolumn(name = "Ingest", type_ = "string", json_path = ".status.ingest.text", priority = 1),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", priority = 1),
    printcolumn(name = "Now", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    doc = "A pipeline: reads one stream of events and leaves it in the sinks. The file of `turbo run` is one of these.",
    validation = the_name_is_short()
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural::without_nulls)]
#[x_kube(
    validation = many_processes_need_both(),
    validation = what_is_shared_needs_nats(),
    validation = workers_have_shards(),
    validation = the_log_stays_where_it_is()
)]
pub struct TurboPipelineSpec {
    /// The image of the pods. Default: absent, which is that of the operator when it first sees the pipeline, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "cluster::image")]
    pub image: Option<String>,
    /// Whether the pipeline rests: workers and readers finish what they have, and are gone until this is false again. Nothing
    /// is lost while the source still has what was not read. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Where events come from: exactly one of jetstream, recording.
    pub source: Source,
    /// The groups of collections and the number of their partitions, 1 to 32 slices. Fixed when the pipeline is made.
    /// Default: one slice named default, with 4 partitions, that takes everything.
    #[serde(default = "slices::default_slices")]
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(
        validation = slices::names_are_unique(),
        validation = slices::one_takes_the_rest(),
        validation = slices::collections_are_bounded(),
        validation = slices::collections_are_apart(),
        validation = slices::partitions_are_bounded(),
        validation = slices::names_stay(),
        validation = slices::partitions_stay(),
        validation = slices::collections_stay()
    )]
    pub slices: Vec<Slice>,
    /// Who is asked for what records point at. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydration: Option<Hydration>,
    /// The queue between reading and processing. Default: absent, which is a queue of 16Mi inside the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Where events land.
    pub sinks: Sinks,
    /// The processes that read the source. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Ingest>,
    /// The processes that do the work. Default: all defaults.
    #[serde(default)]
    pub workers: Workers,
    /// Traces of single events. Default: absent, which traces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// The mesh that the pods are in. For clusters only. Default: absent, which is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Mesh>,
    /// How the metrics of the pods are found. For clusters only. Default: absent, which makes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Whom the pods may speak to. For clusters only. Default: absent, which leaves it to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// A log that many processes share needs a database that many share.
fn many_processes_need_both() -> Rule {
    Rule::new("(has(self.log) && has(self.log.nats)) == has(self.sinks.postgres)")
        .message("names one of log.nats and sinks.postgres; give both for many processes, or none for one")
}

/// One process has nobody to share with.
fn what_is_shared_needs_nats() -> Rule {
    Rule::new("!has(self.hydration) || !has(self.hydration.sharedCache) || (has(self.log) && has(self.log.nats))")
        .message("names hydration.sharedCache, which is in NATS, without log.nats; give log.nats and sinks.postgres, or leave it out")
}

/// A worker without a shard would do nothing.
fn workers_have_shards() -> Rule {
    let shards = "self.slices.map(one, one.partitions).sum()";
    let rule = format!("self.workers.replicas <= {shards}");
    let message =
        format!("'is above %d, the partitions of all slices; give at most one worker for each'.format([{shards}])");
    rules::computed(rule, message).field_path(".workers.replicas")
}

/// What was committed is where the log and the catalog say.
fn the_log_stays_where_it_is() -> Rule {
    let many = |whose: &str| format!("(has({whose}.log) && has({whose}.log.nats))");
    Rule::new(format!("{} == {}", many("self"), many("oldSelf"))).message(
        "moves the log into or out of NATS, which is fixed when the pipeline is made; make another pipeline for that",
    )
}

/// Names of objects and streams are made from the name.
fn the_name_is_short() -> Rule {
    let (regex, mend) = (patterns::LABEL.regex, patterns::LABEL.mend);
    Rule::new(format!("size(self.metadata.name) <= 40 && self.metadata.name.matches('{regex}')")).message(
        // A rule of the whole resource can not bear the path of a field of the metadata: its message does.
        Message::Message(format!("metadata.name: is not a DNS label of at most 40 characters; {mend}")),
    )
}

impl TurboPipelineSpec {
    /// The bound of the queue inside the process, as written or by default.
    #[must_use]
    pub fn log_max_bytes(&self) -> Quantity {
        let embedded = self.log.as_ref().and_then(|log| log.embedded.as_ref());
        embedded.map_or_else(log::default_max_bytes, |embedded| embedded.max_bytes)
    }

    /// How what records point at is looked up; `None` where no slice asks for anything.
    #[must_use]
    pub fn hydration(&self) -> Option<Hydration> {
        self.slices.iter().any(|slice| slice.hydrate.is_some()).then(|| self.hydration.clone().unwrap_or_default())
    }

    /// The processes that read the source, as written or by default.
    #[must_use]
    pub fn ingest(&self) -> Ingest {
        self.ingest.clone().unwrap_or_default()
    }
}
