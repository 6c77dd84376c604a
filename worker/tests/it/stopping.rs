//! Signals, HTTP, and what a second process finds.

use crate::harness::{PATIENCE, Pipeline, eventually};
use crate::landed::{Db, archive};
use std::fmt::Write as _;

/// A recording that takes long at its recorded pace: an event every 20 ms.
fn slow(events: u64) -> (tempfile::TempDir, Pipeline) {
    let folder = slow_text(events);
    let file = folder.path().join("events.jsonl");
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}', pace: recorded}}}}", file.display()), "");
    (folder, pipeline)
}

fn slow_text(events: u64) -> tempfile::TempDir {
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
    folder
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
fn two_signals_at_once_are_one_and_a_later_one_exits_at_once() {
    let (_folder, pipeline) = slow(100_000);
    let mut process = pipeline.start();
    eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
    process.signal("TERM");
    process.signal("INT");
    assert!(process.wait().success(), "{}", process.log());
    assert!(process.log().contains("all that was read is committed"), "{}", process.log());
    // An archive that can not be written lets the process wait for its end, here for as long as the drain lasts.
    std::fs::remove_dir_all(pipeline.path("archive")).unwrap();
    std::fs::write(pipeline.path("archive"), "").unwrap();
    let refused = pipeline.start().wait();
    assert_eq!(refused.code(), Some(1), "a start checks the folder");
    std::fs::remove_file(pipeline.path("archive")).unwrap();
    let mut process = pipeline.start();
    let before = Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards");
    eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
    std::fs::remove_dir_all(pipeline.path("archive")).unwrap();
    std::fs::write(pipeline.path("archive"), "").unwrap();
    process.signal("TERM");
    eventually(PATIENCE, "the archive is tried", || process.log().contains("the segment could not be written"));
    assert!(process.log().contains("archive/slice=default/"), "the whole path is told: {}", process.log());
    std::thread::sleep(std::time::Duration::from_millis(600));
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(130), "{}", process.log());
    assert!(Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards") > before + 5);
    // What waited is written by the next, in the format of its name.
    std::fs::remove_file(pipeline.path("archive")).unwrap();
    let file = std::fs::read_to_string(pipeline.path("pipeline.yaml")).unwrap();
    std::fs::write(
        pipeline.path("pipeline.yaml"),
        file.replace("directory: archive", "directory: archive, format: jsonl"),
    )
    .unwrap();
    let mut process = pipeline.start();
    eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
    let waiting = "SELECT count(*) FROM segments WHERE path LIKE '%.parquet' AND state <> 'committed'";
    eventually(PATIENCE, "what waited is written", || Db::open(&pipeline.path("out.sqlite")).number(waiting) == 0);
    process.signal("TERM");
    assert!(process.wait().success());
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    assert!(db.number("SELECT count(*) FROM segments WHERE path LIKE '%.jsonl.zst'") > 0);
    // Each object is read by its name's ending; the first process's objects were removed with their folder.
    assert!(archive(&pipeline.path("archive")).len() > 5);
}

#[test]
fn the_archive_is_closed_by_age_while_it_runs() {
    let folder = slow_text(100_000);
    let sinks = "{sqlite: {path: out.sqlite}, archive: {directory: archive, roll: {age: 1s}}}";
    let source = format!("{{recording: {{path: '{}', pace: recorded}}}}", folder.path().join("events.jsonl").display());
    let pipeline = Pipeline::with_sinks(&source, sinks, "slices: [{name: default, partitions: 1}]");
    let mut process = pipeline.start();
    eventually(PATIENCE, "three objects are committed", || process.stats()["sinks"][1]["commits"].as_u64() >= Some(3));
    assert!(archive(&pipeline.path("archive")).len() > 5);
    process.signal("TERM");
    assert!(process.wait().success());
}

#[test]
fn a_drain_has_a_limit() {
    let folder = slow_text(100_000);
    let source = format!("{{recording: {{path: '{}', pace: recorded}}}}", folder.path().join("events.jsonl").display());
    let pipeline = Pipeline::new(&source, "workers: {drain: 1s}");
    let mut process = pipeline.start();
    eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(5));
    std::fs::remove_dir_all(pipeline.path("archive")).unwrap();
    std::fs::write(pipeline.path("archive"), "").unwrap();
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
    assert!(process.log().contains("within spec.workers.drain; the next start goes on with them"), "{}", process.log());
    std::fs::remove_file(pipeline.path("archive")).unwrap();
    let committed = Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards");
    let mut process = pipeline.start();
    eventually(PATIENCE, "what waited is written", || process.stats()["sinks"][1]["entries"].as_u64() > Some(5));
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
    assert!(archive(&pipeline.path("archive")).len() as i64 >= committed);
}

