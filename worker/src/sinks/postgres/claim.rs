//! Claims: the statements of [`turbo_core::ownership`].

use super::restored::archive_went_back;
use super::wanted::{Wanted, edit, look, names, newest, tell_again};
use super::{Database, Error};
use crate::sinks::feed::SinkPosition;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use std::collections::BTreeMap;
use turbo_core::ownership::Owned;
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slices};

/// The sink whose position is the checkpoint.
pub const SINK: &str = "postgres";

/// Up to where a host's events were had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Had {
    /// The host.
    pub host: String,
    /// The cursor of the last one.
    pub cursor: u64,
    /// Its time by the host, in microseconds; `None` where that was not written down.
    pub time_us: Option<i64>,
}

/// Where a sink beside the database is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// In the log.
    pub position: SinkPosition,
    /// What it had of the source with the last event, where it has a cursor.
    pub source: Option<Had>,
    /// The same of the last event in the log's generation before this one.
    pub had: Option<Had>,
}

/// A claimed shard and what its last owner left.
#[derive(Debug)]
pub struct Claimed {
    /// The right to commit for it.
    pub owned: Owned,
    /// Number of the last message committed.
    pub number: u64,
    /// Source time of the last event committed, in microseconds.
    pub time_us: Option<i64>,
    /// What was had of the source with that event, where it has a cursor.
    pub source: Option<Had>,
    /// The same of the last event committed in the log's generation before this one.
    pub had: Option<Had>,
    /// Where the sinks beside the database are.
    pub sinks: BTreeMap<String, Beside>,
    /// Sinks that the pipeline file no longer names: the claim has removed their positions, which were these.
    pub removed: BTreeMap<String, u64>,
    /// Whether the row was behind what was seen elsewhere: the catalog was restored from a backup.
    pub went_back: bool,
}

/// What was seen of a shard elsewhere than in the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The highest epoch.
    pub epoch: u64,
    /// The highest checkpoint.
    pub position: u64,
    /// Below this the log was purged: every sink had it.
    pub purged: u64,
    /// The epoch and the last sequence of the last object of the archive that was to be put: the catalog knows it.
    pub object: (u64, u64),
}

impl Claimed {
    /// From where the log has to be read: the lowest position of all sinks.
    #[must_use]
    pub fn lowest(&self) -> SinkPosition {
        let checkpoint = SinkPosition { seq: self.owned.position(), number: self.number };
        self.sinks
            .values()
            .map(|sink| sink.position)
            .chain([checkpoint])
            .min_by_key(|position| position.seq)
            .unwrap_or(checkpoint)
    }
}

