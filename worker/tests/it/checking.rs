//! `turbo check`: what it says, and how it ends.

use crate::harness::Pipeline;
use std::process::Command;

/// Its exit code, and both its outputs.
fn check(pipeline: &Pipeline, more: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_turbo"))
        .args(["check", "-f", "pipeline.yaml"])
        .args(more)
        .current_dir(pipeline.path("."))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const SOURCE: &str = "{jetstream: {endpoints: ['ws://127.0.0.1:1'], collections: [a.b.c]}}";

#[test]
fn a_file_that_is_right_is_said_to_be_and_what_is_hardly_meant_is_a_warning() {
    let plain = Pipeline::new(SOURCE, "");
    let (code, out, err) = check(&plain, &[]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "pipeline.yaml: test is a valid pipeline\n", ""));
    let odd = Pipeline::new(SOURCE, "slices: [{name: posts, collections: [x.y.z]}, {name: rest}]");
    let (code, out, err) = check(&odd, &[]);
    assert_eq!((code, out.as_str()), (Some(0), "pipeline.yaml: test is a valid pipeline\n"));
    assert!(err.starts_with("warning: spec.slices[0].collections: x.y.z is not asked for"), "{err}");
}

#[test]
fn a_file_that_is_wrong_ends_with_what_is_wrong_and_how_to_mend_it() {
    let wrong = Pipeline::new(SOURCE, "workers: {drain: 2h}");
    let (code, out, err) = check(&wrong, &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("spec.workers.drain: \"2h\" is out of range; give 1s to 1h"), "{err}");
}

#[test]
fn what_a_cluster_asks_for_is_asked_with_cluster_only() {
    let mine = Pipeline::new(SOURCE, "");
    let (code, out, err) = check(&mine, &["--cluster"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for said in
        ["spec.log.nats: required on a cluster, but missing; give a NATS server", "spec.sinks.archive.directory: "]
    {
        assert!(err.contains(said), "{err}");
    }
    let secret = |key: &str| format!("{{secret: {{name: bluesky, key: {key}}}}}");
    let sinks = format!(
        "{{postgres: {{urlFrom: {}}}, archive: {{s3: {{bucket: tea, accessKeyIdFrom: {}, secretAccessKeyFrom: {}}}}}}}",
        secret("url"),
        secret("id"),
        secret("key")
    );
    let theirs = Pipeline::with_sinks(SOURCE, &sinks, "log: {nats: {url: 'nats://nats:4222'}}");
    let (code, out, err) = check(&theirs, &["--cluster"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "pipeline.yaml: test is a valid pipeline\n", ""));
}
