//! A worker whose archive's store is away at its start.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use turbo_testkit::{Nats, Postgres};

fn worker(postgres: &Postgres, nats: &Nats, endpoint: &str) -> (Pipeline, Process) {
    let secrets = "accessKeyIdFrom: {file: id}, secretAccessKeyFrom: {file: secret}";
    let s3 = format!("{{bucket: mine, endpoint: \"{endpoint}\", {secrets}}}");
    let sinks = format!("{{postgres: {{urlFrom: {{file: url}}}}, archive: {{s3: {s3}}}}}");
    let more =
        format!("log: {{nats: {{url: \"{}\", stream: {{maxBytes: 1Gi}}}}}}\n  workers: {{lease: 3s}}", nats.url());
    let pipeline = Pipeline::with_sinks("{jetstream: {endpoints: [\"ws://127.0.0.1:9\"]}}", &sinks, &more);
    for (file, text) in [("url", &*postgres.url()), ("id", "id"), ("secret", "secret")] {
        std::fs::write(pipeline.path(file), text).unwrap();
    }
    let process = pipeline.start_as("work", &[("TURBO_BUFFER", pipeline.path("").to_str().unwrap())]);
    (pipeline, process)
}

#[test]
fn one_that_waits_for_its_store_ends_when_it_is_told_to() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start()) else { return };
    // Nobody listens there.
    let (_pipeline, mut worker) = worker(&postgres, &nats, "http://127.0.0.1:9");
    eventually(PATIENCE, "it waits", || worker.log().contains("waiting for the archive's store"));
    worker.signal("TERM");
    assert!(worker.wait().success(), "{}", worker.log());
}
