//! Records land at once with what is known of what they point at, and are completed later: by processes that share the work.

use crate::harness::{PATIENCE, Pipeline, eventually};
use crate::processes::{Servers, source};
use std::time::Duration;
use turbo_sim::{AppViewConfig, Mood, Network, NetworkConfig, Pace, WorldConfig};

const EVENTS: u64 = 36_000;
/// How long what is known counts.
const TTL: u64 = 2;

fn network() -> Network {
    let latency = (Duration::ZERO, Duration::from_millis(5));
    let appview = AppViewConfig { limit: 1_000_000, latency, ..AppViewConfig::default() };
    let world = WorldConfig { accounts: 50, nasty: 0.0, rate: 600.0, ..WorldConfig::seeded(41) };
    let (pace, events) = (Pace::Real { speed: 1.0 }, Some(EVENTS));
    let config = NetworkConfig { world, pace, events, appview: Some(appview), ..NetworkConfig::default() };
    Network::start(config).unwrap()
}

/// Records are given the profiles of their authors, which are asked for again all the time.
fn pipeline(servers: &Servers, network: &Network) -> Pipeline {
    let hosts = network.appview_url().unwrap();
    let pipeline =
        servers.pipeline(&source(network), &format!("hydration: {{hosts: ['{hosts}'], requestsPerSecond: 200}}"));
    let file = pipeline.path("pipeline.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let hydrating = |partitions: &str| format!("{partitions}, hydrate: {{author: {TTL}s}}}}");
    let text = ["partitions: 2", "partitions: 3"]
        .iter()
        .fold(text, |text, slice| text.replace(&format!("{slice}}}"), &hydrating(slice)));
    std::fs::write(&file, text).unwrap();
    pipeline
}

const RECORDS: &str = "SELECT count(*) FROM records";
const QUEUED: &str = "SELECT count(*) FROM hydration_queue";

/// What `turbo shards` says of the records that are not complete yet, in all shards.
fn incomplete(servers: &Servers, pipeline: &Pipeline) -> u64 {
    let (fine, text) = servers.says(pipeline, &["shards", "--json"]);
    assert!(fine, "{text}");
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| line["incomplete"].as_u64().unwrap()).sum()
}

#[test]
fn what_waits_for_the_database_is_not_too_old_when_it_lands_and_all_is_completed() {
    let Some(servers) = Servers::start() else { return };
    let network = network();
    let pipeline = pipeline(&servers, &network);
    network.appview_mood(Mood::Down, Duration::from_secs(3600));
    let ingest = servers.process(&pipeline, "ingest");
    let work = [servers.process(&pipeline, "work"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "they are ready", || work.iter().all(|work| work.get("/health/ready").0 == 200));
    eventually(PATIENCE, "records land, and wait", || servers.number(RECORDS) > 100 && servers.number(QUEUED) > 100);
    assert!(incomplete(&servers, &pipeline) > 100);
    network.appview_mood(Mood::Down, Duration::ZERO);
    eventually(PATIENCE, "they are completed", || servers.number(QUEUED) < 50);
    // What is read meanwhile is given what is known, and can not land.
    let sql = |sql: &str| servers.postgres.execute("template1", sql);
    sql("ALTER DATABASE postgres ALLOW_CONNECTIONS false");
    sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'postgres'");
    std::thread::sleep(Duration::from_secs(4 * TTL));
    sql("ALTER DATABASE postgres ALLOW_CONNECTIONS true");
    assert!(network.happened() < EVENTS, "the network has ended before the outage");
    assert!(network.wait_for(EVENTS, Duration::from_secs(120)));
    let view = &network.truth().v2;
    let records = view.records().count() as i64;
    eventually(PATIENCE, "everything lands", || servers.number(RECORDS) == records);
    let age = "max(extract(epoch FROM indexed_at - (hydrated #>> '{author,asOf}')::timestamptz))::bigint";
    let oldest = servers.number(&format!("SELECT {age} FROM records"));
    assert!((0..=TTL as i64 + 3).contains(&oldest), "what landed was {oldest} s old, where {TTL} s count");
    eventually(PATIENCE, "everything is completed", || servers.number(QUEUED) == 0);
    assert_eq!(servers.number(&format!("{RECORDS} WHERE hydration = 'full'")), records);
    assert_eq!(incomplete(&servers, &pipeline), 0);
    drop((ingest, work));
}
