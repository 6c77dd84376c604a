//! A recording served over a socket lands as the file itself does; what a connection asks for reaches the server.

use crate::expected::assert_landed;
use crate::harness::{PATIENCE, Pipeline, built, eventually, shared};
use crate::landed::Db;
use std::io::BufRead;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use turbo_sim::{Network, NetworkConfig, Pace, WorldConfig};

/// `turbo-sim --replay FILE`, and its URL.
struct Replay(Child, String);

impl Replay {
    fn of(file: &Path, more: &[&str]) -> Option<Self> {
        let mut child = Command::new(built("turbo-sim")?)
            .args(["--port", "0", "--replay"])
            .arg(file)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let line = std::io::BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("ws://")).unwrap();
        Some(Self(child, format!("ws://{}", url.trim_start_matches("ws://").split('/').next().unwrap())))
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Runs the pipeline until this many entries are committed.
fn run_until(pipeline: &Pipeline, entries: usize) {
    let mut process = pipeline.start();
    process.address();
    eventually(PATIENCE, "all is in", || {
        Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards") >= entries as i64
    });
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
}

const FROM: u64 = 1_000_000_000_000_000;

#[test]
fn a_replayed_recording_lands_as_the_file_does() {
    for name in ["captured_v1.jsonl", "golden_v1.jsonl"] {
        let Some(file) = shared(&format!("jetstream/{name}")) else { return };
        let Some(dictionary) = shared("jetstream/legacy_subscribe.zdict") else { return };
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let dictionary = dictionary.to_str().unwrap();
        let Some(replay) = Replay::of(&file, &["--flavour", "old", "--v1-dictionary", dictionary]) else { return };
        for more in ["".to_owned(), format!(", compression: zstd, dictionary: '{dictionary}'")] {
            let source = format!("{{jetstream: {{version: v1, endpoints: ['{}'], cursor: {FROM}{more}}}}}", replay.1);
            let pipeline = Pipeline::new(&source, "");
            run_until(&pipeline, lines.len());
            assert_landed(&lines, &pipeline.path("out.sqlite"), &pipeline.path("archive"), 1);
            // Once more: what is known is dropped.
            run_until(&pipeline, lines.len());
            assert_landed(&lines, &pipeline.path("out.sqlite"), &pipeline.path("archive"), 1);
        }
    }
}

#[test]
fn filters_reach_the_server_also_those_too_long_for_a_url() {
    let world = WorldConfig { accounts: 50, nasty: 0.0, ..WorldConfig::seeded(3) };
    let config = NetworkConfig { world, pace: Pace::Full { events: 3000 }, ..NetworkConfig::default() };
    let network = Network::start(config).unwrap();
    let truth = network.truth();
    let wanted: Vec<&str> =
        truth.v1.repos.keys().map(|did| &**did).filter(|did| did.starts_with("did:plc:")).take(5).collect();
    // More that do not exist, up to what v2 may be asked for, make the filter too long for the URL of v1.
    let others = (wanted.len()..1000).map(|n| format!("did:plc:{n:0>24}"));
    let dids: Vec<String> = wanted.iter().map(ToString::to_string).chain(others).collect();
    let events: usize = wanted.iter().map(|did| truth.v1.repos[*did].events.len()).sum();
    for (version, events) in [("v1", events), ("v2", wanted.iter().map(|did| truth.v2.repos[*did].events.len()).sum())]
    {
        let source = format!(
            "{{jetstream: {{version: {version}, endpoints: ['{}'], cursor: {FROM}, compression: none, dids: {dids:?}}}}}",
            network.url(0)
        );
        let pipeline = Pipeline::new(&source, "");
        run_until(&pipeline, events);
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(db.number("SELECT sum(entries) FROM shards"), events as i64, "{version}");
        let other = db.number(&format!(
            "SELECT count(*) FROM records WHERE did NOT IN ({})",
            wanted.iter().map(|did| format!("'{did}'")).collect::<Vec<_>>().join(", ")
        ));
        assert_eq!(other, 0, "{version}");
    }
}

#[test]
fn filters_that_no_url_bears_are_refused_at_the_start() {
    let dids: Vec<String> = (0..40).map(|n| format!("did:web:{}.{n}.example.org", "a".repeat(1900))).collect();
    let source = format!("{{jetstream: {{endpoints: ['ws://127.0.0.1:9'], dids: {dids:?}}}}}");
    let pipeline = Pipeline::new(&source, "");
    let mut process = pipeline.start();
    assert_eq!(process.wait().code(), Some(1));
    let said = "spec.source.jetstream.dids: with the collections they make a URL of 7";
    assert!(process.log().contains(said), "{}", process.log());
}
