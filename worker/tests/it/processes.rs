//! The roles as their users run them: `turbo ingest`, `turbo work` and `turbo run` over NATS and PostgreSQL.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::landed;
use crate::truth::entries;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;
use turbo_sim::{Network, NetworkConfig, Pace, View, WorldConfig};
use turbo_testkit::{Nats, Postgres, S3};

const SLICES: &str =
    "slices: [{name: posts, collections: [app.bsky.feed.post], partitions: 2}, {name: rest, partitions: 3}]";

/// The servers of one pipeline.
pub struct Servers {
    pub nats: Nats,
    pub postgres: Postgres,
}

impl Servers {
    pub fn start() -> Option<Self> {
        Some(Self { nats: Nats::start()?, postgres: Postgres::start()? })
    }

    pub fn pipeline(&self, source: &str, more: &str) -> Pipeline {
        self.with_sinks(source, "", more)
    }

    /// With sinks beside the database: YAML in flow style, each with a comma before it.
    fn with_sinks(&self, source: &str, sinks: &str, more: &str) -> Pipeline {
        let pipeline = Pipeline::with_sinks(source, "{}", "");
        self.rewrite(&pipeline, source, sinks, more);
        pipeline
    }

    pub fn rewrite(&self, pipeline: &Pipeline, source: &str, sinks: &str, more: &str) {
        let url = self.nats.url();
        let head = "apiVersion: turbopipeline.dev/v1alpha1\nkind: TurboPipeline\nmetadata: {name: test}\nspec:\n";
        let file = format!(
            "{head}  source: {source}\n  {SLICES}\n  log: {{nats: {{url: \"{url}\", stream: {{maxBytes: 1Gi}}}}}}\n  \
             workers: {{lease: 3s, drain: 20s}}\n  sinks: {{postgres: {{urlFrom: {{env: TURBO_PG}}}}{sinks}}}\n  {more}\n"
        );
        std::fs::write(pipeline.path("pipeline.yaml"), file).unwrap();
    }

    pub fn process(&self, pipeline: &Pipeline, role: &str) -> Process {
        pipeline.start_as(
            role,
            &[("TURBO_PG", &self.postgres.url()), ("TURBO_BUFFER", pipeline.path("").to_str().unwrap())],
        )
    }

    /// What another command prints; whether it ended well.
    pub fn says(&self, pipeline: &Pipeline, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_turbo"))
            .args([arguments[0], "-f", "pipeline.yaml"])
            .args(&arguments[1..])
            .current_dir(pipeline.path(""))
            .env("TURBO_PG", self.postgres.url())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.postgres.execute("postgres", sql).trim().parse().unwrap_or(-1)
    }

    pub fn entries(&self) -> i64 {
        self.number("SELECT sum(entries) FROM counters")
    }
}

pub fn network(seed: u64, events: u64, pace: Pace) -> Network {
    let world = WorldConfig { accounts: 300, nasty: 0.0, resyncs: 0.002, removals: 0.002, ..WorldConfig::seeded(seed) };
    Network::start(NetworkConfig { world, pace, events: Some(events), ..NetworkConfig::default() }).unwrap()
}

pub fn source(network: &Network) -> String {
    format!("{{jetstream: {{endpoints: [\"{}\"], cursor: 0, silence: 2s}}}}", network.url(0))
}

/// Every record and its revision, as the truth has them and as they landed; each event once.
pub fn assert_landed(servers: &Servers, view: &View) {
    assert_eq!(wrong_rows(servers, view), None);
    assert_eq!(servers.entries(), entries(view, 2) as i64, "each event once in each slice that it goes to");
}

