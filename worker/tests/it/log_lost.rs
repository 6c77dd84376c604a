//! A log that is lost, and a source that changes besides: what the new log brings again is known, what is new is new.

use crate::enriched::read;
use crate::faults::SPLIT;
use crate::harness::{PATIENCE, Process, eventually};
use crate::landed::archive;
use crate::processes::{BEHIND, Servers, assert_landed, network, source, stop, wrong_rows};
use crate::truth::{Wrong, archived, entries};
use std::collections::BTreeSet;
use std::time::Duration;
use turbo_sim::{Fault, HostConfig, Network, NetworkConfig, Pace, WorldConfig};

const EVENTS: u64 = 8_000;
/// Gaps, but for the one that tells of the lost log.
const OTHER_GAPS: &str = "SELECT count(*) FROM gaps WHERE reason NOT LIKE 'the log ended at %'";

fn delete_log(servers: &Servers) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(servers.nats.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("tp_default_test").await.unwrap();
    });
}

fn begun_anew(servers: &Servers) -> bool {
    servers.number("SELECT max(position) FROM positions") >= 1 << 40
}

#[test]
fn a_host_that_numbers_anew_after_the_log_was_lost_is_not_taken_for_what_was_had() {
    let Some(servers) = Servers::start() else { return };
    let world = WorldConfig { accounts: 300, nasty: 0.0, resyncs: 0.002, removals: 0.002, ..WorldConfig::seeded(16) };
    // It says so where it has nothing at a sequence yet: no later event has to.
    let hosts = vec![HostConfig { future_cursor: true, ..HostConfig::default() }];
    let network =
        Network::start(NetworkConfig { world, hosts, pace: Pace::Stepped, ..NetworkConfig::default() }).unwrap();
    network.fault(0, &Fault::NewSequences { base: 1_000_000 });
    let pipeline = servers.pipeline(&source(&network), "");
    let both = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || both[1].get("/health/ready").0 == 200);
    let lands = |events: u64| {
        network.step(events);
        let truth = network.truth();
        let expected = entries(&truth.v2, 2) as i64;
        eventually(PATIENCE, "what has happened lands", || servers.entries() >= expected);
        truth
    };
    lands(3000);
    delete_log(&servers);
    // Most of it is from after the loss then, and some of what came before it is younger than hosts' orders differ.
    lands(4500);
    assert!(begun_anew(&servers));
    // Far below what was had of it.
    network.fault(0, &Fault::NewSequences { base: 0 });
    let truth = lands(EVENTS - 7500);
    assert_landed(&servers, &truth.v2);
    assert_eq!(servers.number(OTHER_GAPS), 0);
    stop(both);
}

#[test]
fn another_host_is_rewound_after_the_log_was_lost() {
    let Some(servers) = Servers::start() else { return };
    let world = WorldConfig { accounts: 300, nasty: 0.0, resyncs: 0.02, removals: 0.002, ..WorldConfig::seeded(17) };
    let hosts = HostConfig { skew_us: 200_000, ..HostConfig::default() }.several(2, Duration::from_secs(1));
    let pace = Pace::Real { speed: 3.0 };
    let network =
        Network::start(NetworkConfig { world, hosts, pace, events: Some(EVENTS), ..NetworkConfig::default() }).unwrap();
    // Where the position is an event behind a sync, a stream is waited for until it is asked for more, also one that has ended.
    let of = |host| format!("{{jetstream: {{endpoints: [\"{}\"], cursor: 0, silence: 15s}}}}", network.url(host));
    let pipeline = servers.pipeline(&of(0), "");
    let start = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first: [Process; 2] = start();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 1000);
    stop(first);
    delete_log(&servers);
    servers.rewrite(&pipeline, &of(1), "", "");
    let second = start();
    assert!(network.wait_for(EVENTS, Duration::from_secs(120)));
    let truth = network.truth();
    // What was had of the other host comes again, and is counted again.
    eventually(PATIENCE, "everything lands", || servers.entries() >= entries(&truth.v2, 2) as i64);
    eventually(PATIENCE, "every row is right", || wrong_rows(&servers, &truth.v2).is_none());
    eventually(PATIENCE, "and nothing waits", || second[1].stats()["log"]["waiting"] == 0);
    assert_eq!(wrong_rows(&servers, &truth.v2), None, "and stays right");
    assert_eq!(servers.number(OTHER_GAPS), 0);
    stop(second);
}

