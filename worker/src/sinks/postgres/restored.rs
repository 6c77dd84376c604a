//! The archive's segments in a catalog that was restored from a backup.
//!
//! Invariants:
//! - what is to be mended stays written down until the transaction that mends it, so that a claimer that ends in between is
//!   followed by one that does it again;
//! - that transaction is under the fence of the claim;
//! - up to the last sequence of its last committed segment a shard is archived, also where the position is below.

use super::segments::{Fence, Intent};
use super::{Database, Error};
use sqlx::{PgConnection, Row as _};
use std::collections::BTreeMap;
use turbo_core::shard::{Shard, Slices};

/// What the catalog says of the archive of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The archive's position.
    pub position: u64,
    /// The last sequence of the last committed segment; 0 where there is none.
    pub covered: u64,
    /// Where the position was when the catalog went back, if what the store holds was not looked through since.
    pub to_mend: Option<u64>,
}

/// An object of the store that the catalog did not know, or knew as an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// The epoch in its name.
    pub epoch: u64,
    /// What is in it.
    pub object: Intent,
}

/// A shard whose store was looked through after the catalog went back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The claim.
    pub of: Fence,
    /// Where the archive's position was when the catalog went back.
    pub went_back_to: u64,
    /// Whether it was watched for long enough.
    pub over: bool,
}

impl Database {
    /// What a claim finds of its archive; `None` where the claim is lost.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn recall(&self, of: &Fence) -> Result<Option<Recalled>, Error> {
        let mut transaction = self.begin().await?;
        let row = of
            .query(
                "SELECT position, CASE WHEN mended_at IS NULL THEN went_back_to END AS to_mend,
               coalesce((SELECT last_seq FROM segments WHERE slice = $1 AND partition = $2 AND state = 'committed'
                         ORDER BY first_seq DESC LIMIT 1), 0) AS covered
             FROM positions WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND epoch = $3",
            )
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Recalled {
            position: row.try_get::<i64, _>("position")? as u64,
            covered: row.try_get::<i64, _>("covered")? as u64,
            to_mend: row.try_get::<Option<i64>, _>("to_mend")?.map(|seq| seq as u64),
        }))
    }

    /// The owner of a shard's archive finds its position lower than it had it, under its own claim: the next claim has to
    /// look through the store.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn went_back(&self, of: &Fence, had: u64) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        of.query(
            "UPDATE positions SET went_back_to = least(went_back_to, position), mended_at = NULL
             WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND epoch = $3 AND position < $4",
        )
        .bind(had as i64)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Of these objects, those that the catalog knows: state, size and checksum.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn known(&self, paths: &[String]) -> Result<BTreeMap<String, (String, u64, String)>, Error> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT path, state, bytes, checksum FROM segments WHERE path = ANY ($1)")
            .persistent(false)
            .bind(paths.to_vec())
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let known = |row: sqlx::postgres::PgRow| {
            let bytes: i64 = row.try_get("bytes")?;
            Ok((row.try_get("path")?, (row.try_get("state")?, bytes as u64, row.try_get("checksum")?)))
        };
        rows.into_iter().map(known).collect()
    }

    /// Takes objects into the catalog as committed, and others as intents, which are to be burnt then; with that the shard is
    /// mended. False where the claim is lost: nothing has changed then.
    ///
    /// # Errors
    /// PostgreSQL refuses, or the answer is lost.
    pub async fn mend(&self, of: &Fence, taken: &[Forgotten], void: &[Forgotten]) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        sqlx::raw_sql("SET LOCAL synchronous_commit = on").execute(&mut *transaction).await?;
        let fenced = of
            .query(
                "UPDATE positions SET mended_at = coalesce(mended_at, now())
             WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND epoch = $3",
            )
            .execute(&mut *transaction)
            .await?;
        if fenced.rows_affected() != 1 {
            return Ok(false);
        }
        insert(&mut transaction, of, taken, "committed").await?;
        insert(&mut transaction, of, void, "intent").await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Those of these shards whose stores were looked through after the catalog went back; over after so many seconds.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn watched(&self, of: &[Fence], seconds: f64) -> Result<Vec<Watched>, Error> {
        let (shards, epochs): (Vec<(String, i32)>, Vec<i64>) =
            of.iter().map(|of| ((of.slice.clone(), i32::from(of.partition)), of.epoch as i64)).unzip();
        let (slices, partitions): (Vec<String>, Vec<i32>) = shards.into_iter().unzip();
        let mut transaction = self.begin().await?;
        let rows = sqlx::query(
            "SELECT slice, partition, epoch, went_back_to, mended_at <= now() - make_interval(secs => $1) AS over
             FROM positions WHERE sink = 'archive' AND went_back_to IS NOT NULL AND mended_at IS NOT NULL
               AND (slice, partition, epoch) IN (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[]))",
        )
        .persistent(false)
        .bind(seconds)
        .bind(slices)
        .bind(partitions)
        .bind(epochs)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let watched = |row: sqlx::postgres::PgRow| {
            let partition = u16::try_from(row.try_get::<i32, _>("partition")?);
            let partition = partition.map_err(|_| Error::Broken("positions"))?;
            let epoch = row.try_get::<i64, _>("epoch")? as u64;
            Ok(Watched {
                of: Fence { slice: row.try_get("slice")?, partition, epoch },
                went_back_to: row.try_get::<i64, _>("went_back_to")? as u64,
                over: row.try_get("over")?,
            })
        };
        rows.into_iter().map(watched).collect()
    }

    /// A shard was watched for long enough.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn unwatch(&self, of: &Fence) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        of.query(
            "UPDATE positions SET went_back_to = NULL, mended_at = NULL
             WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND epoch = $3 AND mended_at IS NOT NULL",
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