/// What differs of the records and their revisions, as the truth has them and as they landed.
pub fn wrong_rows(servers: &Servers, view: &View) -> Option<String> {
    let mut truth = BTreeMap::new();
    for (did, record) in view.records() {
        truth.insert(format!("{did}/{}/{}", record.collection, record.rkey), record.rev.to_owned());
    }
    let rows = servers
        .postgres
        .execute("postgres", "SELECT did || '/' || collection || '/' || rkey || ' ' || rev FROM records");
    let landed: BTreeMap<String, String> = rows
        .lines()
        .filter_map(|row| row.rsplit_once(' '))
        .map(|(key, rev)| (key.to_owned(), rev.to_owned()))
        .collect();
    let wrong: Vec<_> = truth.iter().filter(|(key, rev)| landed.get(*key) != Some(rev)).take(5).collect();
    let more: Vec<_> = landed.keys().filter(|key| !truth.contains_key(*key)).take(5).collect();
    (!wrong.is_empty() || !more.is_empty()).then(|| format!("wrong {wrong:?}, more {more:?}"))
}

#[test]
fn two_ingesters_and_three_workers_leave_every_event_once_whoever_is_killed() {
    let Some(servers) = Servers::start() else { return };
    let network = network(7, 20_000, Pace::Real { speed: 6.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let mut ingesters: Vec<Process> = (0..2).map(|_| servers.process(&pipeline, "ingest")).collect();
    let mut workers: Vec<Process> = (0..3).map(|_| servers.process(&pipeline, "work")).collect();
    eventually(PATIENCE, "the workers are ready", || workers.iter().all(|worker| worker.get("/health/ready").0 == 200));
    eventually(PATIENCE, "the first events land", || servers.entries() > 500);
    // Whoever reads the source now dies, and so does a worker; then another worker leaves in good order.
    let active = ingesters.iter().position(|one| one.stats()["source"]["state"] != "waiting").unwrap();
    ingesters.remove(active).kill();
    workers.remove(0).kill();
    let before = servers.entries();
    eventually(PATIENCE, "the others take over", || servers.entries() > before + 500);
    workers.push(servers.process(&pipeline, "work"));
    let mut leaving = workers.remove(0);
    leaving.signal("TERM");
    assert!(leaving.wait().success(), "{}", leaving.log());
    assert!(network.wait_for(20_000, Duration::from_secs(120)));
    let truth = network.truth();
    let expected = entries(&truth.v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    assert_landed(&servers, &truth.v2);
    for mut process in workers.into_iter().chain(ingesters) {
        process.signal("TERM");
        assert!(process.wait().success(), "{}", process.log());
    }
    assert_eq!(servers.number("SELECT count(*) FROM positions WHERE owner IS NOT NULL"), 0, "all is released");
    assert_eq!(servers.number("SELECT count(*) FROM gaps"), 0);
}

/// Stops processes in good order.
pub fn stop(processes: impl IntoIterator<Item = Process>) {
    for mut process in processes {
        // One that has not come so far yet ends by the signal itself.
        process.address();
        process.signal("TERM");
        assert!(process.wait().success(), "{}", process.log());
    }
}

/// Shards of which some sink has not what the database has.
pub const BEHIND: &str = "SELECT count(*) FROM positions p JOIN positions c USING (slice, partition)
                      WHERE c.sink = 'postgres' AND p.position < c.position";

#[test]
fn a_database_that_was_restored_from_a_backup_goes_on_and_ends_as_the_truth() {
    let Some(servers) = Servers::start() else { return };
    let network = network(9, 8_000, Pace::Real { speed: 3.0 });
    let archive = ", archive: {directory: archive, roll: {size: 64Ki, age: 1s}}";
    let pipeline = servers.with_sinks(&source(&network), archive, "");
    let both = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first = both();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 1000);
    stop(first);
    let backed_up = servers.entries();
    let sql = |sql: &str| servers.postgres.execute("template1", sql);
    sql("CREATE DATABASE backup TEMPLATE postgres");
    let committed = || -> BTreeSet<String> {
        let paths = servers.postgres.execute("postgres", "SELECT path FROM segments WHERE state = 'committed'");
        paths.lines().map(str::to_owned).collect()
    };
    let in_backup = committed();
    let second = both();
    eventually(PATIENCE, "more of it lands", || servers.entries() > backed_up + 1000);
    eventually(PATIENCE, "more of it is archived", || committed().len() > in_backup.len() + 5);
    stop(second);
    let (epochs, archived) = (servers.number("SELECT sum(epoch) FROM positions"), committed());
    sql("DROP DATABASE postgres");
    sql("ALTER DATABASE backup RENAME TO postgres");
    assert_eq!((servers.entries(), committed()), (backed_up, in_backup), "the database is as it was");
    let third = both();
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let truth = network.truth();
    let expected = entries(&truth.v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    assert_landed(&servers, &truth.v2);
    assert!(third[1].log().contains("the catalog went back"), "{}", third[1].log());
    assert!(servers.number("SELECT sum(epoch) FROM positions") > epochs, "claims are above every epoch that was seen");
    assert_eq!(servers.number("SELECT count(*) FROM gaps"), 0, "the log still had all of it");
    eventually(PATIENCE, "the archive has it", || servers.number(BEHIND) == 0);
    assert!(committed().is_superset(&archived), "what was archived since the backup is known again");
    stop(third);
    let rows = landed::archive(&pipeline.path("archive"));
    let once: BTreeSet<_> = rows.iter().map(|row| (row.slice.clone(), row.partition, row.seq)).collect();
    assert_eq!((rows.len(), once.len()), (expected as usize, expected as usize), "once, by the files alone");
    assert_eq!(
        servers.number("SELECT sum(rows) FROM segments WHERE state = 'committed'"),
        expected,
        "and by the catalog"
    );
    let (fine, text) = servers.says(&pipeline, &["segments", "--verify"]);
    assert!(fine && text.contains("0 on their way, 0 burnt"), "{text}");
}

#[test]
fn sinks_that_are_added_begin_at_the_checkpoint_and_those_removed_lose_their_positions() {
    let (Some(servers), Some(s3)) = (Servers::start(), S3::start()) else { return };
    s3.create_bucket("turbo");
    let network = network(12, 6_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    std::fs::write(pipeline.path("id"), s3.access_key()).unwrap();
    std::fs::write(pipeline.path("secret"), s3.secret_key()).unwrap();
    let both = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first = both();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 1000);
    stop(first);
    let before = servers.entries();
    let archive = format!(
        ", archive: {{s3: {{bucket: turbo, endpoint: \"{}\", accessKeyIdFrom: {{file: id}}, \
         secretAccessKeyFrom: {{file: secret}}}}, roll: {{size: 64Ki, age: 1s}}}}, enriched: {{nats: {{maxBytes: 1Gi}}}}",
        s3.url()
    );
    servers.rewrite(&pipeline, &source(&network), &archive, "");
    let second = both();
    assert!(network.wait_for(6_000, Duration::from_secs(120)));
    let expected = entries(&network.truth().v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    eventually(PATIENCE, "every sink has it", || servers.number(BEHIND) == 0);
    let archived = servers.number("SELECT sum(rows) FROM segments WHERE state = 'committed'");
    assert_eq!(archived, expected - before, "what came after the sink was added, once");
    let (fine, text) = servers.says(&pipeline, &["segments", "--verify"]);
    assert!(fine && text.contains("committed"), "{text}");
    let (fine, text) = servers.says(&pipeline, &["shards"]);
    let owned = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        matches!(columns[..], ["posts" | "rest", _, owner, ..] if owner.contains('-') && owner.len() > 8)
    };
    assert!(fine && text.lines().filter(owned).count() == 5, "every shard with its owner: {text}");
    let (fine, text) = servers.says(&pipeline, &["dlq", "list"]);
    assert!(fine, "{text}");
    stop(second);
    servers.rewrite(&pipeline, &source(&network), ", enriched: {nats: {maxBytes: 1Gi}}", "");
    let third = both();
    let gone = "SELECT count(*) FROM positions WHERE sink = 'archive'";
    eventually(PATIENCE, "the archive's positions are gone", || servers.number(gone) == 0);
    assert_eq!(servers.number("SELECT count(*) FROM positions WHERE sink = 'enriched'"), 5);
    assert_eq!(third[1].stats()["sinks_removed"], serde_json::json!(["archive"]), "and that is told");
    let told = "spec.sinks.archive: is gone from the pipeline file";
    assert_eq!(third[1].log().matches(told).count(), 5, "{}", third[1].log());
    stop(third);
}

#[test]
fn a_log_that_is_deleted_begins_anew_and_every_event_still_lands_once() {
    let Some(servers) = Servers::start() else { return };
    let network = network(15, 8_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let both = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || both[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 1000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(servers.nats.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("tp_default_test").await.unwrap();
    });
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let truth = network.truth();
    let expected = entries(&truth.v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    assert_landed(&servers, &truth.v2);
    assert!(servers.number("SELECT max(position) FROM positions") >= 1 << 40, "sequences only grow");
    assert_eq!(servers.number("SELECT count(*) FROM gaps WHERE reason LIKE 'the log ended at %'"), 1, "it is told");
    assert_eq!(both[0].stats()["source"]["gaps"], 1);
    stop(both);
}

/// The n-th record of a recording, at a time and in a collection.
fn record(n: u64, time_us: u64, collection: &str) -> String {
    let rev = turbo_core::tid::encode(time_us as i64, 0);
    let did = n % 7;
    format!(
        r#"{{"did":"did:plc:{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"{collection}","rkey":"r{n}","record":{{"n":{n}}},"cid":"c"}}}}"#
    )
}

const BEGAN_US: u64 = 1_783_175_888_000_000;

#[test]
fn a_purge_spares_the_window_and_the_last_message_of_a_shard_that_is_idle() {
    let Some(servers) = Servers::start() else { return };
    let pipeline = servers.pipeline("{recording: {path: events.jsonl}}", "");
    // One post at the very beginning, and likes for an hour behind it.
    let likes = (1..3600).map(|n| record(n, BEGAN_US + n * 1_000_000, "app.bsky.feed.like"));
    let mut lines: Vec<String> = std::iter::once(record(0, BEGAN_US, "app.bsky.feed.post")).chain(likes).collect();
    std::fs::write(pipeline.path("events.jsonl"), lines.join("\n") + "\n").unwrap();
    let worker = servers.process(&pipeline, "work");
    assert!(servers.process(&pipeline, "ingest").wait().success());
    eventually(PATIENCE, "everything lands", || servers.entries() == 3600);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = servers.nats.url();
    let stream = || {
        runtime.block_on(async {
            let context = async_nats::jetstream::new(async_nats::connect(url.clone()).await.unwrap());
            context.get_stream("tp_default_test").await.unwrap()
        })
    };
    let left = || stream().cached_info().state.messages;
    eventually(PATIENCE, "what is older than the window is purged", || left() < 1000);
    assert!(left() >= 900, "a quarter of an hour of it stays: {}", left());
    let post = (0..2).filter(|partition| {
        let subject = format!("tp.default.test.posts.{partition}");
        runtime.block_on(stream().get_last_raw_message_by_subject(&subject)).is_ok()
    });
    assert_eq!(post.count(), 1, "the only message of the idle shard stands");
    // It keeps its number by it, so that the next one is seen to follow.
    stop([worker]);
    lines.push(record(3600, BEGAN_US + 3_600_000_000, "app.bsky.feed.post").replace("did:plc:2", "did:plc:0"));
    std::fs::write(pipeline.path("events.jsonl"), lines.join("\n") + "\n").unwrap();
    assert!(servers.process(&pipeline, "ingest").wait().success());
    let worker = servers.process(&pipeline, "work");
    eventually(PATIENCE, "the next post lands", || servers.entries() == 3601);
    assert_eq!(servers.number("SELECT max(number) FROM positions WHERE slice = 'posts'"), 2);
    assert_eq!(servers.number("SELECT count(*) FROM gaps"), 0);
    stop([worker]);
}

#[test]
fn a_recording_is_read_to_its_end_and_the_process_ends_when_all_of_it_is_committed() {
    let Some(servers) = Servers::start() else { return };
    let pipeline = servers.pipeline("{recording: {path: events.jsonl}}", "");
    let line = |n: u64| record(n, BEGAN_US + n, "app.bsky.feed.like");
    let lines: Vec<String> = (0..3000).map(line).collect();
    std::fs::write(pipeline.path("events.jsonl"), lines.join("\n") + "\n").unwrap();
    for _ in 0..2 {
        let mut process = servers.process(&pipeline, "run");
        assert!(process.wait().success(), "{}", process.log());
        assert!(process.log().contains("the source was read to its end"), "{}", process.log());
        assert_eq!(servers.entries(), 3000, "once, also when it is run again");
    }
    assert_eq!(servers.number("SELECT count(*) FROM records"), 3000);
    let mut process = pipeline.start_as("run", &[]);
    assert!(!process.wait().success());
    assert!(
        process.log().contains("spec.sinks.postgres.urlFrom: the environment variable TURBO_PG is not set"),
        "{}",
        process.log()
    );
}

#[test]
fn a_log_that_is_behind_the_catalog_is_read_to_its_end_and_begun_anew() {
    let Some(servers) = Servers::start() else { return };
    let network = network(16, 6_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let both = || [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    let first = both();
    eventually(PATIENCE, "it is ready", || first[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 1000);
    stop(first);
    // As if the stream had been restored from a backup: what the catalog has is not in it.
    servers.postgres.execute("postgres", "UPDATE positions SET position = position + 100000");
    let second = both();
    assert!(network.wait_for(6_000, Duration::from_secs(120)));
    let truth = network.truth();
    let expected = entries(&truth.v2, 2) as i64;
    eventually(PATIENCE, "everything lands", || servers.entries() >= expected);
    assert_landed(&servers, &truth.v2);
    assert!(servers.number("SELECT min(position) FROM positions") >= 1 << 40, "also what is covered moves positions");
    assert_eq!(servers.number("SELECT count(*) FROM gaps"), 1);
    stop(second);
}

#[test]
fn a_bucket_that_is_gone_is_made_again_and_everybody_finds_each_other() {
    let Some(servers) = Servers::start() else { return };
    let network = network(17, 8_000, Pace::Real { speed: 3.0 });
    let pipeline = servers.pipeline(&source(&network), "");
    let both = [servers.process(&pipeline, "ingest"), servers.process(&pipeline, "work")];
    eventually(PATIENCE, "it is ready", || both[1].get("/health/ready").0 == 200);
    eventually(PATIENCE, "some of it lands", || servers.entries() > 500);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(servers.nats.url()).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("KV_tp_default_test").await.unwrap();
    });
    let more = servers.process(&pipeline, "work");
    eventually(PATIENCE, "another worker gets its share", || {
        more.stats()["shards"].as_array().is_some_and(|shards| !shards.is_empty())
    });
    assert!(network.wait_for(8_000, Duration::from_secs(120)));
    let truth = network.truth();
    eventually(PATIENCE, "everything lands", || servers.entries() >= entries(&truth.v2, 2) as i64);
    assert_landed(&servers, &truth.v2);
    stop(both.into_iter().chain([more]));
}

#[test]
fn a_worker_whose_store_refuses_it_ends_and_says_why() {
    let (Some(servers), Some(s3)) = (Servers::start(), S3::start()) else { return };
    let archive = format!(
        ", archive: {{s3: {{bucket: nobodys, endpoint: \"{}\", accessKeyIdFrom: {{file: id}}, secretAccessKeyFrom: {{file: id}}}}}}",
        s3.url()
    );
    let pipeline = servers.with_sinks("{jetstream: {endpoints: [\"ws://127.0.0.1:9\"]}}", &archive, "");
    std::fs::write(pipeline.path("id"), "wrong").unwrap();
    let mut worker = servers.process(&pipeline, "work");
    assert!(!worker.wait().success());
    assert!(worker.log().contains("spec.sinks.archive"), "{}", worker.log());
}
