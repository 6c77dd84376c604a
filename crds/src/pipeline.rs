//! The `TurboPipeline` resource and the parts of its spec that are small.

use crate::{Duration, Quantity, Sinks, Slice, Source, patterns, rules, slices, structural};
use kube::{
    CustomResource, KubeSchema,
    core::{Message, Rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pipeline: reads one stream of events, spreads it over a fixed number of shards and leaves it in the sinks.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
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
    /// The queue between reading and processing. Default: absent, which is a queue of 16Mi inside the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// Where events land.
    pub sinks: Sinks,
    /// The processes that do the work. Default: absent, which is all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
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
        embedded.map_or_else(default_max_bytes, |embedded| embedded.max_bytes)
    }

    /// The time that a worker has to finish when it is told to stop, as written or by default.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.workers.as_ref().map_or_else(default_drain, |workers| workers.drain)
    }
}

/// The queue between reading and processing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// A queue inside the process. Default: absent, which is the same with all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
}

/// A queue inside the process.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Embedded {
    /// How many bytes of events may wait, 1Mi to 4Gi. When it is full the source is not read until there is room;
    /// nothing is dropped. Default: 16Mi.
    #[serde(default = "default_max_bytes")]
    #[x_kube(validation = rules::size_within("1Mi", "4Gi"))]
    pub max_bytes: Quantity,
}

const fn default_max_bytes() -> Quantity {
    Quantity::from_mebibytes(16)
}

/// The processes that do the work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workers {
    /// How long a worker has to finish and commit when it is told to stop, 1s to 1h. Default: 1m.
    #[serde(default = "default_drain")]
    #[x_kube(validation = rules::duration_within("1s", "1h"))]
    pub drain: Duration,
}

const fn default_drain() -> Duration {
    Duration::from_secs(60)
}
