//! Frames above the limit: each is a dead letter, once, and what comes behind it lands.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::landed::Db;
use std::sync::Arc;
use turbo_sim::{Flavour, HostConfig, Network, NetworkConfig, Pace, Recording};

/// A record of so many bytes, as a v1 line.
fn create(n: usize, size: usize) -> String {
    let time_us = 1_783_175_888_000_000 + n as i64;
    let (rev, text) = (turbo_core::tid::encode(time_us, 0), "x".repeat(size));
    format!(
        r#"{{"did":"did:plc:z72i7hdynmk6r22z27h6tvur","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"{n}","record":{{"text":"{text}"}},"cid":"c"}}}}"#
    )
}

/// A host of records of these sizes, and a pipeline that takes no frame above 64 KiB.
fn of(sizes: &[usize], flavour: Flavour, version: &str) -> (Network, Pipeline) {
    let lines: Vec<String> = sizes.iter().enumerate().map(|(n, size)| create(n, *size)).collect();
    let recording = Some(Arc::new(Recording::read(&lines.join("\n")).unwrap()));
    let hosts = vec![HostConfig { flavour, ..HostConfig::default() }];
    let pace = Pace::Stepped;
    let network = Network::start(NetworkConfig { recording, hosts, pace, ..NetworkConfig::default() }).unwrap();
    let more = "cursor: 1000000000000000, compression: none, maxFrame: 64Ki";
    let source = format!("{{jetstream: {{version: {version}, endpoints: ['{}'], {more}}}}}", network.url(0));
    (network, Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite}}", ""))
}

/// Waits until so many records and dead letters are there, and no other.
fn landed(pipeline: &Pipeline, records: i64, dead_letters: i64) {
    eventually(PATIENCE, &format!("{records} records and {dead_letters} dead letters"), || {
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        let dead = db.number("SELECT count(*) FROM dead_letters");
        assert!(
            dead <= dead_letters,
            "{dead} dead letters: {:?}",
            db.rows::<(String,)>("SELECT detail FROM dead_letters")
        );
        db.number("SELECT count(*) FROM records") >= records && dead == dead_letters
    });
}

fn started(pipeline: &Pipeline) -> Process {
    let process = pipeline.start();
    process.address();
    process
}

#[test]
fn each_frame_above_the_limit_is_a_dead_letter_once_and_hides_none_behind_it() {
    const SMALL: usize = 100;
    let sizes = [SMALL, 100_000, 90_000, SMALL, SMALL, 120_000, SMALL, 80_000, SMALL];
    let (network, pipeline) = of(&sizes, Flavour::New, "v2");
    network.step(1);
    let process = started(&pipeline);
    landed(&pipeline, 1, 0);
    network.step(5);
    landed(&pipeline, 3, 3);
    let dead: Vec<(String, i64)> =
        Db::open(&pipeline.path("out.sqlite")).rows("SELECT detail, length(payload) FROM dead_letters ORDER BY id");
    for ((said, bytes), size) in dead.iter().zip([100_000, 90_000, 120_000]) {
        assert!(said.starts_with(&format!("a frame of {}", size / 1000)), "{dead:?}");
        assert!(said.ends_with(" is above the limit of 65536 bytes") && *bytes == 0, "{dead:?}");
    }
    assert_eq!(process.stats()["source"]["unreadable"], 3);
    assert!(process.get("/metrics").1.contains("\nturbo_source_unreadable_total 3\n"));
    // The last of them is committed, and nothing behind it: the next process meets it again.
    process.kill();
    let process = started(&pipeline);
    network.step(1);
    landed(&pipeline, 4, 3);
    // It is left out, but not what comes later.
    network.step(2);
    landed(&pipeline, 5, 4);
    assert!(process.get("/metrics").1.contains("\nturbo_source_unreadable_total 1\n"));
}

#[test]
fn so_it_is_where_a_stream_can_only_be_resumed_by_time() {
    let (network, pipeline) = of(&[100, 100_000, 100, 100], Flavour::Old, "v1");
    network.step(3);
    let process = started(&pipeline);
    landed(&pipeline, 2, 1);
    process.kill();
    // The overlap has it again.
    let _process = started(&pipeline);
    network.step(1);
    landed(&pipeline, 3, 1);
}
