//! Records that wait to be completed.
//!
//! Invariant: a record waits under the log sequence of its version, from the transaction on in which it landed; a
//! completion finds it by that, so nothing newer is overwritten.

use super::bulk::Bulk;
use super::{Database, Error};
use crate::hydration::completer::{Completion, GivenUp, Queue, Waiting};
use sqlx::{Row as _, SqliteConnection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::fold::Row;
use turbo_core::shard::{Shard, Slices};

/// Completions in one transaction: the file has one writer, and commits wait for it.
const FEW: usize = 100;

/// The queue of a file.
#[derive(Clone)]
pub struct Hydrations {
    database: Arc<Database>,
    slices: Arc<Slices>,
}

/// The statement that lets records wait.
pub(super) struct Queueing(Bulk);

impl Queueing {
    pub(super) fn new() -> Self {
        let head = "INSERT INTO hydration_queue (seq, slice, partition, did, collection, rkey, queued_us)";
        Self(Bulk::new(head, 7, "ON CONFLICT (seq) DO NOTHING"))
    }

    /// Lets those of the rows wait that landed with less than was asked for.
    pub(super) async fn add(
        &self,
        connection: &mut SqliteConnection,
        rows: &[&Row<'_>],
        name: impl Fn(u16) -> Arc<str>,
    ) -> Result<(), Error> {
        let rows: Vec<&&Row<'_>> = rows.iter().filter(|row| row.waits()).collect();
        let now_us = now_us();
        self.0
            .write(connection, &rows, |query, row| {
                query
                    .bind(row.seq as i64)
                    .bind(name(row.shard.slice))
                    .bind(row.shard.partition)
                    .bind(row.key.to_owned())
                    .bind(row.commit.collection.to_string())
                    .bind(row.commit.rkey.to_string())
                    .bind(now_us)
            })
            .await?;
        Ok(())
    }
}

/// The file's clock is that of whoever writes it.
fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

impl Hydrations {
    /// Of this file.
    #[must_use]
    pub fn new(database: Arc<Database>, slices: Arc<Slices>) -> Self {
        Self { database, slices }
    }

    async fn write(&self, completions: &[Completion]) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        for completion in completions {
            let waiting = &completion.waiting;
            if let Some(hydrated) = completion.hydrated() {
                let update = "UPDATE record_state SET hydration = ?, hydrated = ?
                              WHERE did = ? AND collection = ? AND rkey = ? AND seq = ? AND record IS NOT NULL";
                let update = sqlx::query(update)
                    .bind(hydrated.hydration.as_str())
                    .bind(hydrated.document.clone())
                    .bind(waiting.did.clone())
                    .bind(waiting.collection.clone())
                    .bind(waiting.rkey.clone())
                    .bind(waiting.seq as i64);
                update.execute(&mut *transaction).await?;
            }
            if !completion.waits {
                let gone = sqlx::query("DELETE FROM hydration_queue WHERE seq = ?").bind(waiting.seq as i64);
                gone.execute(&mut *transaction).await?;
            }
        }
        Ok(transaction.commit().await?)
    }
}

impl Queue for Hydrations {
    type Error = Error;

    fn owned(&self) -> Option<BTreeMap<Shard, u64>> {
        None
    }

    async fn waiting(&self, behind: u64, limit: usize) -> Result<Vec<Waiting>, Error> {
        let rows = sqlx::query(
            "SELECT q.seq, q.slice, q.partition, q.did, q.collection, q.rkey, r.record, coalesce(r.hydration = 'partial', 0) AS partial
             FROM hydration_queue q
             LEFT JOIN record_state r
               ON r.did = q.did AND r.collection = q.collection AND r.rkey = q.rkey AND r.seq = q.seq
             WHERE q.seq > ? ORDER BY q.seq LIMIT ?",
        )
        .bind(behind as i64)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.database.read)
        .await?;
        let waiting = |row: sqlx::sqlite::SqliteRow| {
            let shard = self.slices.shard(row.try_get("slice")?, row.try_get("partition")?);
            Ok(Waiting {
                seq: row.try_get::<i64, _>("seq")? as u64,
                shard: shard.ok_or(Error::Broken("hydration_queue"))?,
                did: row.try_get("did")?,
                collection: row.try_get("collection")?,
                rkey: row.try_get("rkey")?,
                record: row.try_get("record")?,
                partial: row.try_get("partial")?,
            })
        };
        rows.into_iter().map(waiting).collect()
    }

    async fn give_up(&self, age: Duration, most: u64) -> Result<GivenUp, Error> {
        let since_us = now_us().saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        // Sequences and times grow together: both limits end at one sequence.
        let last = "SELECT max(seq) FROM (
               SELECT max(seq) AS seq FROM hydration_queue WHERE queued_us < ?
               UNION ALL SELECT * FROM (SELECT seq FROM hydration_queue ORDER BY seq DESC LIMIT 1 OFFSET ?))";
        let last: Option<i64> = sqlx::query_scalar(last)
            .bind(since_us)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_one(&self.database.read)
            .await?;
        let Some(last) = last else { return Ok(GivenUp::default()) };
        let rows = sqlx::query(
            "SELECT slice, partition, count(*) AS records, max(seq) AS last FROM hydration_queue WHERE seq <= ? GROUP BY 1, 2",
        );
        let mut given_up = GivenUp::default();
        for row in rows.bind(last).fetch_all(&self.database.read).await? {
            if let Some(shard) = self.slices.shard(row.try_get("slice")?, row.try_get("partition")?) {
                given_up.add(shard, row.try_get::<i64, _>("records")? as u64, row.try_get::<i64, _>("last")? as u64);
            }
        }
        // What comes meanwhile has later sequences, and nobody else takes any away.
        sqlx::query("DELETE FROM hydration_queue WHERE seq <= ?").bind(last).execute(&self.database.write).await?;
        Ok(given_up)
    }

    async fn depth(&self) -> Result<(u64, f64), Error> {
        let row = sqlx::query("SELECT count(*) AS count, min(queued_us) AS since FROM hydration_queue");
        let row = row.fetch_one(&self.database.read).await?;
        let since: Option<i64> = row.try_get("since")?;
        let age = since.map_or(0.0, |since| now_us().saturating_sub(since) as f64 / 1e6);
        Ok((row.try_get::<i64, _>("count")? as u64, age))
    }

    async fn complete(&self, completions: &[Completion]) -> Result<(), Error> {
        for few in completions.chunks(FEW) {
            self.write(few).await?;
        }
        Ok(())
    }
}
