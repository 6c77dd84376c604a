//! Segments of the archive in the catalog: intent and commit. Burning is in the file beside this one.
//!
//! Invariants:
//! - an intent is written, and a segment is committed, under the fence only: the row (shard, `archive`) of `positions` has
//!   the epoch of the claim, and is locked by the same transaction;
//! - a segment becomes committed and the position moves in one transaction, from the position that was there before;
//! - what was burnt is never committed.

use super::{Database, Error, positions};
use crate::sinks::feed::SinkPosition;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _, SqlSafeStr};
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};

/// The sink whose position is that of the archive.
pub const ARCHIVE: &str = "archive";

/// The right to write segments of a shard: what a claim gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Name of the shard's slice.
    pub slice: String,
    /// Its partition.
    pub partition: u16,
    /// The epoch of the claim.
    pub epoch: u64,
}

/// A segment whose object is made, and not put yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The object's name below the archive.
    pub path: String,
    /// Log sequence of its first event.
    pub first_seq: u64,
    /// Log sequence of its last event.
    pub last_seq: u64,
    /// Events in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// `xxh3:` and 16 hexadecimal digits.
    pub checksum: String,
}

/// A segment as the catalog holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number in the catalog.
    pub id: i64,
    /// Whose it is.
    pub of: Fence,
    /// Its object.
    pub object: Intent,
    /// `intent`, `committed` or `burnt`.
    pub state: String,
    /// Since when, in microseconds since the Unix epoch.
    pub changed_us: i64,
}

pub(super) const COLUMNS: &str =
    "SELECT id, slice, partition, epoch, path, first_seq, last_seq, rows, bytes, checksum, state,
    (extract(epoch FROM changed_at) * 1000000)::bigint AS changed_us FROM segments";

impl Fence {
    /// The right that a claim of this epoch gives.
    #[must_use]
    pub fn new(slices: &Slices, shard: Shard, epoch: u64) -> Self {
        Self { slice: slices.name(shard).to_owned(), partition: shard.partition, epoch }
    }

    /// A statement whose `$1`, `$2` and `$3` are slice, partition and epoch of the claim. It is not kept prepared: a pooler
    /// may put the next one elsewhere.
    pub(super) fn query<'q>(&self, sql: impl SqlSafeStr) -> Query<'q, Postgres, PgArguments> {
        let query = sqlx::query(sql).persistent(false);
        query.bind(self.slice.clone()).bind(i32::from(self.partition)).bind(self.epoch as i64)
    }
}

impl Database {
    /// Where the archive is in the log of a shard, and under which epoch; `None` where the catalog has no such row.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn archive_position(&self, of: &Fence) -> Result<Option<(u64, SinkPosition)>, Error> {
        let mut transaction = self.begin().await?;
        let found = positions::read(&mut transaction, of, ARCHIVE).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// Writes an intent, durable. The same intent again, as after a lost answer, is the same row. `None` where the claim is
    /// lost, or the segment is past its intent.
    ///
    /// # Errors
    /// PostgreSQL refuses, or the answer is lost.
    pub async fn intend(&self, of: &Fence, intent: &Intent) -> Result<Option<i64>, Error> {
        let mut transaction = self.begin().await?;
        // A server that is told to forget the last commits in a crash must keep this one: an object is never without it.
        sqlx::raw_sql("SET LOCAL synchronous_commit = on").execute(&mut *transaction).await?;
        // An update waits for a claim under way, and sees its epoch; a plain SELECT would not.
        let fenced = of.query(
            "UPDATE positions SET epoch = epoch WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND epoch = $3",
        )
        .execute(&mut *transaction)
        .await?;
        if fenced.rows_affected() != 1 {
            return Ok(None);
        }
        let id = insert(&mut transaction, of, intent).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Moves the archive's position, and marks the segment committed with it, if there is one. False where the row is not
    /// at this epoch and position, or the segment is no open intent: nothing has changed then.
    ///
    /// # Errors
    /// PostgreSQL refuses, or the answer is lost: the position has to be read again.
    pub async fn commit_segment(
        &self,
        of: &Fence,
        segment: Option<i64>,
        had: SinkPosition,
        to: (SinkPosition, Option<&SourcePosition>),
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        if !positions::advance(&mut transaction, of, ARCHIVE, had.seq, to).await? {
            return Ok(false);
        }
        if let Some(id) = segment {
            let marked = of
                // In a catalog that was restored the number of an intent that is lost is given again.
                .query(
                    "UPDATE segments SET state = 'committed', changed_at = now()
                     WHERE slice = $1 AND partition = $2 AND epoch = $3 AND id = $4 AND state = 'intent'",
                )
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            if marked.rows_affected() != 1 {
                return Ok(false);
            }
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Segments by shard and sequence, from behind `after` on; `limit` at most.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn segments(&self, after: Option<&Segment>, limit: u32) -> Result<Vec<Segment>, Error> {
        let mut transaction = self.begin().await?;
        let sql = "WHERE (slice, partition, first_seq, id) > ($1, $2, $3, $4)
                   ORDER BY slice, partition, first_seq, id LIMIT $5";
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} {sql}")))
            .persistent(false)
            .bind(after.map_or(String::new(), |segment| segment.of.slice.clone()))
            .bind(after.map_or(-1, |segment| i32::from(segment.of.partition)))
            .bind(after.map_or(-1, |segment| segment.object.first_seq as i64))
            .bind(after.map_or(-1, |segment| segment.id))
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        rows.iter().map(segment).collect()
    }

    /// The name of this very catalog.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn catalog(&self) -> Result<String, Error> {
        let mut transaction = self.begin().await?;
        let catalog = sqlx::query_scalar("SELECT catalog::text FROM pipeline").persistent(false);
        let catalog = catalog.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(catalog)
    }

    /// How many segments are committed, and their bytes.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn committed_segments(&self) -> Result<(u64, u64), Error> {
        let mut transaction = self.begin().await?;
        let sql = "SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM segments WHERE state = 'committed'";
        let (count, bytes): (i64, i64) = sqlx::query_as(sql).persistent(false).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((count as u64, bytes as u64))
    }
}

async fn insert(connection: &mut PgConnection, of: &Fence, intent: &Intent) -> Result<Option<i64>, Error> {
    let row = of
        .query(
            "INSERT INTO segments
           (slice, partition, epoch, path, first_seq, last_seq, rows, bytes, checksum, state, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'intent', now())
         ON CONFLICT (path) DO UPDATE SET bytes = excluded.bytes, checksum = excluded.checksum
           WHERE segments.state = 'intent' AND segments.epoch = excluded.epoch AND segments.last_seq = excluded.last_seq
         RETURNING id",
        )
        .bind(intent.path.clone())
        .bind(intent.first_seq as i64)
        .bind(intent.last_seq as i64)
        .bind(intent.rows as i64)
        .bind(intent.bytes as i64)
        .bind(intent.checksum.clone())
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("id")).transpose()?)
}

pub(super) fn segment(row: &PgRow) -> Result<Segment, Error> {
    let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
    let partition = u16::try_from(row.try_get::<i32, _>("partition")?).map_err(|_| Error::Broken("segments"))?;
    Ok(Segment {
        id: row.try_get("id")?,
        of: Fence { slice: row.try_get("slice")?, partition, epoch: number("epoch")? },
        object: Intent {
            path: row.try_get("path")?,
            first_seq: number("first_seq")?,
            last_seq: number("last_seq")?,
            rows: number("rows")?,
            bytes: number("bytes")?,
            checksum: row.try_get("checksum")?,
        },
        state: row.try_get("state")?,
        changed_us: row.try_get("changed_us")?,
    })
}
