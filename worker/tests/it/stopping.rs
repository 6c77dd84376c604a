//! Signals, HTTP, and what a second process finds.

use crate::harness::{PATIENCE, Pipeline, eventually};
use crate::landed::{Db, archive};
use std::fmt::Write as _;

/// A recording that takes long at its recorded pace: an event every 20 ms.
fn slow(events: u64) -> (tempfile::TempDir, Pipeline) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let mut text = String::new();
    for n in 0..events {
        let time_us = 1_783_175_888_000_000 + n * 20_000;
        writeln!(
            text,
            r#"{{"did":"did:plc:{}","time_us":{time_us},"kind":"identity","identity":{{"time":"{n}"}}}}"#,
            n % 9
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}', pace: recorded}}}}", file.display()), "");
    (folder, pipeline)
}

#[test]
fn a_signal_drains_and_commits_what_was_read() {
    for signal in ["TERM", "INT"] {
        let (_folder, pipeline) = slow(100_000);
        let mut process = pipeline.start();
        eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
        process.signal(signal);
        assert!(process.wait().success(), "{}", process.log());
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        let entries = db.number("SELECT sum(entries) FROM shards");
        assert!(entries > 5);
        assert_eq!(archive(&pipeline.path("archive")).len() as i64, entries, "the archive is closed too");
        assert_eq!(db.number("SELECT cursor FROM pipeline"), entries);
    }
}

#[test]
fn health_metrics_and_statistics() {
    let (_folder, pipeline) = slow(100_000);
    let process = pipeline.start();
    for path in ["/health", "/health/live", "/health/startup"] {
        assert_eq!(process.get(path), (200, "ok\n".into()), "{path}");
    }
    eventually(PATIENCE, "it is ready", || process.get("/health/ready").0 == 200 && process.get("/ready").0 == 200);
    eventually(PATIENCE, "it commits", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
    let stats = process.stats();
    assert_eq!(stats["source"]["state"], "reading");
    assert_eq!(stats["shards"].as_array().unwrap().len(), 4);
    assert!(stats["summary"].as_str().unwrap().starts_with("reading recording:"), "{stats}");
    let metrics = process.get("/metrics").1;
    for metric in turbo_worker::telemetry::metrics::METRICS {
        assert!(metrics.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{}: {metrics}", metric.name);
    }
    assert!(metrics.contains("turbo_source_losses_total{reason=\"Silent\"} 0"), "{metrics}");
    assert!(metrics.contains("turbo_commit_seconds_bucket"), "{metrics}");
    assert_eq!(process.get("/nothing").0, 404);
    assert!(process.get("/").1.contains("<title>"));
}

#[test]
fn a_second_process_and_a_changed_pipeline_are_refused() {
    let (folder, pipeline) = slow(100_000);
    let process = pipeline.start();
    process.address();
    let mut second = pipeline.start();
    assert_eq!(second.wait().code(), Some(1));
    assert!(second.log().contains("is in use by another process"), "{}", second.log());
    process.kill();
    let source = format!("{{recording: {{path: '{}'}}}}", folder.path().join("events.jsonl").display());
    let other = Pipeline::with_sinks(
        &source,
        &format!("{{sqlite: {{path: '{}'}}}}", pipeline.path("out.sqlite").display()),
        "slices: [{name: default, partitions: 5}]",
    );
    let mut changed = other.start();
    assert_eq!(changed.wait().code(), Some(1));
    assert!(changed.log().contains("spec.slices: default(5: *) does not fit"), "{}", changed.log());
}

#[test]
fn a_port_that_is_taken_is_told() {
    let (_folder, pipeline) = slow(1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_turbo"))
        .args(["run", "-f", "pipeline.yaml", "--listen", &taken.local_addr().unwrap().to_string()])
        .current_dir(pipeline.path("."))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("--listen: 127.0.0.1:") && error.contains("give an address and a port that are free"),
        "{error}"
    );
}
