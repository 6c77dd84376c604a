//! The database is restored from a backup while the workers live: what changed since, owners and sinks, is forgotten by the
//! catalog and not by them.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::landed::archive;
use crate::processes::{BEHIND, Servers, assert_landed, network, source, stop};
use crate::truth::entries;
use std::collections::BTreeSet;
use std::time::Duration;
use turbo_sim::{Network, Pace};

const ARCHIVE: &str = ", archive: {directory: archive, roll: {size: 64Ki, age: 1s}}, enriched: {nats: {maxBytes: 1Gi}}";

struct Case {
    servers: Servers,
    network: Network,
    pipeline: Pipeline,
}

impl Case {
    fn new(seed: u64, sinks: &str) -> Option<Self> {
        let (servers, network) = (Servers::start()?, network(seed, 8_000, Pace::Real { speed: 2.0 }));
        let pipeline = servers.pipeline(&source(&network), "");
        let case = Self { servers, network, pipeline };
        case.edit(sinks);
        Some(case)
    }

    fn edit(&self, sinks: &str) {
        self.servers.rewrite(&self.pipeline, &source(&self.network), sinks, "");
    }

    fn start(&self, role: &str) -> Process {
        let process = self.servers.process(&self.pipeline, role);
        eventually(PATIENCE, "it is ready", || process.get("/health/ready").0 == 200);
        process
    }

    fn sql(&self, sql: &str) {
        self.servers.postgres.execute("template1", sql);
    }

    fn backs_up(&self) {
        self.sql("ALTER DATABASE postgres ALLOW_CONNECTIONS false");
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'");
        eventually(PATIENCE, "nobody is connected", || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres'";
            self.servers.postgres.execute("template1", sql).trim() == "0"
        });
        self.sql("CREATE DATABASE backup TEMPLATE postgres ALLOW_CONNECTIONS true");
        self.sql("ALTER DATABASE postgres ALLOW_CONNECTIONS true");
    }

    fn restores(&self) {
        self.sql("DROP DATABASE postgres WITH (FORCE)");
        self.sql("ALTER DATABASE backup RENAME TO postgres");
    }

    fn lands(&self, what: &str, more: i64) {
        let from = self.servers.entries();
        eventually(PATIENCE, what, || self.servers.entries() > from + more);
    }

    /// Waits for the end of the stream. Returns the entries of all shards.
    fn ends_as_the_truth(&self) -> i64 {
        assert!(self.network.wait_for(8_000, Duration::from_secs(120)));
        let truth = self.network.truth();
        let expected = entries(&truth.v2, 2) as i64;
        eventually(PATIENCE, "everything lands", || self.servers.entries() >= expected);
        assert_landed(&self.servers, &truth.v2);
        eventually(PATIENCE, "every sink has it", || self.servers.number(BEHIND) == 0);
        assert_eq!(self.servers.number("SELECT count(*) FROM gaps"), 0, "the log still had all of it");
        expected
    }
}

#[test]
fn shards_that_moved_since_the_backup_find_their_owner_again() {
    let Some(case) = Case::new(31, "") else { return };
    let owners = || case.servers.number("SELECT count(DISTINCT owner) FROM positions WHERE sink = 'postgres'");
    let (ingest, first) = (case.start("ingest"), case.start("work"));
    case.lands("some of it lands", 1000);
    case.backs_up();
    let second = case.start("work");
    eventually(PATIENCE, "both own shards", || owners() == 2);
    case.lands("more of it lands", 500);
    case.restores();
    assert_eq!(owners(), 1, "the backup knows one");
    eventually(PATIENCE, "both own shards again", || owners() == 2);
    case.ends_as_the_truth();
    let says = |process: &Process| process.log().contains("the catalog went back");
    assert!(says(&first) || says(&second), "whoever claims first says so: {}", second.log());
    stop([ingest, first, second]);
}

#[test]
fn sinks_that_were_added_since_the_backup_have_all_that_lands_again() {
    let Some(case) = Case::new(32, "") else { return };
    let (ingest, first) = (case.start("ingest"), case.start("work"));
    case.lands("some of it lands", 1000);
    case.backs_up();
    stop([first]);
    case.edit(ARCHIVE);
    let second = case.start("work");
    case.lands("more of it lands", 500);
    let archived = "SELECT count(*) FROM segments WHERE state = 'committed'";
    eventually(PATIENCE, "more of it is archived", || case.servers.number(archived) > 5);
    case.restores();
    let restored = case.servers.entries();
    let expected = case.ends_as_the_truth();
    let sinks = "SELECT count(*) FROM positions WHERE sink IN ('archive', 'enriched')";
    assert_eq!(case.servers.number(sinks), 10);
    stop([ingest, second]);
    let rows = archive(&case.pipeline.path("archive"));
    let once: BTreeSet<_> = rows.iter().map(|row| (row.slice.clone(), row.partition, row.seq)).collect();
    assert_eq!(rows.len(), once.len(), "each once");
    assert!(rows.len() as i64 >= expected - restored, "{} of {expected}, behind {restored}", rows.len());
    let committed = case.servers.number("SELECT sum(rows) FROM segments WHERE state = 'committed'");
    assert_eq!(committed, rows.len() as i64, "the catalog knows them all");
}

#[test]
fn sinks_that_were_removed_since_the_backup_hold_nothing() {
    let Some(case) = Case::new(33, ARCHIVE) else { return };
    let (ingest, first) = (case.start("ingest"), case.start("work"));
    case.lands("some of it lands", 1000);
    case.backs_up();
    stop([first]);
    case.edit("");
    let second = case.start("work");
    case.lands("more of it lands", 500);
    case.restores();
    case.ends_as_the_truth();
    let others = "SELECT count(*) FROM positions WHERE sink <> 'postgres'";
    eventually(PATIENCE, "the others have no positions", || case.servers.number(others) == 0);
    stop([ingest, second]);
}