impl Database {
    /// Writes down what pipeline the database is of, or checks that it is this one, and makes the rows of its shards.
    /// `sinks` are those beside the database, `generation` is that of the pipeline file, where it has one; a process that does
    /// not work has no say in them.
    ///
    /// # Errors
    /// It belongs to another pipeline or to other slices, or PostgreSQL refuses.
    pub async fn introduce(
        &self,
        name: &str,
        described: &str,
        slices: &Slices,
        sinks: Vec<&'static str>,
        generation: Option<i64>,
        works: bool,
    ) -> Result<Wanted, Error> {
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
        let mut wanted = Wanted::of(sinks);
        if works {
            newest(&mut transaction, &wanted, generation).await?;
            look(&mut transaction, &mut wanted).await?;
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
        transaction.commit().await?;
        Ok(wanted)
    }

    /// Claims a shard, for every sink of it at once. `gone` are the workers whose claims no longer count; the new epoch is
    /// above the one that was seen elsewhere. Where the catalog is behind what was seen, that is written down for the
    /// archive, and so is the list of sinks that was the newest. `None` where another worker has it.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn claim(
        &self,
        slices: &Slices,
        shard: Shard,
        me: &WorkerId,
        seen: Seen,
        gone: &[WorkerId],
        wanted: &Wanted,
    ) -> Result<Option<Claimed>, Error> {
        let gone: Vec<String> = gone.iter().chain([me]).map(|worker| worker.as_str().to_owned()).collect();
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "UPDATE positions SET epoch = greatest(epoch, $5) + 1, owner = $3,
               went_back_to = CASE WHEN epoch < $5 OR position < $6 THEN position END
             WHERE slice = $1 AND partition = $2 AND sink = 'postgres' AND (owner IS NULL OR owner = ANY ($4))
             RETURNING epoch, position, number, time_us, host, cursor, had_host, had_cursor, had_time_us,
               went_back_to IS NOT NULL AS went_back",
        )
        .persistent(false)
        .bind(slices.name(shard).to_owned())
        .bind(i32::from(shard.partition))
        .bind(me.as_str().to_owned())
        .bind(gone)
        .bind(seen.epoch as i64)
        .bind(seen.position as i64)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
        let owned = Owned::claimed(shard, number("epoch")?, number("position")?);
        let went_back: bool = row.try_get("went_back")?;
        if went_back {
            tell_again(&mut transaction, wanted).await?;
        }
        let removed = edit(&mut transaction, slices, shard, wanted).await?;
        // Where all of it was seen to be behind, the archive is too, wherever its position is.
        let purged = if went_back { u64::MAX >> 1 } else { seen.purged };
        archive_went_back(&mut transaction, slices, shard, purged, seen.object).await?;
        let sinks = beside(&mut transaction, slices, &owned).await?;
        transaction.commit().await?;
        let (source, had) = of_source(&row)?;
        let (number, time_us) = (number("number")?, row.try_get("time_us")?);
        Ok(Some(Claimed { owned, number, time_us, source, had, sinks, removed, went_back }))
    }

    /// Shards of this worker whose sinks are not those of its list, though that is the newest: they were claimed while another
    /// list was. The next claim mends it.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn claimed_otherwise(
        &self,
        slices: &Slices,
        me: &WorkerId,
        wanted: &mut Wanted,
    ) -> Result<Vec<Shard>, Error> {
        let mut transaction = self.begin().await?;
        look(&mut transaction, wanted).await?;
        let rows = sqlx::query(
            "SELECT slice, partition FROM positions AS p, pipeline
             WHERE sink = 'postgres' AND owner = $1 AND sinks = $2 AND
               ARRAY(SELECT s.sink FROM positions AS s
                     WHERE s.slice = p.slice AND s.partition = p.partition AND s.sink <> 'postgres' ORDER BY 1)
               <> ARRAY(SELECT unnest($2::text[]) ORDER BY 1)",
        );
        let rows = rows.persistent(false).bind(me.as_str().to_owned()).bind(names(wanted));
        let rows = rows.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let shard = |row: &PgRow| Ok(slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?));
        rows.iter().filter_map(|row| shard(row).transpose()).collect()
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

/// What a row says of the source: with its last event, and with the last one of the log's generation before.
fn of_source(row: &PgRow) -> Result<(Option<Had>, Option<Had>), Error> {
    let had = |host: &str, cursor: &str, time_us: &str| {
        let (host, cursor): (Option<String>, Option<i64>) = (row.try_get(host)?, row.try_get(cursor)?);
        let time_us = row.try_get(time_us)?;
        Ok::<_, Error>(host.zip(cursor).map(|(host, cursor)| Had { host, cursor: cursor as u64, time_us }))
    };
    Ok((had("host", "cursor", "time_us")?, had("had_host", "had_cursor", "had_time_us")?))
}

/// Moves the rows of the sinks beside the database to the claim's epoch.
async fn beside(
    connection: &mut PgConnection,
    slices: &Slices,
    owned: &Owned,
) -> Result<BTreeMap<String, Beside>, Error> {
    let (slice, partition) = (slices.name(owned.shard()).to_owned(), i32::from(owned.shard().partition));
    let rows = sqlx::query(
        "UPDATE positions SET epoch = $3
         WHERE slice = $1 AND partition = $2 AND sink <> 'postgres'
         RETURNING sink, position, number, time_us, host, cursor, had_host, had_cursor, had_time_us",
    )
    .persistent(false)
    .bind(&slice)
    .bind(partition)
    .bind(owned.epoch() as i64)
    .fetch_all(connection)
    .await?;
    let mut sinks = BTreeMap::new();
    for row in rows {
        let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
        let position = SinkPosition { seq: number("position")?, number: number("number")? };
        let (source, had) = of_source(&row)?;
        sinks.insert(row.try_get("sink")?, Beside { position, source, had });
    }
    Ok(sinks)
}
