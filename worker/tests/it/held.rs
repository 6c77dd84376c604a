//! Back-pressure as its users see it: what waits has a limit, and whoever is held says how much waits.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::processes::{Servers, network, source, stop};
use crate::truth::entries;
use std::time::Duration;
use turbo_sim::Pace;

fn summary(process: &Process) -> String {
    process.stats()["summary"].as_str().unwrap().to_owned()
}

fn waiting(process: &Process) -> u64 {
    process.stats()["log"]["waiting"].as_u64().unwrap_or(0)
}

/// Not more than this may wait for the workers.
const HIGH_WATER: u64 = 1000;

fn limited(pipeline: &Pipeline) {
    let path = pipeline.path("pipeline.yaml");
    let file = std::fs::read_to_string(&path).unwrap();
    let (nats, limited) = ("maxBytes: 1Gi", format!("maxBytes: 1Gi, highWater: {HIGH_WATER}"));
    assert!(file.contains(nats), "{file}");
    std::fs::write(path, file.replace(nats, &limited)).unwrap();
}

#[test]
fn the_source_is_read_up_to_the_high_water_mark_until_workers_come() {
    let Some(servers) = Servers::start() else { return };
    let network = network(23, 8_000, Pace::Real { speed: 20.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    limited(&pipeline);
    let ingest = servers.process(&pipeline, "ingest");
    eventually(PATIENCE, "it is held", || {
        summary(&ingest).starts_with("held: the workers are slower than the source, ")
    });
    // What is read waits in the process, which has a limit of its own.
    eventually(PATIENCE, "all was sent", || ingest.stats()["source"]["events"] == 8_000);
    let held = waiting(&ingest);
    // A batch that has passed may be as large as the log takes.
    assert!(held > HIGH_WATER && held <= 2 * HIGH_WATER, "{held}");
    let worker = servers.process(&pipeline, "work");
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    eventually(PATIENCE, "it is held no more", || !summary(&ingest).starts_with("held"));
    stop([ingest, worker]);
}

#[test]
fn a_worker_without_its_database_says_how_much_waits() {
    let Some(servers) = Servers::start() else { return };
    let network = network(24, 8_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let (ingest, worker) = (servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work"));
    eventually(PATIENCE, "it is ready", || worker.get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 500);
    servers.postgres.kill();
    eventually(PATIENCE, "it says so", || {
        let said = summary(&worker);
        let rest = said.strip_prefix("held: PostgreSQL takes no commit, ");
        let count =
            rest.and_then(|rest| rest.split_once(" waiting: ")).and_then(|(count, _)| count.parse::<u64>().ok());
        count.is_some_and(|count| count > 100) && waiting(&worker) > 100
    });
    servers.postgres.restart();
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    eventually(PATIENCE, "nothing waits", || waiting(&worker) == 0 && !summary(&worker).starts_with("held"));
    stop([ingest, worker]);
}

#[test]
fn a_log_that_is_away_is_told_by_both_and_both_go_on() {
    let Some(servers) = Servers::start() else { return };
    let network = network(25, 8_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let (ingest, worker) = (servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work"));
    eventually(PATIENCE, "it is ready", || worker.get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 500);
    servers.nats.kill();
    for process in [&ingest, &worker] {
        eventually(PATIENCE, "it says so", || {
            let error = process.stats()["log"]["error"].is_string();
            error && summary(process).starts_with("held: NATS does not answer")
        });
    }
    servers.nats.restart();
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    for process in [&ingest, &worker] {
        eventually(PATIENCE, "it is over", || !summary(process).contains("does not answer"));
    }
    stop([ingest, worker]);
}

/// A server answers, and stores nothing into the bucket: so it is on one whose disk was full, until it is started again.
#[test]
fn a_bucket_that_takes_nothing_is_told_by_whoever_reads_stands_by_or_works() {
    let Some(servers) = Servers::start() else { return };
    let network = network(27, 8_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let (ingest, worker) = (servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work"));
    eventually(PATIENCE, "it is ready", || worker.get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 500);
    seal(&servers);
    let told = "no shard moves, and nobody takes over: the bucket tp_default_test of NATS takes nothing: ";
    for process in [&ingest, &worker] {
        eventually(PATIENCE, "it says so", || summary(process).starts_with(told));
    }
    // Who reads and who owns go on, and whoever comes now can be nothing but idle, and says why.
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    let [reads, works] = ["ingest", "work"].map(|role| servers.process(&pipeline, role));
    for process in [&reads, &works] {
        eventually(PATIENCE, "it says so", || summary(process).starts_with(told));
        assert!(process.stats()["log"]["error"].as_str().unwrap().contains("takes nothing"));
    }
    stop([ingest, worker, reads, works]);
}

/// From now on the server refuses whatever is written into the bucket.
fn seal(servers: &Servers) {
    let url = servers.nats.url();
    let sealed = async {
        let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
        let mut bucket = context.get_stream("KV_tp_default_test").await.unwrap().cached_info().config.clone();
        bucket.sealed = true;
        context.update_stream(bucket).await.unwrap();
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(sealed);
}

#[test]
fn a_start_says_what_it_waits_for() {
    let Some(servers) = Servers::start() else { return };
    let network = network(26, 1_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    servers.postgres.kill();
    let processes = ["ingest", "work"].map(|role| servers.process(&pipeline, role));
    for process in &processes {
        eventually(PATIENCE, "it says so", || summary(process).starts_with("starting: waiting for PostgreSQL at "));
        assert_eq!(process.get("/health/startup").0, 503);
    }
    servers.postgres.restart();
    for process in &processes {
        eventually(PATIENCE, "it has begun", || process.get("/health/startup").0 == 200);
        assert!(!summary(process).starts_with("starting"));
    }
    stop(processes);
}
