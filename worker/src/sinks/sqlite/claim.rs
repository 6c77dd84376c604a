//! What a process finds when it takes a file over: it claims every shard, and goes on where the last commit ended.

use super::{Database, Error};
use crate::ingest::Start;
use futures_util::TryStreamExt;
use sqlx::Row;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::{Mark, Window};

/// An owned shard. Only its owner commits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The shard.
    pub shard: Shard,
    /// Grows by one with each claim.
    pub epoch: i64,
    /// The last log sequence that its owners have committed.
    pub position: u64,
    /// Source time of that event, in microseconds.
    pub time_us: Option<i64>,
}

/// The state of the file when it was taken over.
pub struct Loaded {
    /// Where ingest begins.
    pub start: Start,
    /// Every shard, in the order of [`Slices::shards`].
    pub claims: Vec<Claim>,
}

impl Database {
    /// What tells this file from every other one; `None` before the first claim.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn id(&self) -> Result<Option<String>, Error> {
        let id = sqlx::query_scalar("SELECT id FROM pipeline").fetch_optional(&self.write).await?;
        Ok(id.flatten())
    }

    /// Claims every shard of the pipeline.
    ///
    /// # Errors
    /// The file belongs to another pipeline or to other slices, or SQLite refuses.
    pub async fn claim(&self, name: &str, slices: &Slices) -> Result<Loaded, Error> {
        self.introduce(name, slices).await?;
        let mut claims = Vec::new();
        let mut transaction = self.begin().await?;
        for shard in slices.shards() {
            let row = sqlx::query(
                "INSERT INTO shards (slice, partition, epoch) VALUES (?, ?, 1)
                 ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch, position, time_us",
            )
            .bind(slices.name(shard))
            .bind(shard.partition)
            .fetch_one(&mut *transaction)
            .await?;
            let (epoch, position): (i64, i64) = (row.try_get("epoch")?, row.try_get("position")?);
            claims.push(Claim { shard, epoch, position: position as u64, time_us: row.try_get("time_us")? });
        }
        transaction.commit().await?;
        let start = Start {
            position: self.position().await?,
            window: self.window().await?,
            seq: self.seq().await?,
            rejoined: false,
            event_us: None,
        };
        Ok(Loaded { start, claims })
    }

    /// Writes down what pipeline the file is of, or checks that it is this one.
    async fn introduce(&self, name: &str, slices: &Slices) -> Result<(), Error> {
        let given = describe(slices);
        sqlx::query("INSERT INTO pipeline (one, name, slices) VALUES (1, ?, ?) ON CONFLICT DO NOTHING")
            .bind(name)
            .bind(&given)
            .execute(&self.write)
            .await?;
        sqlx::query("UPDATE pipeline SET id = lower(hex(randomblob(16))) WHERE id IS NULL")
            .execute(&self.write)
            .await?;
        let row = sqlx::query("SELECT name, slices FROM pipeline").fetch_one(&self.write).await?;
        let other = |field, given: &str, made: &str| Error::OtherPipeline {
            field,
            given: given.to_owned(),
            path: self.path.display().to_string(),
            made: made.to_owned(),
        };
        let (made_name, made_slices): (String, String) = (row.try_get("name")?, row.try_get("slices")?);
        if made_name != name {
            return Err(other("metadata.name", name, &made_name));
        }
        if made_slices != given {
            return Err(other("spec.slices", &given, &made_slices));
        }
        Ok(())
    }

    async fn position(&self) -> Result<Option<SourcePosition>, Error> {
        let row =
            sqlx::query("SELECT host, cursor, source_time_us, source_id FROM pipeline").fetch_one(&self.write).await?;
        let Some(host) = row.try_get::<Option<String>, _>("host")? else { return Ok(None) };
        let cursor = row.try_get::<Option<i64>, _>("cursor")?.map(|cursor| cursor as u64);
        let id: [u8; 16] = row.try_get::<&[u8], _>("source_id")?.try_into().map_err(|_| Error::Broken("pipeline"))?;
        let id = EventId(u128::from_le_bytes(id));
        Ok(Some(SourcePosition { host, cursor, time_us: row.try_get("source_time_us")?, id }))
    }

    async fn seq(&self) -> Result<u64, Error> {
        let seq: i64 = sqlx::query_scalar("SELECT seq FROM pipeline").fetch_one(&self.write).await?;
        Ok(seq as u64)
    }

    async fn window(&self) -> Result<Window, Error> {
        let mut rows = sqlx::query("SELECT marks FROM dedup ORDER BY seq").fetch(&self.write);
        let mut window = Window::new();
        while let Some(row) = rows.try_next().await? {
            window.restore(Mark::read(row.try_get("marks")?).ok_or(Error::Broken("dedup"))?);
        }
        Ok(window)
    }
}

/// The slices as one line: what makes them the same.
fn describe(slices: &Slices) -> String {
    let one = |slice: &turbo_core::shard::Slice| {
        let mut collections = slice.collections.clone().unwrap_or_else(|| vec!["*".into()]);
        collections.sort();
        format!("{}({}: {})", slice.name, slice.partitions, collections.join(" "))
    };
    slices.list().iter().map(one).collect::<Vec<_>>().join(", ")
}
