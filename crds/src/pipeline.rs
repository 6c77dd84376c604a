//! The `TurboPipeline` resource and the parts of its spec that are small.

use crate::{
    Hydration, Ingest, Log, Quantity, Sinks, Slice, Source, Tracing, Workers, log, patterns, slices, structural,
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
    doc = "A pipeline: reads one stream of events and leaves it in the sinks. The file of `turbo run` is one of these.",
    validation = the_name_is_short()
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural::without_nulls)]
#[x_kube(validation = many_processes_need_both(), validation = what_is_shared_needs_nats())]
pub struct TurboPipelineSpec {
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
        validation = slices::partitions_are_bounded()
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
    /// The processes that do the work. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
    /// Traces of single events. Default: absent, which traces none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
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

    /// The processes that do the work, as written or by default.
    #[must_use]
    pub fn workers(&self) -> Workers {
        self.workers.clone().unwrap_or_default()
    }
}
