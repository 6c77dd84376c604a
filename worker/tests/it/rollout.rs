//! Processes of two pipeline files without a generation at once, and limits of NATS that somebody else has changed.

use crate::harness::{PATIENCE, eventually};
use crate::landed::archive;
use crate::processes::{Servers, network, source, stop};
use async_nats::jetstream::stream::DiscardPolicy;
use std::time::Duration;
use turbo_sim::Pace;

const ARCHIVE: &str = ", archive: {directory: archive, roll: {size: 1Mi, age: 1s}}";

#[test]
fn shards_that_were_claimed_while_an_older_list_of_sinks_was_the_newest_get_the_sinks_in_the_end() {
    let Some(servers) = Servers::start() else { return };
    let network = network(21, 20_000, Pace::Real { speed: 1.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let with = |sinks: &str| servers.rewrite(&pipeline, &source(&network), sinks, "");
    let start = |role: &str| servers.process(&pipeline, role);
    let (ingest, first, second) = (start("ingest"), start("work"), start("work"));
    let shards = |worker: &crate::harness::Process| worker.stats()["shards"].as_array().map_or(0, Vec::len);
    eventually(PATIENCE, "both have shards", || shards(&first) > 0 && shards(&second) > 0);
    // The first one has the new file; then the ingester and the second one start once more with the old one.
    with(ARCHIVE);
    stop([first]);
    let first = start("work");
    eventually(PATIENCE, "it has shards", || shards(&first) > 0 && shards(&second) > 0);
    with("");
    stop([ingest]);
    let ingest = start("ingest");
    second.kill();
    let second = start("work");
    eventually(PATIENCE, "it has shards", || shards(&first) > 0 && shards(&second) > 0);
    stop([second]);
    eventually(PATIENCE, "the first one has all", || shards(&first) == 5);
    let archived = "SELECT count(*) FROM positions WHERE sink = 'archive'";
    assert!(servers.number(archived) < 5, "those that the second one had have none");
    // What one of the new file that starts does, but that it would take shards, too.
    servers.postgres.execute("postgres", "UPDATE pipeline SET sinks = '{archive}'");
    eventually(PATIENCE, "every shard has an archive", || servers.number(archived) == 5);
    let from = servers.number("SELECT max(position) FROM positions WHERE sink = 'archive'");
    eventually(PATIENCE, "it gets on", || servers.number("SELECT min(position) FROM positions") > from);
    stop([ingest, first]);
    assert!(archive(&pipeline.path("archive")).len() > 100);
}

#[test]
fn an_ingester_of_an_older_file_has_no_say_in_the_sinks() {
    let Some(servers) = Servers::start() else { return };
    let network = network(22, 2_000, Pace::Real { speed: 1.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    servers.rewrite(&pipeline, &source(&network), ARCHIVE, "");
    let worker = servers.process(&pipeline, "work");
    eventually(PATIENCE, "it is ready", || worker.get("/health/ready").0 == 200);
    servers.rewrite(&pipeline, &source(&network), "", "");
    let ingest = servers.process(&pipeline, "ingest");
    eventually(PATIENCE, "it reads", || servers.entries() > 100);
    assert_eq!(servers.postgres.execute("postgres", "SELECT sinks FROM pipeline").trim(), "{archive}");
    stop([worker, ingest]);
}

#[test]
fn limits_of_the_log_that_somebody_has_changed_are_put_right_at_the_start() {
    let Some(servers) = Servers::start() else { return };
    let network = network(23, 2_000, Pace::Real { speed: 1.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let start = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first = start();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    stop(first);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = || {
        runtime.block_on(async {
            let context = async_nats::jetstream::new(async_nats::connect(servers.nats.url()).await.unwrap());
            (context.get_stream("tp_default_test").await.unwrap().cached_info().config.clone(), context)
        })
    };
    let (mut changed, context) = config();
    (changed.discard, changed.max_age) = (DiscardPolicy::Old, Duration::from_secs(3600));
    (changed.max_messages, changed.max_messages_per_subject) = (100_000, 10_000);
    runtime.block_on(context.update_stream(changed)).unwrap();
    let second = start();
    eventually(PATIENCE, "it is ready", || second[1].get("/health/ready").0 == 200);
    let now = config().0;
    assert_eq!((now.discard, now.max_age), (DiscardPolicy::New, Duration::ZERO));
    assert_eq!((now.max_messages, now.max_messages_per_subject), (-1, -1));
    stop(second);
}
