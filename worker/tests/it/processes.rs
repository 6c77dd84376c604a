//! The roles as their users run them: `turbo ingest`, `turbo work` and `turbo run` over NATS and PostgreSQL.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::truth::entries;
use std::collections::BTreeMap;
use std::time::Duration;
use turbo_sim::{Network, NetworkConfig, Pace, View, WorldConfig};
use turbo_testkit::{Nats, Postgres};

const SLICES: &str =
    "slices: [{name: posts, collections: [app.bsky.feed.post], partitions: 2}, {name: rest, partitions: 3}]";

/// The servers of one pipeline.
struct Servers {
    nats: Nats,
    postgres: Postgres,
}

impl Servers {
    fn start() -> Option<Self> {
        Some(Self { nats: Nats::start()?, postgres: Postgres::start()? })
    }

    fn pipeline(&self, source: &str, more: &str) -> Pipeline {
        let more = format!(
            "{SLICES}\n  log: {{nats: {{url: \"{}\"}}}}\n  workers: {{lease: 3s, drain: 20s}}\n  {more}",
            self.nats.url()
        );
        Pipeline::with_sinks(source, "{postgres: {urlFrom: {env: TURBO_PG}}}", &more)
    }

    fn process(&self, pipeline: &Pipeline, role: &str) -> Process {
        pipeline.start_as(role, &[("TURBO_PG", &self.postgres.url())])
    }

    fn number(&self, sql: &str) -> i64 {
        self.postgres.execute("postgres", sql).trim().parse().unwrap_or(-1)
    }

    fn entries(&self) -> i64 {
        self.number("SELECT sum(entries) FROM counters")
    }
}

fn network(seed: u64, events: u64, pace: Pace) -> Network {
    let world = WorldConfig { accounts: 300, nasty: 0.0, resyncs: 0.002, removals: 0.002, ..WorldConfig::seeded(seed) };
    Network::start(NetworkConfig { world, pace, events: Some(events), ..NetworkConfig::default() }).unwrap()
}

fn source(network: &Network) -> String {
    format!("{{jetstream: {{endpoints: [\"{}\"], cursor: 0, silence: 2s}}}}", network.url(0))
}

/// Every record and its revision, as the truth has them and as they landed.
fn assert_landed(servers: &Servers, view: &View) {
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
    assert!(wrong.is_empty() && more.is_empty(), "wrong {wrong:?}, more {more:?}");
    assert_eq!(servers.entries(), entries(view, 2) as i64, "each event once in each slice that it goes to");
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
