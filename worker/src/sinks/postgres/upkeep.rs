//! Upkeep: what may go goes, in bounded steps.
//!
//! Invariants:
//! - each step is a short transaction that looks at no more than [`UpkeepOptions::rows`] rows, with a pause after it, and a
//!   round looks at none twice;
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
        self.collections.iter().any(|pattern| turbo_crds::takes(pattern, collection))
    }
}

/// The last tombstone that a round has looked at: when it was made, and where it stands, as PostgreSQL writes them.
type Looked = (String, String);

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
        let mut after = None;
        while let Some((rows, last)) = self.remove_tombstones(after).await? {
            removed.tombstones += rows;
            after = last;
            if after.is_none() {
                break;
            }
            tokio::time::sleep(self.options.pause).await;
        }
        for pattern in self.options.retention.iter().flat_map(|rule| &rule.collections) {
            removed.records += match pattern.strip_suffix('*') {
                Some(prefix) => self.remove_below(prefix).await?,
                None => self.remove_all(pattern).await?,
            };
        }
        Ok(removed)
    }

    /// Collections that begin so. Strangers invent as many as they like, so only these are looked at, with a pause after
    /// each.
    async fn remove_below(&self, prefix: &str) -> Result<u64, Error> {
        let (mut removed, mut from) = (0, prefix.to_owned());
        while let Some(collection) = self.next_collection(&from).await?.filter(|next| next.starts_with(prefix)) {
            removed += self.remove_all(&collection).await?;
            tokio::time::sleep(self.options.pause).await;
            // The least text behind it: none has a NUL.
            from = collection + "\u{1}";
        }
        Ok(removed)
    }

    async fn remove_all(&self, collection: &str) -> Result<u64, Error> {
        let mut removed = 0;
        let Some(rule) = self.options.retention.iter().find(|rule| rule.matches(collection)) else { return Ok(0) };
        while let Some(rows) = self.remove_records(collection, rule.age).await? {
            removed += rows;
            if rows < u64::from(self.options.rows) {
                break;
            }
            tokio::time::sleep(self.options.pause).await;
        }
        Ok(removed)
    }

    /// The first collection from this one on, by one look into the index.
    async fn next_collection(&self, from: &str) -> Result<Option<String>, Error> {
        let mut transaction = self.database.begin().await?;
        let sql = "SELECT collection FROM record_state WHERE collection >= $1 ORDER BY collection LIMIT 1";
        let next = sqlx::query_scalar(sql).persistent(false).bind(from.to_owned());
        let next = next.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(next)
    }

    /// One step. How many went, and where the next step goes on; `None` where another worker is at it.
    async fn remove_tombstones(&self, after: Option<Looked>) -> Result<Option<(u64, Option<Looked>)>, Error> {
        let Some(mut transaction) = self.begin().await? else { return Ok(None) };
        let (indexed_at, at) = after.unzip();
        let step = sqlx::query(
            "WITH step AS MATERIALIZED (
               SELECT ctid AS at, indexed_at, did FROM record_state
               WHERE record IS NULL AND indexed_at < now() - $1 * interval '1 second'
                 AND ($3::text IS NULL OR (indexed_at, ctid) > ($3::timestamptz, $4::text::tid))
               ORDER BY indexed_at, ctid LIMIT $2),
             gone AS (
               DELETE FROM record_state WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM record_state
                 WHERE ctid = ANY (ARRAY(
                     SELECT at FROM step s WHERE NOT EXISTS (SELECT FROM dead_letters d WHERE d.did = s.did)))
                   AND record IS NULL AND indexed_at < now() - $1 * interval '1 second'
                 FOR UPDATE SKIP LOCKED)) RETURNING 1)
             SELECT (SELECT count(*) FROM gone) AS gone, last.* FROM (VALUES (1)) AS one
             LEFT JOIN (SELECT indexed_at::text, at::text FROM step ORDER BY step.indexed_at, step.at
                        OFFSET $2 - 1 LIMIT 1) AS last ON true",
        )
        .persistent(false)
        .bind(self.options.tombstones.as_secs_f64())
        .bind(i64::from(self.options.rows))
        .bind(indexed_at)
        .bind(at)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let last: (Option<String>, Option<String>) = (step.try_get("indexed_at")?, step.try_get("at")?);
        Ok(Some((step.try_get::<i64, _>("gone")? as u64, last.0.zip(last.1))))
    }

    /// One step. `None` where another worker is at it.
    async fn remove_records(&self, collection: &str, age: Duration) -> Result<Option<u64>, Error> {
        let Some(mut transaction) = self.begin().await? else { return Ok(None) };
        let removed = sqlx::query(
            "DELETE FROM record_state WHERE ctid = ANY (ARRAY(
               SELECT ctid FROM record_state WHERE collection = $1 AND record IS NOT NULL
               AND time_us < (extract(epoch FROM now()) * 1000000)::bigint - $2
               ORDER BY time_us LIMIT $3 FOR UPDATE SKIP LOCKED))
             RETURNING did, rkey",
        )
        .persistent(false)
        .bind(collection.to_owned())
        .bind(i64::try_from(age.as_micros()).unwrap_or(i64::MAX / 2))
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
