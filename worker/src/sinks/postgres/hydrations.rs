//! Records that wait to be completed, of the shards that this worker owns.
//!
//! Invariants:
//! - a record waits under the log sequence of its version, from the transaction on in which it landed; a completion finds
//!   it by that, so nothing newer is overwritten;
//! - completions hold the shards' rows of `positions` at the epoch of the owner: one that is gone completes nothing;
//! - a transaction holds one shard's row, for a few completions: that shard's commits wait for no more than these, and who
//!   holds one row only stands in no ring of those that wait for each other;
//! - a document that PostgreSQL does not take costs the record nothing but the document.

use super::answered::answered;
use super::commit::partitions_of;
use super::{Database, Error};
use crate::hydration::completer::{Completion, GivenUp, Queue, Waiting};
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use turbo_core::hydrated::Hydrated;
use turbo_core::shard::{Shard, Slices};

/// Completions in one transaction.
const FEW: usize = 200;
/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// The queue of a database, as far as it is this worker's.
pub struct Hydrations {
    database: Database,
    slices: Arc<Slices>,
    /// The slices that look anything up.
    hydrating: BTreeSet<u16>,
    /// The epochs of what is owned.
    epochs: watch::Receiver<BTreeMap<Shard, u64>>,
}

impl Hydrations {
    /// Of this database, for the shards that are told to be owned.
    #[must_use]
    pub fn new(
        database: Database,
        slices: Arc<Slices>,
        hydrating: BTreeSet<u16>,
        epochs: watch::Receiver<BTreeMap<Shard, u64>>,
    ) -> Self {
        Self { database, slices, hydrating, epochs }
    }

    fn names<'a>(&self, shards: impl Iterator<Item = &'a Shard>) -> Vec<String> {
        shards.map(|shard| self.slices.name(*shard).to_owned()).collect()
    }

    async fn read(&self, behind: u64, limit: usize) -> Result<Vec<Waiting>, Error> {
        let owned = self.epochs.borrow().clone();
        let mut transaction = self.database.begin().await?;
        let rows = sqlx::query(
            "SELECT q.seq, q.slice, q.partition, q.did, q.collection, q.rkey, r.record::text AS record,
               coalesce(r.hydration = 'partial', false) AS partial
             FROM unnest($1::text[], $2::int[]) AS s (slice, partition)
             CROSS JOIN LATERAL (
               SELECT * FROM hydration_queue AS h
               WHERE h.slice = s.slice AND h.partition = s.partition AND h.seq > $3 ORDER BY h.seq LIMIT $4
             ) AS q
             LEFT JOIN record_state AS r
               ON r.did = q.did AND r.collection = q.collection AND r.rkey = q.rkey AND r.seq = q.seq
             ORDER BY q.seq LIMIT $4",
        )
        .persistent(false)
        .bind(self.names(owned.keys()))
        .bind(partitions_of(owned.keys().copied()))
        .bind(behind as i64)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let mut waiting = Vec::with_capacity(rows.len());
        for row in rows {
            // Slices never change.
            let shard = self.slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?);
            let Some(shard) = shard else { continue };
            waiting.push(Waiting {
                seq: row.try_get::<i64, _>("seq")? as u64,
                shard,
                did: row.try_get("did")?,
                collection: row.try_get("collection")?,
                rkey: row.try_get("rkey")?,
                record: row.try_get("record")?,
                partial: row.try_get("partial")?,
            });
        }
        Ok(waiting)
    }

    /// Writes completions of shards that are held; those of others wait for their owner.
    async fn write(&self, completions: &[&Completion]) -> Result<(), Error> {
        let owned = self.epochs.borrow().clone();
        let mut transaction = self.database.begin().await?;
        let held = hold(&mut transaction, self, &owned, completions).await?;
        let held: Vec<&Completion> =
            completions.iter().filter(|completion| held.contains(&completion.waiting.shard)).copied().collect();
        let written = || held.iter().filter_map(|completion| Some((&completion.waiting, completion.hydrated()?)));
        let texts =
            |of: &dyn Fn(&Waiting) -> &str| written().map(|(waiting, _)| of(waiting).to_owned()).collect::<Vec<_>>();
        sqlx::query(
            "UPDATE record_state AS r SET hydration = s.hydration, hydrated = s.hydrated::jsonb
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
               AS s (did, collection, rkey, seq, hydration, hydrated)
             WHERE r.did = s.did COLLATE \"C\" AND r.collection = s.collection COLLATE \"C\" AND r.rkey = s.rkey COLLATE \"C\"
               AND r.seq = s.seq AND r.record IS NOT NULL",
        )
        .persistent(false)
        .bind(texts(&|waiting| &waiting.did))
        .bind(texts(&|waiting| &waiting.collection))
        .bind(texts(&|waiting| &waiting.rkey))
        .bind(written().map(|(waiting, _)| waiting.seq as i64).collect::<Vec<_>>())
        .bind(written().map(|(_, hydrated)| hydrated.hydration.as_str().to_owned()).collect::<Vec<_>>())
        .bind(written().map(|(_, hydrated)| Hydrated::json(Some(hydrated)).map(ToOwned::to_owned)).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        let gone: Vec<&Waiting> =
            held.iter().filter(|completion| !completion.waits).map(|completion| &completion.waiting).collect();
        let shards: Vec<Shard> = gone.iter().map(|waiting| waiting.shard).collect();
        sqlx::query(
            "DELETE FROM hydration_queue AS q USING unnest($1::text[], $2::int[], $3::bigint[]) AS s (slice, partition, seq)
             WHERE q.slice = s.slice COLLATE \"C\" AND q.partition = s.partition AND q.seq = s.seq",
        )
        .persistent(false)
        .bind(self.names(shards.iter()))
        .bind(partitions_of(shards.iter().copied()))
        .bind(gone.iter().map(|waiting| waiting.seq as i64).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Writes each by itself; what is refused then loses its document.
    async fn write_singly(&self, completions: &[&Completion]) -> Result<(), Error> {
        for completion in completions {
            match self.write(&[completion]).await {
                Err(error) if error.refuses_data() => {
                    tracing::warn!(
                        did = completion.waiting.did,
                        collection = completion.waiting.collection,
                        rkey = completion.waiting.rkey,
                        "the hydrated document is left out, since PostgreSQL does not take it: {error}"
                    );
                    let bare = Completion { hydrated: None, waits: false, ..(*completion).clone() };
                    self.write(&[&bare]).await?;
                }
                written => written?,
            }
        }
        Ok(())
    }

    async fn remove(&self, age: Duration, most: u64) -> Result<GivenUp, Error> {
        let owned = self.epochs.borrow().clone();
        // Every shard in which records wait has its part of the whole, so that no worker has to count what is another's.
        let shards = self.slices.shards().filter(|shard| self.hydrating.contains(&shard.slice)).count();
        let most = most.div_ceil(shards.max(1) as u64);
        let mut transaction = self.database.begin().await?;
        let removed = sqlx::query(
            "WITH gone AS (DELETE FROM hydration_queue AS q USING (
               SELECT s.slice, s.partition, greatest(
                 (SELECT max(h.seq) FROM hydration_queue AS h WHERE h.slice = s.slice AND h.partition = s.partition
                    AND h.queued_at < now() - make_interval(secs => $3)),
                 (SELECT h.seq FROM hydration_queue AS h WHERE h.slice = s.slice AND h.partition = s.partition
                    ORDER BY h.seq DESC LIMIT 1 OFFSET $4)) AS last
               FROM unnest($1::text[], $2::int[]) AS s (slice, partition)
             ) AS l WHERE q.slice = l.slice COLLATE \"C\" AND q.partition = l.partition AND q.seq <= l.last
             RETURNING q.slice, q.partition, q.seq)
             SELECT slice, partition, count(*) AS records, max(seq) AS last FROM gone GROUP BY 1, 2",
        );
        let removed = removed
            .persistent(false)
            .bind(self.names(owned.keys()))
            .bind(partitions_of(owned.keys().copied()))
            .bind(age.as_secs_f64())
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let mut given_up = GivenUp::default();
        for row in removed {
            if let Some(shard) = self.slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?) {
                given_up.add(shard, row.try_get::<i64, _>("records")? as u64, row.try_get::<i64, _>("last")? as u64);
            }
        }
        Ok(given_up)
    }

    async fn count(&self) -> Result<(u64, f64), Error> {
        let owned = self.epochs.borrow().clone();
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query(
            "SELECT count(*) AS count, coalesce(extract(epoch FROM now() - min(q.queued_at)), 0)::double precision AS age
             FROM unnest($1::text[], $2::int[]) AS s (slice, partition)
             JOIN hydration_queue AS q ON q.slice = s.slice COLLATE \"C\" AND q.partition = s.partition",
        )
        .persistent(false)
        .bind(self.names(owned.keys()))
        .bind(partitions_of(owned.keys().copied()))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok((row.try_get::<i64, _>("count")? as u64, row.try_get("age")?))
    }
}