#[test]
fn a_log_that_is_lost_before_anything_is_committed_is_told() {
    let Some(servers) = Servers::start() else { return };
    let network = network(21, 1_000, Pace::Full { events: 1_000 });
    let pipeline = servers.pipeline(&source(&network), "");
    let ingest = servers.process(&pipeline, "ingest");
    eventually(PATIENCE, "the log has it", || ingest.stats()["source"]["events"].as_u64() >= Some(900));
    // Longer than clocks of servers may differ.
    std::thread::sleep(Duration::from_secs(3));
    stop([ingest]);
    delete_log(&servers);
    let second = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let told = "SELECT count(*) FROM gaps WHERE reason LIKE 'the log was lost before anything of it was committed%'";
    eventually(PATIENCE, "it is told", || servers.number(told) == 1);
    // The file gives a cursor.
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "and the source is read again", || servers.entries() >= expected);
    assert_landed(&servers, &network.truth().v2);
    stop(second);
}

/// What stands in the enriched stream: how many messages, and how many that differ.
fn enriched(servers: &Servers) -> (usize, usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let found = runtime.block_on(async {
        let context = async_nats::jetstream::new(async_nats::connect(servers.nats.url()).await.unwrap());
        read(&context.get_stream("tpe_default_test").await.unwrap(), "").await
    });
    let differ = found.iter().map(|found| {
        let one = &found.document;
        (&one.slice, &one.did, &one.rev, &one.operation, &one.collection, &one.rkey, &one.kind, one.time_us)
    });
    (found.len(), differ.collect::<BTreeSet<_>>().len())
}

#[test]
fn what_a_sink_did_not_have_yet_when_log_and_processes_were_lost_is_read_again_for_it() {
    let Some(servers) = Servers::start() else { return };
    let network = network(19, EVENTS, Pace::Stepped);
    let pipeline = servers.pipeline(&source(&network), "");
    let sinks = |age: &str| {
        format!(
            ", archive: {{directory: archive, roll: {{size: 1Mi, age: {age}}}}}, enriched: {{nats: {{maxBytes: 1Gi}}}}"
        )
    };
    servers.rewrite(&pipeline, &source(&network), &sinks("1s"), "");
    let both = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first = both();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    network.step(3000);
    // Of a sink that never had anything it is not known from where on.
    let placed = "SELECT count(*) FROM positions WHERE sink <> 'postgres' AND host IS NOT NULL";
    eventually(PATIENCE, "every sink has something of every shard", || servers.number(placed) == 10);
    stop(first);
    servers.rewrite(&pipeline, &source(&network), &sinks("1h"), "");
    let (slow, before) = (both(), servers.entries());
    network.step(2000);
    eventually(PATIENCE, "more lands", || servers.entries() > before + 1000);
    slow.into_iter().for_each(Process::kill);
    assert!(servers.number(BEHIND) >= 5, "the archive has not everything that PostgreSQL has");
    delete_log(&servers);
    servers.rewrite(&pipeline, &source(&network), &sinks("1s"), "");
    // The worker comes first: the log is not begun anew yet.
    let second = [servers.process(&pipeline, "work"), servers.process(&pipeline, "ingest")];
    eventually(PATIENCE, "it has its shards", || {
        second[0].stats()["shards"].as_array().is_some_and(|all| all.len() == 5)
    });
    network.step(EVENTS - 5000);
    let truth = network.truth();
    let expected = entries(&truth.v2, 2);
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected as i64);
    eventually(PATIENCE, "every sink has it", || servers.number(BEHIND) == 0);
    assert_landed(&servers, &truth.v2);
    assert_eq!(servers.number(OTHER_GAPS), 0, "nothing is missing in any sink");
    assert!(!second[0].log().contains("remove the stream"), "the stream is right: {}", second[0].log());
    stop(second);
    let mut wrong = Wrong::default();
    archived(&truth.v2, &archive(&pipeline.path("archive")), &SPLIT, &mut wrong);
    assert_eq!((wrong, enriched(&servers)), (Wrong::default(), (expected, expected)));
}

#[test]
fn an_enriched_stream_that_is_older_than_log_and_catalog_is_told() {
    let Some(servers) = Servers::start() else { return };
    let network = network(20, 2_000, Pace::Full { events: 2_000 });
    let pipeline = servers.pipeline(&source(&network), "");
    servers.rewrite(&pipeline, &source(&network), ", enriched: {nats: {maxBytes: 1Gi}}", "");
    let first = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it is published", || {
        servers.number("SELECT count(*) FROM positions WHERE sink = 'enriched' AND position > 0") == 5
    });
    stop(first);
    delete_log(&servers);
    let anew = servers.postgres.create_database("anew");
    let worker = pipeline.start_as("work", &[("TURBO_PG", &anew)]);
    eventually(PATIENCE, "it is told", || worker.log().contains("if log and catalog are new, remove the stream"));
    stop([worker]);
}
