//! Claims: the statements of [`turbo_core::ownership`].

use super::{Database, Error};
use sqlx::Row as _;
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slices};

/// The sink whose position is the checkpoint.
pub const SINK: &str = "postgres";

/// A claimed shard and what its last owner left.
#[derive(Debug)]
pub struct Claimed {
    /// The right to commit for it.
    pub owned: Owned,
    /// Number of the last message committed.
    pub number: u64,
    /// Source time of the last event committed, in microseconds.
    pub time_us: Option<i64>,
}

impl Database {
    /// Writes down what pipeline the database is of, or checks that it is this one, and makes the rows of its shards.
    ///
    /// # Errors
    /// It belongs to another pipeline or to other slices, or PostgreSQL refuses.
    pub async fn introduce(&self, name: &str, described: &str, slices: &Slices) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("INSERT INTO pipeline (name, slices) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .persistent(false)
            .bind(name)
            .bind(described)
            .execute(&mut *transaction)
            .await?;
        let (made_name, made_slices): (String, String) =
            sqlx::query_as("SELECT name, slices FROM pipeline").persistent(false).fetch_one(&mut *transaction).await?;
        for (field, given, made) in [("metadata.name", name, made_name), ("spec.slices", described, made_slices)] {
            if given != made {
                return Err(Error::OtherPipeline { field, given: given.to_owned(), made });
            }
        }
        let (names, partitions): (Vec<String>, Vec<i32>) =
            slices.shards().map(|shard| (slices.name(shard).to_owned(), i32::from(shard.partition))).unzip();
        for insert in [
            "INSERT INTO positions (slice, partition, sink)
             SELECT slice, partition, 'postgres' FROM unnest($1::text[], $2::int[]) AS s (slice, partition)
             ON CONFLICT DO NOTHING",
            "INSERT INTO counters (slice, partition)
             SELECT slice, partition FROM unnest($1::text[], $2::int[]) AS s (slice, partition) ON CONFLICT DO NOTHING",
        ] {
            let insert = sqlx::query(insert).persistent(false).bind(&names).bind(&partitions);
            insert.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// What the catalog holds of a shard.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn row(&self, slices: &Slices, shard: Shard) -> Result<Row, Error> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT epoch, owner, position FROM positions WHERE slice = $1 AND partition = $2 AND sink = 'postgres'",
        )
        .persistent(false)
        .bind(slices.name(shard).to_owned())
        .bind(i32::from(shard.partition))
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let owner: Option<String> = row.try_get("owner")?;
        Ok(Row {
            epoch: row.try_get::<i64, _>("epoch")? as u64,
            owner: owner.map(|owner| WorkerId::from(owner.as_str())),
            position: row.try_get::<i64, _>("position")? as u64,
        })
    }

    /// Claims a shard: one statement, for every sink of it at once. `gone` are the workers whose claims no longer count,
    /// `seen` is the highest epoch of the shard that was seen elsewhere. `None` where another worker has it.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn claim(
        &self,
        slices: &Slices,
        shard: Shard,
        me: &WorkerId,
        seen: u64,
        gone: &[WorkerId],
    ) -> Result<Option<Claimed>, Error> {
        let gone: Vec<String> = gone.iter().chain([me]).map(|worker| worker.as_str().to_owned()).collect();
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE positions SET epoch = greatest(epoch, $5) + 1, owner = $3
             WHERE slice = $1 AND partition = $2 AND sink = 'postgres' AND (owner IS NULL OR owner = ANY ($4))
             RETURNING epoch, position, number, time_us",
        )
        .persistent(false)
        .bind(slices.name(shard).to_owned())
        .bind(i32::from(shard.partition))
        .bind(me.as_str().to_owned())
        .bind(gone)
        .bind(seen as i64)
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        let Some(row) = row else { return Ok(None) };
        let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
        let owned = Owned::claimed(shard, number("epoch")?, number("position")?);
        Ok(Some(Claimed { owned, number: number("number")?, time_us: row.try_get("time_us")? }))
    }

    /// Releases a shard. Returns false where it was claimed by another since.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn release(&self, slices: &Slices, owned: Owned) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query(
            "UPDATE positions SET owner = NULL
             WHERE slice = $1 AND partition = $2 AND sink = 'postgres' AND epoch = $3",
        )
        .persistent(false)
        .bind(slices.name(owned.shard()).to_owned())
        .bind(i32::from(owned.shard().partition))
        .bind(owned.epoch() as i64)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
