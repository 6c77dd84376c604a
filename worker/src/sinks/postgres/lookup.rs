//! What the catalog says of shards, for those who decide by it.

use super::{Database, Error};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::collections::{BTreeMap, BTreeSet};
use turbo_core::id::EventId;
use turbo_core::ownership::Row;
use turbo_core::plan::WorkerId;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::SPAN_US;

/// Where a shard is.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Epoch, owner and checkpoint.
    pub row: Row,
    /// Source time of the last event committed, in microseconds.
    pub time_us: Option<i64>,
    /// Positions of the sinks beside the database.
    pub sinks: BTreeMap<String, u64>,
    /// Those of them of which it is not known where the source was.
    pub unplaced: BTreeSet<String>,
}

impl Database {
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
        read(&row)
    }

    /// What the catalog holds of every shard.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn rows(&self, slices: &Slices) -> Result<BTreeMap<Shard, Row>, Error> {
        let mut transaction = self.begin().await?;
        let rows =
            sqlx::query("SELECT slice, partition, epoch, owner, position FROM positions WHERE sink = 'postgres'");
        let rows = rows.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut found = BTreeMap::new();
        for row in rows {
            let shard = slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?);
            found.extend(shard.map(|shard| Ok::<_, Error>((shard, read(&row)?))).transpose()?);
        }
        Ok(found)
    }

    /// The lowest position of each shard, over all its sinks: what is at or below it is in all of them.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn lowest(&self, slices: &Slices) -> Result<BTreeMap<Shard, u64>, Error> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT slice, partition, min(position) AS lowest FROM positions GROUP BY 1, 2");
        let rows = rows.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        by_shard(slices, &rows, "lowest")
    }

    /// Everything that the catalog holds of where shards are.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn standing(&self, slices: &Slices) -> Result<BTreeMap<Shard, Standing>, Error> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query(
            "SELECT slice, partition, sink, epoch, owner, position, time_us, host IS NOT NULL AS placed FROM positions",
        );
        let rows = rows.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        let mut found = BTreeMap::<Shard, Standing>::new();
        for row in rows {
            let shard = slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?);
            let Some(shard) = shard else { continue };
            let standing = found.entry(shard).or_default();
            let sink: String = row.try_get("sink")?;
            if sink == super::SINK {
                (standing.row, standing.time_us) = (read(&row)?, row.try_get("time_us")?);
            } else {
                if !row.try_get::<bool, _>("placed")? {
                    standing.unplaced.insert(sink.clone());
                }
                standing.sinks.insert(sink, row.try_get::<i64, _>("position")? as u64);
            }
        }
        Ok(found)
    }

    /// How many records of each shard wait to be completed, where any do.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn incomplete(&self, slices: &Slices) -> Result<BTreeMap<Shard, u64>, Error> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT slice, partition, count(*) AS count FROM hydration_queue GROUP BY 1, 2");
        let rows = rows.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        by_shard(slices, &rows, "count")
    }

    /// The highest log sequence that any sink has; 0 where nothing was committed yet.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn highest(&self) -> Result<u64, Error> {
        let mut transaction = self.begin().await?;
        let highest = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM positions").persistent(false);
        let highest: i64 = highest.fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(highest as u64)
    }

    /// Where the source has to be read from where the log was lost: the lowest position of all shards and sinks. Where they are of
    /// several hosts, or of one that has numbered anew, whose sequences can not be compared, it is a time well before all of
    /// them. With the source time of its event, in microseconds.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn source(&self) -> Result<Option<(SourcePosition, i64)>, Error> {
        let mut transaction = self.begin().await?;
        let rows =
            sqlx::query("SELECT DISTINCT host, cursor, time_us, source_id FROM positions WHERE host IS NOT NULL");
        let rows = rows.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(lowest(rows.iter().map(place).collect::<Result<_, Error>>()?))
    }

    /// Writes down a gap; the same one once. Returns whether it is new.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn gap(&self, reason: &str) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let written = sqlx::query(
            "INSERT INTO gaps (found_at, host, from_us, reason)
             SELECT now(), 'log', coalesce((SELECT min(time_us) FROM positions), 0), $1 WHERE NOT EXISTS (SELECT FROM gaps WHERE reason = $1)",
        )
        .persistent(false)
        .bind(reason.to_owned())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(written.rows_affected() == 1)
    }
}

/// A number of each shard that the pipeline has.
fn by_shard(slices: &Slices, rows: &[PgRow], column: &str) -> Result<BTreeMap<Shard, u64>, Error> {
    let mut found = BTreeMap::new();
    for row in rows {
        if let Some(shard) = slices.shard(row.try_get("slice")?, row.try_get::<i32, _>("partition")?) {
            found.insert(shard, row.try_get::<i64, _>(column)? as u64);
        }
    }
    Ok(found)
}

fn read(row: &PgRow) -> Result<Row, Error> {
    let owner: Option<String> = row.try_get("owner")?;
    Ok(Row {
        epoch: row.try_get::<i64, _>("epoch")? as u64,
        owner: owner.map(|owner| WorkerId::from(owner.as_str())),
        position: row.try_get::<i64, _>("position")? as u64,
    })
}

fn place(row: &PgRow) -> Result<SourcePosition, Error> {
    let id: Vec<u8> = row.try_get("source_id")?;
    let id = id.try_into().map_err(|_| Error::Broken("positions"))?;
    let cursor: Option<i64> = row.try_get("cursor")?;
    Ok(SourcePosition {
        host: row.try_get("host")?,
        cursor: cursor.map(|cursor| cursor as u64),
        time_us: row.try_get("time_us")?,
        id: EventId(u128::from_le_bytes(id)),
    })
}

/// The lowest of places in the source, or, where their sequences can not be compared, one well before the earliest.
fn lowest(places: Vec<SourcePosition>) -> Option<(SourcePosition, i64)> {
    let place = places.iter().min_by_key(|place| (place.time_us, place.cursor))?.clone();
    let follows = |other: &SourcePosition| other.host == place.host && other.cursor >= place.cursor;
    let event_us = place.time_us;
    let from = match places.iter().all(follows) {
        true => place,
        false => SourcePosition { cursor: None, time_us: place.time_us.saturating_sub(SPAN_US), ..place },
    };
    Some((from, event_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_place_has_a_sequence_only_where_all_sequences_grow_with_time() {
        let at = |host: &str, cursor: u64, seconds: i64| SourcePosition {
            host: host.into(),
            cursor: Some(cursor),
            time_us: seconds * 1_000_000,
            id: EventId(cursor.into()),
        };
        let before = |of: SourcePosition| {
            let event_us = of.time_us;
            (SourcePosition { cursor: None, time_us: event_us - SPAN_US, ..of }, event_us)
        };
        assert_eq!(lowest(vec![]), None);
        assert_eq!(lowest(vec![at("a", 9, 90), at("a", 7, 70), at("a", 8, 80)]), Some((at("a", 7, 70), 70_000_000)));
        // Another host; and one that gives its new numbers to later events.
        assert_eq!(lowest(vec![at("a", 7, 70), at("b", 8, 80)]), Some(before(at("a", 7, 70))));
        assert_eq!(lowest(vec![at("a", 5000, 70), at("a", 2, 80)]), Some(before(at("a", 5000, 70))));
        // A wrong time in the last event of a shard.
        assert_eq!(lowest(vec![at("a", 9, 20), at("a", 7, 70)]), Some(before(at("a", 9, 20))));
    }
}
