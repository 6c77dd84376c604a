//! Every rule and every bound, with what is said when it is broken.

mod cluster;
mod hydration;
mod many;
mod sinks;
mod slices;
mod source;

use super::{refusal, smallest, with, without};
use serde_json::{Value, json};

/// A change of the smallest manifest, and all that is said of it.
pub(super) fn cases() -> Vec<(Value, &'static str)> {
    [
        source::source(),
        source::jetstream(),
        slices::slices(),
        sinks::sinks(),
        many::many(),
        hydration::hydration(),
        cluster::cluster(),
        others(),
    ]
    .concat()
}

fn others() -> Vec<(Value, &'static str)> {
    let name = "is not a DNS label of at most 40 characters; \
    use a to z, 0 to 9 and -, begin with a letter and end with a letter or digit";
    vec![
        (json!({"metadata.name": "Blue"}), leak(format!("metadata.name: \"Blue\" {name}"))),
        (json!({"metadata.name": "a".repeat(41)}), leak(format!("metadata.name: \"{}\" {name}", "a".repeat(41)))),
        (json!({"metadata.name": 7}), "metadata.name: 7 is a number; put it in quotes"),
        (
            json!({"metadata.namespace": "a.>"}),
            "metadata.namespace: \"a.>\" is not a namespace; use a to z, 0 to 9 and -, begin and end with a letter or digit",
        ),
        (
            json!({"metadata.namespace": "n".repeat(64)}),
            leak(format!("metadata.namespace: \"{}\" is 64 characters long; give at most 63", "n".repeat(64))),
        ),
        (json!({"metadata.labels": {"a/b": 1}}), "metadata.labels[\"a/b\"]: 1 is a number; put it in quotes"),
        (
            json!({"spec.log": {"embedded": {"maxBytes": "5Gi"}}}),
            "spec.log.embedded.maxBytes: \"5Gi\" is out of range; give 1Mi to 4Gi",
        ),
        (json!({"spec.workers": {"drain": "2h"}}), "spec.workers.drain: \"2h\" is out of range; give 1s to 1h"),
        (json!({"spec.workers": {"drain": "1d"}}), "spec.workers.drain: \"1d\" is out of range; give 1s to 1h"),
        (
            json!({"spec.workers": {"drain": 60}}),
            "spec.workers.drain: 60 is a number; write it like 500ms, 30s, 10m, 1h30m or 1d",
        ),
        (json!({"spec.slice": []}), "spec.slice: unknown field; did you mean slices?"),
        (
            json!({"spec.source.jetstream.max_frame": "1Mi"}),
            "spec.source.jetstream.max_frame: unknown field; did you mean maxFrame?",
        ),
        (
            json!({"spec.password": null, "spec.sinks.kafka": {"url": "x"}}),
            "spec.password: unknown field; remove it, or give one of hydration, image, ingest, log, mesh, monitoring, network, paused, sinks, slices, source, tracing, workers\n\
             spec.sinks.kafka: unknown field; remove it, or give one of archive, enriched, postgres, sqlite",
        ),
        (json!({"kind": "Pod"}), "kind: \"Pod\" is not read by this program; give TurboPipeline"),
        (
            json!({"apiVersion": "turbopipeline.dev/v1", "spec": 1}),
            "apiVersion: \"turbopipeline.dev/v1\" is not read by this program; give turbopipeline.dev/v1alpha1",
        ),
        (json!({"spec": []}), "spec: is a list; give a mapping of fields"),
        // What is not yet there is said beside what is wrong, and a rule is run beside what is not yet there.
        (
            json!({"spec.scaling": {}, "spec.deletionPolicy": "Delete", "spec.workers": {"drain": "0s"}}),
            "spec.scaling: not yet: scaling of workers is not in this version; remove the field\n\
             spec.deletionPolicy: not yet: deletion by the operator is not in this version; remove the field\n\
             spec.workers.drain: \"0s\" is out of range; give 1s to 1h",
        ),
    ]
}

fn leak(text: String) -> &'static str {
    text.leak()
}

#[test]
fn each_is_refused_with_path_value_and_mend() {
    for (changes, said) in cases() {
        assert_eq!(refusal(&with(&changes)), said, "{changes}");
    }
}

/// What the server writes may stand in the metadata, but nothing that the types could not read.
#[test]
fn odd_metadata_is_refused_by_the_schema() {
    for changes in [
        json!({"metadata.creationTimestamp": "yesterday"}),
        json!({"metadata.generation": 1e300}),
        json!({"metadata.generation": "1"}),
        json!({"metadata.finalizers": [1]}),
        json!({"metadata.ownerReferences": [{}]}),
        json!({"metadata.managedFields": [{"time": "x", "fieldsV1": 1}]}),
        json!({"metadata.color": "blue"}),
    ] {
        let said = refusal(&with(&changes));
        assert!(said.starts_with("metadata.") && !said.contains("BUG"), "{changes}: {said}");
    }
}

#[test]
fn what_is_missing_is_asked_for() {
    for (path, said) in [
        ("apiVersion", "apiVersion: required, but missing; add apiVersion: turbopipeline.dev/v1alpha1"),
        ("kind", "kind: required, but missing; add kind: TurboPipeline"),
        ("metadata", "metadata: required, but missing; add it: the name of the pipeline, as name"),
        (
            "metadata.name",
            "metadata.name: required, but missing; add it: the name, a DNS label of at most 40 characters",
        ),
        ("spec", "spec: required, but missing; add it: what the pipeline is: source, slices, sinks"),
        (
            "spec.source",
            "spec.source: required, but missing; add it: where events come from: exactly one of jetstream, recording",
        ),
        ("spec.sinks", "spec.sinks: required, but missing; add it: where events land"),
        (
            "spec.source.jetstream.endpoints",
            "spec.source.jetstream.endpoints: required, but missing; \
             add it: the services, ws:// or wss://, in the order of preference: when one fails, the next is tried",
        ),
    ] {
        assert_eq!(refusal(&without(path)), said);
        // `null` is the same as leaving it out.
        let place = path.split('.').map(|field| format!("/{field}")).collect::<String>();
        let mut manifest = smallest();
        *manifest.pointer_mut(&place).unwrap() = Value::Null;
        assert_eq!(refusal(&manifest), said);
    }
}
