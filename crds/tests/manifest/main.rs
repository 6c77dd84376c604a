//! Manifests that are accepted and refused, and the CRD that they are checked with.

#![cfg(test)]

mod accepted;
mod changed;
mod crd;
mod refused;
mod server;
mod text;

use serde_json::{Value, json};

/// The smallest manifest.
fn smallest() -> Value {
    json!({
        "apiVersion": "turbopipeline.dev/v1alpha1",
        "kind": "TurboPipeline",
        "metadata": { "name": "bluesky" },
        "spec": {
            "source": { "jetstream": { "endpoints": ["wss://jetstream.example.org"] } },
            "sinks": { "sqlite": { "path": "./data/bluesky.sqlite" } },
        },
    })
}

/// The smallest manifest with `changes`: an object of dotted paths and the values to put there.
fn with(changes: &Value) -> Value {
    let mut manifest = smallest();
    for (path, value) in changes.as_object().expect("an object of changes") {
        let place = path.split('.').fold(&mut manifest, |place, field| &mut place[field]);
        *place = value.clone();
    }
    manifest
}

/// Changes that make the smallest manifest one for many processes, and these.
fn many(changes: Value) -> Value {
    let sinks = json!({ "postgres": { "urlFrom": { "env": "PG" } } });
    let mut all = json!({ "spec.log": { "nats": { "url": "nats://a:4222" } }, "spec.sinks": sinks });
    let more = changes.as_object().expect("an object of changes").clone();
    all.as_object_mut().expect("an object").extend(more);
    all
}

/// The smallest manifest without the field at a dotted path.
fn without(path: &str) -> Value {
    let mut manifest = smallest();
    let (parent, field) = path.rsplit_once('.').map_or((None, path), |(parent, field)| (Some(parent), field));
    let place = parent.iter().flat_map(|path| path.split('.')).fold(&mut manifest, |place, field| &mut place[field]);
    place.as_object_mut().expect("a mapping").remove(field).expect("a field to leave out");
    manifest
}

/// What the loader says of a manifest that it must refuse.
fn refusal(manifest: &Value) -> String {
    match turbo_crds::load(&manifest.to_string()) {
        Ok(_) => panic!("accepted: {manifest:#}"),
        Err(problems) => problems.to_string(),
    }
}
