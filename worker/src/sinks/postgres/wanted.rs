//! The list of sinks beside the database: the newest one that a pipeline file gives counts.
//!
//! Invariant: only a claim with the newest list adds or removes positions. A catalog that went back behind that list is told it
//! again by the claim that finds that out.

use super::Error;
use sqlx::{PgConnection, Row as _};
use std::collections::BTreeMap;
use turbo_core::shard::{Shard, Slices};

/// Which sinks there are beside the database, by this process's pipeline file.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Their names: only a claim with the newest list adds or removes positions.
    pub sinks: Vec<&'static str>,
    /// The highest generation of a list that was seen in the catalog.
    seen: i64,
    /// Whether that list is this one: where the catalog went back behind it, a claim writes it down again.
    is_newest: bool,
}

impl Wanted {
    /// Of a pipeline file with these, which was not compared with the catalog yet.
    pub(super) fn of(sinks: Vec<&'static str>) -> Self {
        Self { sinks, ..Self::default() }
    }

    fn saw(&mut self, is_newest: bool, generation: i64) {
        // What a catalog that went back says is not newer.
        if generation >= self.seen {
            (self.seen, self.is_newest) = (generation, is_newest);
        }
    }
}

/// Writes this process's list of sinks down where its pipeline file is the newest, with the file's generation: also where
/// the list is the same, or a file from in between would count as newer. A file without a generation is newer than every
/// list that differs from its own.
pub(super) async fn newest(
    connection: &mut PgConnection,
    wanted: &Wanted,
    generation: Option<i64>,
) -> Result<(), Error> {
    let sinks = &wanted.sinks;
    let (there, stored): (Vec<String>, i64) = sqlx::query_as("SELECT sinks, sinks_generation FROM pipeline FOR UPDATE")
        .persistent(false)
        .fetch_one(&mut *connection)
        .await?;
    let (unnumbered, generation, differs) = (generation.is_none(), generation.unwrap_or(stored), there != *sinks);
    if differs && generation < stored {
        // Of a resource that was made anew, too: its file wins once it was edited as often as the one before.
        tracing::warn!(
            generation,
            stored,
            ?sinks,
            "the sinks of this pipeline file are not those of the newest one, {there:?}: sinks \
             that are new here get nothing, and positions of those that are gone here stay"
        );
        return Ok(());
    }
    if differs && unnumbered && stored > 0 {
        tracing::warn!(
            "this pipeline file has the sinks {sinks:?}, where {there:?} were known, and no metadata.generation: it counts as \
             the newest. Give the files a generation that grows with each edit, where one of an older file may start later"
        );
    }
    let next = generation.max(stored + i64::from(differs));
    if next == stored {
        return Ok(());
    }
    sqlx::query("UPDATE pipeline SET sinks = $1, sinks_generation = $2")
        .persistent(false)
        .bind(names(wanted))
        .bind(next)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) fn names(wanted: &Wanted) -> Vec<String> {
    wanted.sinks.iter().map(|sink| (*sink).to_owned()).collect()
}

/// Looks whether the list is the newest.
pub(super) async fn look(connection: &mut PgConnection, wanted: &mut Wanted) -> Result<(), Error> {
    let (is_newest, generation): (bool, i64) = sqlx::query_as("SELECT sinks = $1, sinks_generation FROM pipeline")
        .persistent(false)
        .bind(names(wanted))
        .fetch_one(connection)
        .await?;
    wanted.saw(is_newest, generation);
    Ok(())
}

/// Writes the newest list down again where the catalog went back behind it: the claim is to find the sinks that there are
/// now, or what is committed under it would never be in those that it does not know.
pub(super) async fn tell_again(connection: &mut PgConnection, wanted: &Wanted) -> Result<(), Error> {
    if !wanted.is_newest {
        return Ok(());
    }
    let told = "UPDATE pipeline SET sinks = $1, sinks_generation = $2 WHERE sinks_generation < $2";
    let told = sqlx::query(told).persistent(false).bind(names(wanted)).bind(wanted.seen).execute(connection).await?;
    if told.rows_affected() > 0 {
        tracing::warn!(sinks = ?wanted.sinks, "the catalog went back behind the list of sinks: it is written down again");
    }
    Ok(())
}

/// A claim with the newest list makes rows for sinks that are new, at the checkpoint, and removes those of sinks that are
/// gone, which it returns; one with another list leaves them alone.
pub(super) async fn edit(
    connection: &mut PgConnection,
    slices: &Slices,
    shard: Shard,
    wanted: &Wanted,
) -> Result<BTreeMap<String, u64>, Error> {
    let (slice, partition) = (slices.name(shard).to_owned(), i32::from(shard.partition));
    let names = names(wanted);
    let of = |edit| sqlx::query(edit).persistent(false).bind(&slice).bind(partition).bind(&names);
    let add = "INSERT INTO positions (slice, partition, sink, position, number, time_us, host, cursor, source_id,
           had_host, had_cursor, had_time_us)
         SELECT slice, partition, new, position, number, time_us, host, cursor, source_id, had_host, had_cursor, had_time_us
         FROM positions, pipeline, unnest($3::text[]) AS new
         WHERE slice = $1 AND partition = $2 AND sink = 'postgres' AND sinks = $3
         ON CONFLICT DO NOTHING";
    of(add).execute(&mut *connection).await?;
    let remove = "DELETE FROM positions USING pipeline
         WHERE slice = $1 AND partition = $2 AND sink <> 'postgres' AND sink <> ALL ($3) AND sinks = $3
         RETURNING sink, position";
    let mut removed = BTreeMap::new();
    for row in of(remove).fetch_all(connection).await? {
        removed.insert(row.try_get("sink")?, row.try_get::<i64, _>("position")? as u64);
    }
    Ok(removed)
}
