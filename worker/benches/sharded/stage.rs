//! The servers of one pipeline, its file, and what its catalog says.

use crate::process::Process;
use sqlx::{Connection, PgConnection, Row};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use turbo_testkit::{Nats, Postgres};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Servers for one run: each has new ones, so that none meets what another left.
pub(crate) struct Stage {
    pub(crate) nats: Nats,
    pub(crate) postgres: Postgres,
    shards: u16,
    folder: TempDir,
    started: Cell<usize>,
}

/// What the catalog says of a shard.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) owner: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) position: i64,
    /// Source time of the last event committed.
    pub(crate) time_us: Option<i64>,
}

/// PostgreSQL as it comes, waiting for the disk, but for room for what is hot.
pub(crate) fn postgres() -> Postgres {
    let options = Postgres::options().fsync(true).setting("shared_buffers", "256MB").setting("max_wal_size", "4GB");
    options.start().expect("PostgreSQL is installed: scripts/tools.sh test")
}

impl Stage {
    /// Starts the servers, and writes the file of a pipeline that reads `source` into so many shards.
    pub(crate) fn start(source: &str, shards: u16) -> Self {
        Self::with(source, shards, "", "")
    }

    /// The same with more fields of the slice, a comma before them, and more of the spec.
    pub(crate) fn with(source: &str, shards: u16, slice: &str, more: &str) -> Self {
        let nats = Nats::start().expect("nats-server is installed: scripts/tools.sh test");
        let (postgres, folder, url) = (postgres(), tempfile::tempdir().unwrap(), nats.url());
        let head = "apiVersion: turbopipeline.dev/v1alpha1\nkind: TurboPipeline\nmetadata: {name: bench}\nspec:\n";
        let file = format!(
            "{head}  source: {{jetstream: {source}}}\n  slices: [{{name: default, partitions: {shards}{slice}}}]\n  \
             log: {{nats: {{url: \"{url}\"}}}}\n  sinks: {{postgres: {{urlFrom: {{env: TURBO_PG}}}}}}\n  {more}\n"
        );
        std::fs::write(folder.path().join("pipeline.yaml"), file).unwrap();
        Self { nats, postgres, shards, folder, started: Cell::new(0) }
    }

    /// Starts a process of a role.
    pub(crate) fn process(&self, role: &str) -> Process {
        self.started.set(self.started.get() + 1);
        let name = format!("{role}-{}", self.started.get());
        Process::start(role, self.folder.path(), &self.postgres.url(), &name)
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.postgres.url()).await.unwrap()
    }

    /// Waits until every shard is owned by one of these, each with as many as its fellows.
    pub(crate) async fn owned(&self, connection: &mut PgConnection, workers: &[Process]) {
        let began = Instant::now();
        loop {
            let mut owners = BTreeMap::<String, usize>::new();
            let standing = standing(connection).await;
            standing.values().filter_map(|shard| shard.owner.clone()).for_each(|owner| {
                *owners.entry(owner).or_default() += 1;
            });
            let (least, most) = (owners.values().min().unwrap_or(&0), owners.values().max().unwrap_or(&0));
            let all = owners.values().sum::<usize>() == usize::from(self.shards);
            if all && owners.len() == workers.len().min(usize::from(self.shards)) && most - least <= 1 {
                return;
            }
            let said = || workers.iter().map(Process::said).collect::<Vec<_>>().join("\n");
            assert!(began.elapsed() < PATIENCE, "not all shards are owned: {standing:?}\n{}", said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many entries are committed; says when that was seen, and how many there are then.
    pub(crate) async fn entries(
        &self,
        connection: &mut PgConnection,
        at_least: i64,
        of: &[&Process],
    ) -> (Instant, i64) {
        let began = Instant::now();
        loop {
            let count: i64 = sqlx::query_scalar("SELECT coalesce(sum(entries), 0)::bigint FROM counters")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            if count >= at_least {
                return (Instant::now(), count);
            }
            let said = || of.iter().map(|process| process.said()).collect::<Vec<_>>().join("\n");
            assert!(began.elapsed() < PATIENCE, "{count} of {at_least} entries are there\n{}", said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What the catalog says of each partition; nothing before there is a catalog.
pub(crate) async fn standing(connection: &mut PgConnection) -> BTreeMap<i32, Standing> {
    let sql = "SELECT partition, owner, epoch, position, time_us FROM positions WHERE sink = 'postgres'";
    let rows = sqlx::query(sql).fetch_all(connection).await.unwrap_or_default();
    let of = |row: &sqlx::postgres::PgRow| Standing {
        owner: row.get(1),
        epoch: row.get(2),
        position: row.get(3),
        time_us: row.get(4),
    };
    rows.iter().map(|row| (row.get(0), of(row))).collect()
}