impl Queue for Hydrations {
    type Error = Error;

    fn owned(&self) -> Option<BTreeMap<Shard, u64>> {
        Some(self.epochs.borrow().clone())
    }

    async fn waiting(&self, behind: u64, limit: usize) -> Result<Vec<Waiting>, Error> {
        answered(ANSWER, self.read(behind, limit)).await
    }

    async fn give_up(&self, age: Duration, most: u64) -> Result<GivenUp, Error> {
        answered(ANSWER, self.remove(age, most)).await
    }

    async fn depth(&self) -> Result<(u64, f64), Error> {
        answered(ANSWER, self.count()).await
    }

    async fn complete(&self, completions: &[Completion]) -> Result<(), Error> {
        let mut by_shard = BTreeMap::<Shard, Vec<&Completion>>::new();
        for completion in completions {
            by_shard.entry(completion.waiting.shard).or_default().push(completion);
        }
        for few in by_shard.values().flat_map(|of_shard| of_shard.chunks(FEW)) {
            match answered(ANSWER, self.write(few)).await {
                Err(error) if error.refuses_data() => self.write_singly(few).await?,
                written => written?,
            }
        }
        Ok(())
    }
}

/// Holds the shards of these completions until the transaction ends. Returns those that are this worker's.
async fn hold(
    connection: &mut PgConnection,
    of: &Hydrations,
    owned: &BTreeMap<Shard, u64>,
    completions: &[&Completion],
) -> Result<BTreeSet<Shard>, Error> {
    let shards: BTreeSet<Shard> = completions.iter().map(|completion| completion.waiting.shard).collect();
    // An update, as a commit's: a row that is only read lets one that is gone through.
    let rows = sqlx::query(
        "UPDATE positions AS p SET position = p.position
         FROM unnest($1::text[], $2::int[], $3::bigint[]) AS s (slice, partition, epoch)
         WHERE p.slice = s.slice AND p.partition = s.partition AND p.sink = 'postgres' AND p.epoch = s.epoch
         RETURNING p.slice, p.partition",
    )
    .persistent(false)
    .bind(of.names(shards.iter()))
    .bind(partitions_of(shards.iter().copied()))
    .bind(shards.iter().map(|shard| owned.get(shard).map_or(-1, |epoch| *epoch as i64)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut held = BTreeSet::new();
    for row in rows {
        held.extend(of.slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?));
    }
    Ok(held)
}