/// Writes down that the archive of a shard went back, where it is below what was purged, or where the catalog does not know
/// the object of this epoch that was put last, up to this sequence: what was intended before it, it knows then too.
pub(super) async fn archive_went_back(
    connection: &mut PgConnection,
    slices: &Slices,
    shard: Shard,
    purged: u64,
    (epoch, put): (u64, u64),
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE positions AS p SET went_back_to = least(went_back_to, position), mended_at = NULL
         WHERE slice = $1 AND partition = $2 AND sink = 'archive' AND (position < $3 OR position < $4 AND NOT EXISTS
           (SELECT FROM segments AS s WHERE s.slice = p.slice AND s.partition = p.partition
              AND s.first_seq > p.position AND s.last_seq >= $4 AND s.epoch = $5))",
    )
    .persistent(false)
    .bind(slices.name(shard).to_owned())
    .bind(i32::from(shard.partition))
    .bind(purged as i64)
    .bind(put as i64)
    .bind(epoch as i64)
    .execute(connection)
    .await?;
    Ok(())
}

/// What is an intent may become committed; what is committed or burnt stays so.
async fn insert(connection: &mut PgConnection, of: &Fence, objects: &[Forgotten], state: &str) -> Result<(), Error> {
    let numbers = |of: fn(&Forgotten) -> u64| objects.iter().map(|one| of(one) as i64).collect::<Vec<i64>>();
    let texts = |of: fn(&Forgotten) -> &String| objects.iter().map(|one| of(one).clone()).collect::<Vec<String>>();
    sqlx::query(
        "INSERT INTO segments
           (slice, partition, epoch, path, first_seq, last_seq, rows, bytes, checksum, state, changed_at)
         SELECT $1, $2, epoch, path, first_seq, last_seq, rows, bytes, checksum, $3, now()
         FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
           AS o (epoch, path, first_seq, last_seq, rows, bytes, checksum)
         ON CONFLICT (path) DO UPDATE SET state = excluded.state, changed_at = now()
           WHERE segments.state = 'intent' AND excluded.state = 'committed'",
    )
    .persistent(false)
    .bind(of.slice.clone())
    .bind(i32::from(of.partition))
    .bind(state.to_owned())
    .bind(numbers(|one| one.epoch))
    .bind(texts(|one| &one.object.path))
    .bind(numbers(|one| one.object.first_seq))
    .bind(numbers(|one| one.object.last_seq))
    .bind(numbers(|one| one.object.rows))
    .bind(numbers(|one| one.object.bytes))
    .bind(texts(|one| &one.object.checksum))
    .execute(connection)
    .await?;
    Ok(())
}
