//! What is refused of a pipeline for many processes.

use super::super::many as with_many;
use serde_json::{Value, json};

pub(super) fn many() -> Vec<(Value, &'static str)> {
    [both(), log(), sinks(), processes()].concat()
}

fn both() -> Vec<(Value, &'static str)> {
    let one = "spec: names one of log.nats and sinks.postgres; give both for many processes, or none for one";
    vec![
        (json!({"spec.sinks": {"postgres": {"urlFrom": {"env": "PG"}}}}), one),
        (json!({"spec.log": {"nats": {"url": "nats://a:4222"}}}), one),
        (with_many(json!({"spec.log.embedded": {}})), "spec.log: names both embedded and nats; give one of them"),
        (
            json!({"spec.sinks.archive": {"s3": {"bucket": "turbo"}}}),
            "spec.sinks.archive.s3: is given without postgres; give sinks.postgres with log.nats, or archive.directory",
        ),
        (
            json!({"spec.sinks.enriched": {"nats": {}}}),
            "spec.sinks.enriched: is given without postgres; give sinks.postgres with log.nats, or remove it",
        ),
    ]
}

fn log() -> Vec<(Value, &'static str)> {
    let nats = |field: &str, value: Value| with_many(json!({ format!("spec.log.nats.{field}"): value }));
    vec![
        (
            nats("url", json!("nats://user:password@a:4222")),
            "spec.log.nats.url: is not the address of a NATS server; \
             give nats:// or tls:// with host and port, several separated by commas; no user and no password",
        ),
        (
            nats("url", json!("nats://127.0.0.1:99999")),
            "spec.log.nats.url: \"nats://127.0.0.1:99999\" is not the address of a NATS server; \
             give nats:// or tls:// with host and port, several separated by commas; no user and no password",
        ),
        (
            nats("url", json!("nats://a:1,nats://b")),
            "spec.log.nats.url: \"nats://a:1,nats://b\" is not the address of a NATS server; \
             give nats:// or tls:// with host and port, several separated by commas; no user and no password",
        ),
        (
            nats("stream", json!({"replicas": 2, "maxBytes": "1Mi"})),
            "spec.log.nats.stream.maxBytes: \"1Mi\" is out of range; give 16Mi to 10Ti\n\
             spec.log.nats.stream.replicas: 2 is even, which outlives no more servers; give 1, 3 or 5",
        ),
        (
            nats("stream.highWater", json!(1)),
            "spec.log.nats.stream.highWater: 1 is below 1000; give 1000 to 1000000000",
        ),
        (
            with_many(json!({"spec.log.nats.nkeyFrom": {"env": "S"}, "spec.log.nats.credentialsFrom": {"file": "c"}})),
            "spec.log.nats: names several of credentialsFrom, nkeyFrom, user; give one of them",
        ),
        (
            nats("tls", json!({"certificateFrom": {"file": "c"}})),
            "spec.log.nats.tls: names one of certificateFrom and keyFrom; give both, or none",
        ),
    ]
}

fn sinks() -> Vec<(Value, &'static str)> {
    let sink = |field: &str, value: Value| with_many(json!({ format!("spec.sinks.{field}"): value }));
    vec![
        (
            sink("sqlite", json!({"path": "a.sqlite"})),
            "spec.sinks: names several of sqlite, postgres; give only one of them",
        ),
        (
            sink("archive", json!({"directory": "a", "s3": {"bucket": "tea"}})),
            "spec.sinks.archive: names several of directory, s3; give only one of them",
        ),
        (
            sink("postgres.urlFrom", json!({})),
            "spec.sinks.postgres.urlFrom: names none of secret, env, file; give one of them",
        ),
        (sink("postgres.connections", json!(1)), "spec.sinks.postgres.connections: 1 is below 2; give 2 to 64"),
        (
            sink("postgres.projections", json!(["likes", "posts", "likes"])),
            "spec.sinks.postgres.projections: the same projection stands twice; give each once",
        ),
        (
            sink("postgres.retention", json!([{"collections": ["a.b.*"], "age": "1m"}])),
            "spec.sinks.postgres.retention[0].age: \"1m\" is out of range; give 1h or more",
        ),
        (
            sink("postgres.retention", json!([{"collections": ["a.b*"], "age": "1h"}])),
            "spec.sinks.postgres.retention[0].collections[0]: \"a.b*\" is not a collection, a prefix of collections, or *; \
             give an NSID like app.bsky.feed.post, a prefix like app.bsky.feed.*, or * for all",
        ),
        (
            sink("enriched", json!({"nats": {"maxBytes": 1, "maxAge": "59s"}})),
            "spec.sinks.enriched.nats.maxAge: \"59s\" is out of range; give 1m or more\n\
             spec.sinks.enriched.nats.maxBytes: 1 is out of range; give 16Mi to 10Ti",
        ),
        (
            sink("archive", json!({"s3": {"bucket": "Tea", "prefix": "/a", "endpoint": "s3.example"}})),
            "spec.sinks.archive.s3.bucket: \"Tea\" is not the name of a bucket; \
             use a to z, 0 to 9, - and .; begin and end with a letter or digit\n\
             spec.sinks.archive.s3.endpoint: \"s3.example\" is not a web address; \
             give http:// or https:// with host and, if need be, port and path; no user, query or fragment\n\
             spec.sinks.archive.s3.prefix: \"/a\" is not a prefix of keys; use letters, digits, -, _, =, . and / \
             between parts; no / at the ends, and no part that begins with a dot",
        ),
        (
            sink("archive", json!({"s3": {"bucket": "tea", "accessKeyIdFrom": {"env": "ID"}}})),
            "spec.sinks.archive.s3: names one of accessKeyIdFrom and secretAccessKeyFrom; give both, or none",
        ),
        (
            sink("archive", json!({"s3": {"bucket": "tea", "encryption": {"mode": "AES256", "keyId": "k"}}})),
            "spec.sinks.archive.s3.encryption.keyId: \"k\" is given without KMS; set mode: aws:kms, or remove it",
        ),
    ]
}

fn processes() -> Vec<(Value, &'static str)> {
    vec![
        (with_many(json!({"spec.ingest": {"replicas": 0}})), "spec.ingest.replicas: 0 is below 1; give 1 to 5"),
        (
            with_many(json!({"spec.workers": {"lease": "1s", "buffer": "1Mi"}})),
            "spec.workers.buffer: \"1Mi\" is out of range; give 64Mi to 1Ti\n\
             spec.workers.lease: \"1s\" is out of range; give 2s to 5m",
        ),
        (
            with_many(json!({"spec.tracing": {"endpoint": "collector:4317", "sample": 2}})),
            "spec.tracing.endpoint: \"collector:4317\" is not the address of a collector; \
             give http:// with host and port, as http://collector:4317\n\
             spec.tracing.sample: 2 is above 1; give 0 to 1",
        ),
    ]
}
