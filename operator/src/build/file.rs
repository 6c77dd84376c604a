//! The pipeline file of the pods: the part of the spec that the processes read.
//!
//! Invariants:
//! - what only the operator reads is not in it, so that a change of it restarts nothing;
//! - what is as by default is not in it, so that a default which a newer CRD fills in is never read by older workers,
//!   and changes no hash;
//! - its generation grows with each change of it, also where a pipeline of this name was deleted and made anew: by it the
//!   processes know which list of sinks is the newest.

use super::hash;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use std::sync::LazyLock;
use turbo_crds::TurboPipeline;

/// The fields of the spec that no process reads, with their places.
const NOT_FOR_PROCESSES: [(&str, &str); 8] = [
    ("", "image"),
    ("", "paused"),
    ("", "ingest"),
    ("", "mesh"),
    ("", "monitoring"),
    ("", "network"),
    ("/workers", "replicas"),
    ("/workers", "pods"),
];

/// The generations that a second has room for, so that the number of a pipeline made anew is above all that were before.
const EDITS: i64 = 1 << 20;

/// A pipeline file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The hash of its spec.
    pub hash: String,
    /// Which of two files is newer.
    pub generation: i64,
    spec: Value,
}

impl File {
    /// The file of a pipeline. `running` is what its workloads have now ([`File::mark`]).
    #[must_use]
    pub fn new<'a>(pipeline: &TurboPipeline, running: impl Iterator<Item = &'a str>) -> Self {
        let spec = data_plane(pipeline);
        let hash = hash(&spec);
        let same = running.filter_map(|mark| mark.rsplit_once('-')).filter(|(spec, _)| *spec == hash);
        let generation = same.filter_map(|(_, generation)| generation.parse().ok()).max();
        Self { generation: generation.unwrap_or_else(|| next_generation(pipeline)), hash, spec }
    }

    /// What a workload says of the file that it has.
    #[must_use]
    pub fn mark(&self) -> String {
        format!("{}-{}", self.hash, self.generation)
    }

    /// The name of its ConfigMap.
    #[must_use]
    pub fn name(&self, pipeline: &str) -> String {
        format!("{pipeline}-{}", hash(&json!(self.mark())))
    }

    /// The part of the spec that is in it.
    #[must_use]
    pub fn spec(&self) -> &Value {
        &self.spec
    }

    /// Its ConfigMap, without metadata.
    ///
    /// # Errors
    /// It can not be written as YAML: a bug.
    pub fn config_map(&self, pipeline: &TurboPipeline) -> Result<ConfigMap, serde_saphyr::SerializeError> {
        let metadata = &pipeline.metadata;
        let manifest = json!({
            "apiVersion": "turbopipeline.dev/v1alpha1",
            "kind": "TurboPipeline",
            "metadata": { "name": metadata.name, "namespace": metadata.namespace, "generation": self.generation },
            "spec": self.spec,
        });
        let text = serde_saphyr::to_string(&manifest)?;
        let data = [(FILE_NAME.to_owned(), text)].into();
        Ok(ConfigMap { data: Some(data), immutable: Some(true), ..ConfigMap::default() })
    }
}

/// The key of the ConfigMap.
pub(super) const FILE_NAME: &str = "pipeline.yaml";

/// The number of a file that is new.
fn next_generation(pipeline: &TurboPipeline) -> i64 {
    let made = pipeline.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
    made.saturating_mul(EDITS).saturating_add(pipeline.metadata.generation.unwrap_or_default().min(EDITS - 1))
}

fn data_plane(pipeline: &TurboPipeline) -> Value {
    // A spec is JSON; if it ever were none, the processes would refuse the file.
    let mut spec = serde_json::to_value(&pipeline.spec).unwrap_or_default();
    for (parent, field) in NOT_FOR_PROCESSES {
        if let Some(parent) = spec.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.remove(field);
        }
    }
    without_defaults(&mut spec, &SPEC);
    spec
}

static SPEC: LazyLock<Value> = LazyLock::new(|| {
    let crd = turbo_crds::crd().unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});

/// Takes out what the schema would fill in.
fn without_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let schema = &schema["properties"][name];
            without_defaults(value, schema);
            let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty);
            let default = &schema["default"];
            default.is_null() || !(*value == *default || (is_empty && default.is_object()))
        }),
        Value::Array(items) => items.iter_mut().for_each(|item| without_defaults(item, &schema["items"])),
        _ => {}
    }
}