#[test]
fn a_new_process_says_where_the_last_one_was() {
    let (_folder, pipeline) = slow(20);
    pipeline.run();
    let source = std::fs::read_to_string(pipeline.path("pipeline.yaml")).unwrap();
    // A stream that can not be reached: nothing new comes.
    let line = source.lines().find(|line| line.contains("recording")).unwrap();
    let source = source.replace(line, "  source: {jetstream: {endpoints: ['ws://127.0.0.1:1']}}");
    std::fs::write(pipeline.path("pipeline.yaml"), source).unwrap();
    let process = pipeline.start();
    let stats = process.stats();
    assert!(stats["source"]["position"].as_str().unwrap().ends_with("|20"), "{stats}");
    assert_eq!(stats["source"]["window_events"], 20);
    let at = stats["shards"].as_array().unwrap().iter().map(|shard| shard["position"].as_u64().unwrap()).max();
    assert_eq!(at, Some(20));
}

#[test]
fn a_start_that_fails_claims_nothing() {
    let (folder, pipeline) = slow(1);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let run = |listen: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_turbo"))
            .args(["run", "-f", "pipeline.yaml", "--listen", listen])
            .current_dir(pipeline.path("."))
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = run(&taken.local_addr().unwrap().to_string());
    assert!(
        error.contains("--listen (TURBO_LISTEN): 127.0.0.1:")
            && error.contains("give an address and a port that are free"),
        "{error}"
    );
    assert_eq!(error.matches("in use").count(), 1, "a cause is said once: {error}");
    assert!(run("8080").contains("give an IP address and a port, such as 127.0.0.1:8080"));
    std::fs::remove_file(folder.path().join("events.jsonl")).unwrap();
    assert!(run("127.0.0.1:0").contains("give a readable file of JSON lines"));
    assert!(!pipeline.path("out.sqlite").exists() && !pipeline.path("archive").exists());
    std::fs::write(folder.path().join("events.jsonl"), "").unwrap();
    std::fs::write(pipeline.path("out.sqlite"), "this is a text, and no database at all ".repeat(200)).unwrap();
    let error = run("127.0.0.1:0");
    assert!(error.contains("spec.sinks.sqlite.path: out.sqlite can not be opened"), "{error}");
    std::fs::remove_file(pipeline.path("out.sqlite")).unwrap();
    Db::create(&pipeline.path("out.sqlite"), "CREATE TABLE accounts (x)");
    let error = run("127.0.0.1:0");
    assert!(error.contains("it holds the tables of another program; give a file that this program made"), "{error}");
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM sqlite_master"), 1);
}

#[test]
fn an_archive_belongs_to_one_file() {
    let (_folder, pipeline) = slow(20);
    pipeline.run();
    assert_eq!(archive(&pipeline.path("archive")).len(), 20);
    for file in ["out.sqlite", "out.sqlite-wal", "out.sqlite-shm"] {
        let _ = std::fs::remove_file(pipeline.path(file));
    }
    let mut other = pipeline.start();
    assert_eq!(other.wait().code(), Some(1));
    assert!(
        other.log().contains("archive is the archive of another SQLite file; give a directory of its own"),
        "{}",
        other.log()
    );
    assert_eq!(archive(&pipeline.path("archive")).len(), 20);
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
    assert!(stats["summary"].as_str().unwrap().contains("events.jsonl, "), "{stats}");
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
