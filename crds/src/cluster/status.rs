//! `status`: what the operator says of a pipeline.

use crate::structural;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the operator says of a pipeline. It is written by the operator alone, and says nothing to the processes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = structural::without_nulls)]
pub struct TurboPipelineStatus {
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// What goes on now, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub summary: Option<String>,
    /// What holds and what does not, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Workers that there are.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub replicas: i32,
    /// The labels of the workers, for autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Workers, ready of wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Count>,
    /// Readers of the source, ready of wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest: Option<Count>,
    /// The image of the pods: that of the spec, or the operator's own when the pipeline was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub image: Option<String>,
}

/// So many of so many.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// How many are ready.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub ready: i32,
    /// How many are wanted.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub wanted: i32,
    /// Both, as people read them: `2/3`.
    #[schemars(length(max = 32))]
    pub text: String,
}

impl Count {
    /// So many of so many.
    #[must_use]
    pub fn new(ready: i32, wanted: i32) -> Self {
        Self { ready, wanted, text: format!("{ready}/{wanted}") }
    }
}

/// Conditions, one of each type, as every kind of Kubernetes has them.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    let text = |what: &str, max: u32| serde_json::json!({ "type": "string", "description": what, "maxLength": max });
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": text("What it is about.", 316),
                "status": { "type": "string", "description": "Whether it holds.", "enum": ["True", "False", "Unknown"] },
                "reason": text("Why, in a word; docs/conditions.md has a heading for each.", 1024),
                "message": text("Why, for people, with the mend where there is one.", 32768),
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "maxLength": 64,
                    "description": "When the status changed last.",
                },
                "observedGeneration": {
                    "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_i64,
                    "description": "The generation of the spec that it is about.",
                },
            },
        },
    })
}
