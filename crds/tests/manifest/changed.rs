//! What can not be changed of a pipeline that is there, and what can.

use super::{accepted, many, with};
use serde_json::{Value, json};

/// A pipeline, what is changed of it, and where and with which words that is refused.
pub(super) fn refused() -> Vec<(Value, Value, &'static str)> {
    let slices = |slices: Value| many(json!({ "spec.slices": slices }));
    let two =
        || slices(json!([{"name": "posts", "collections": ["a.b.c", "a.b.d"], "partitions": 2}, {"name": "rest"}]));
    vec![
        (
            two(),
            slices(json!([{"name": "post", "collections": ["a.b.c", "a.b.d"], "partitions": 2}, {"name": "rest"}])),
            "spec.slices: has other slices than the pipeline was made with, or in another order; \
             put them back, or make another pipeline",
        ),
        (
            two(),
            slices(json!([{"name": "posts", "collections": ["a.b.c", "a.b.d"], "partitions": 3}, {"name": "rest"}])),
            "spec.slices: changes partitions, which are fixed when the pipeline is made; put them back, or make another pipeline",
        ),
        (
            two(),
            slices(json!([{"name": "posts", "collections": ["a.b.c"], "partitions": 2}, {"name": "rest"}])),
            "spec.slices: changes collections, which are fixed when the pipeline is made; \
             put them back, or make another pipeline",
        ),
        (
            json!({}),
            many(json!({})),
            "spec: moves the log into or out of NATS, which is fixed when the pipeline is made; make another pipeline for that",
        ),
    ]
}

/// Changes that are allowed.
pub(super) fn taken() -> Vec<(Value, Value)> {
    let hydrated = json!([{"name": "default", "partitions": 4, "hydrate": {"author": "1h"}}]);
    vec![
        (many(json!({})), many(json!({"spec.slices": hydrated, "spec.workers": {"replicas": 4}, "spec.paused": true}))),
        (many(json!({})), many(json!({"spec.log": {"nats": {"url": "nats://b:4222", "stream": {"maxBytes": "1Gi"}}}}))),
        (json!({}), json!({"spec.log": {"embedded": {"maxBytes": "1Gi"}}})),
    ]
}

/// What the rules say of a change.
fn said(before: &Value, after: &Value) -> Vec<String> {
    let [before, after] = [before, after].map(|changes| accepted::accepted(&with(changes)));
    let outcome = after.validate_cel_update(&before);
    let errors = outcome.err().into_iter().flat_map(|errors| errors.iter().cloned().collect::<Vec<_>>());
    errors.map(|error| format!("{}: {}", error.field_path, error.message)).collect()
}

#[test]
fn what_is_fixed_is_refused_and_the_rest_is_taken() {
    for (before, after, refusal) in refused() {
        assert_eq!(said(&before, &after), [refusal]);
    }
    for (before, after) in taken() {
        assert_eq!(said(&before, &after), [""; 0], "{after}");
    }
}
