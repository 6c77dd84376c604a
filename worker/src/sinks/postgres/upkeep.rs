//! Upkeep: what may go goes, in bounded steps.
//!
//! Invariants:
//! - each step is a short transaction of at most [`UpkeepOptions::rows`] rows, with a pause after it;
//! - a step never waits for a row that a commit holds: it passes over it, and so no two ever wait in a ring;
//! - several workers may try: a lock of the transaction lets one at a time work, and the others do without;
//! - a tombstone stays while its account has a dead letter, which may bear an older revision.
//!
//! What retention has removed may come again with a rewind of the source. It bears the source's time of then, and is
//! removed in the next round.

use super::transaction::Transaction;
use super::{Database, Error, projections};
use sqlx::Row as _;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// "turbo" and what the lock is for, as a number that nothing else in the database uses.
const LOCK: i64 = 0x7475_7262_6f00_0001;

/// Which records go, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Collections (NSIDs), or prefixes like `app.bsky.feed.*`; `*` is all.
    pub collections: Vec<String>,
    /// Records that the source saw longer ago than this go.
    pub age: Duration,
}

impl Retention {
    fn matches(&self, collection: &str) -> bool {
        self.collections.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => collection.starts_with(prefix),
            None => collection == pattern,
        })
    }
}

/// How upkeep works.
#[derive(Clone, Debug)]
pub struct UpkeepOptions {
    /// From the end of one round to the next.
    pub every: Duration,
    /// How long a tombstone stays: an older revision can come from a rewind, another host or a backfill.
    pub tombstones: Duration,
    /// Which records go. The first that names a collection counts; what none names stays.
    pub retention: Vec<Retention>,
    /// Rows removed in one step.
    pub rows: u32,
    /// From one step to the next, so that commits have their turn.
    pub pause: Duration,
}

impl Default for UpkeepOptions {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(60),
            tombstones: Duration::from_secs(24 * 3600),
            retention: Vec::new(),
            rows: 2000,
            pause: Duration::from_millis(50),
        }
    }
}

/// What a round removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tombstones.
    pub tombstones: u64,
    /// Records.
    pub records: u64,
}

/// Removes what is no longer needed.
#[derive(Debug)]
pub struct Upkeep {
    database: Database,
    options: UpkeepOptions,
}

impl Upkeep {
    /// Upkeep of a database.
    #[must_use]
    pub fn new(database: Database, options: UpkeepOptions) -> Self {
        Self { database, options }
    }

    /// Works until the token fires.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(self.options.every)).await.is_some() {
            match stop.run_until_cancelled(self.round()).await {
                None => return,
                Some(Ok(removed)) if removed == Removed::default() => {}
                Some(Ok(removed)) => tracing::debug!(?removed, "what is no longer needed is gone"),
                Some(Err(error)) => tracing::warn!(%error, "what is no longer needed stays for now"),
            }
        }
    }

    /// Removes all that may go now. Where another worker does, it leaves it to that one.
    ///
    /// # Errors
    /// PostgreSQL refuses; what earlier steps removed is gone.
    pub async fn round(&self) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        while let Some(rows) = self.remove_tombstones().await? {
            removed.tombstones += rows;
            if rows < u64::from(self.options.rows) {
                break;
            }
            tokio::time::sleep(self.options.pause).await;
        }
        let mut after = String::new();
        while let Some(collection) = self.next_collection(&after).await? {
            if let Some(rule) = self.options.retention.iter().find(|rule| rule.matches(&collection)) {
                removed.records += self.remove_all(&collection, rule.age).await?;
            }
            after = collection;
        }
        Ok(removed)
    }

    async fn remove_all(&self, collection: &str, age: Duration) -> Result<u64, Error> {
        let mut removed = 0;
        while let Some(rows) = self.remove_records(collection, age).await? {
            removed += rows;
            if rows < u64::from(self.options.rows) {
                break;
            }
            tokio::time::sleep(self.options.pause).await;
        }
        Ok(removed)
    }

    /// The first collection after this one, by one look into the index.
    async fn next_collection(&self, after: &str) -> Result<Option<String>, Error> {
        if self.options.retention.is_empty() {
            return Ok(None);
        }
        let mut transaction = self.database.begin().await?;
        let sql = "SELECT collection FROM record_state WHERE collection > $1 ORDER BY collection LIMIT 1";
        let next = sqlx::query_scalar(sql).persistent(false).bind(after.to_owned());
        let next = next.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(next)
    }

    /// One step. `None` where another worker is at it.
    async fn remove_tombstones(&self) -> Result<Option<u64>, Error> {
        let Some(mut transaction) = self.begin().await? else { return Ok(None) };
        let removed = sqlx::query(
            "DELETE FROM record_state WHERE ctid = ANY (ARRAY(
               SELECT r.ctid FROM record_state r
               WHERE r.record IS NULL AND r.indexed_at < now() - $1 * interval '1 second'
                 AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.did = r.did)
               ORDER BY r.indexed_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED))",
        )
        .persistent(false)
        .bind(self.options.tombstones.as_secs_f64())
        .bind(i64::from(self.options.rows))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(Some(removed.rows_affected()))
    }

    /// One step. `None` where another worker is at it.
    async fn remove_records(&self, collection: &str, age: Duration) -> Result<Option<u64>, Error> {
        let Some(mut transaction) = self.begin().await? else { return Ok(None) };
        let before = jiff::Timestamp::now()
            .as_microsecond()
            .saturating_sub_unsigned(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
        let removed = sqlx::query(
            "DELETE FROM record_state WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM record_state WHERE collection = $1 AND time_us < $2 AND record IS NOT NULL
               ORDER BY time_us LIMIT $3 FOR UPDATE SKIP LOCKED))
             RETURNING did, rkey",
        )
        .persistent(false)
        .bind(collection.to_owned())
        .bind(before)
        .bind(i64::from(self.options.rows))
        .fetch_all(&mut *transaction)
        .await?;
        let (mut dids, mut rkeys) = (Vec::new(), Vec::new());
        for row in &removed {
            dids.push(row.try_get::<String, _>("did")?);
            rkeys.push(row.try_get::<String, _>("rkey")?);
        }
        projections::remove(&mut transaction, collection, &dids, &rkeys).await?;
        transaction.commit().await?;
        Ok(Some(removed.len() as u64))
    }

    async fn begin(&self) -> Result<Option<Transaction>, Error> {
        let mut transaction = self.database.begin().await?;
        let lock = "SELECT pg_try_advisory_xact_lock($1)";
        let alone: bool = sqlx::query_scalar(lock).persistent(false).bind(LOCK).fetch_one(&mut *transaction).await?;
        if alone {
            return Ok(Some(transaction));
        }
        transaction.rollback().await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_named_exactly_or_by_a_prefix() {
        let rule = |text: &str| Retention { collections: vec![text.to_owned()], age: Duration::ZERO };
        assert!(rule("a.b.c").matches("a.b.c") && !rule("a.b.c").matches("a.b.cd"));
        assert!(rule("a.b.*").matches("a.b.c") && !rule("a.b.*").matches("a.bc") && rule("*").matches("x"));
    }
}
