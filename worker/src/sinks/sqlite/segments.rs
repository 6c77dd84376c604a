//! Segments of the archive: which events wait for which object.
//!
//! A segment is one log range of one shard: one object, filed under slice, date and hour of its first event. Its events
//! wait in the table `waiting`, in the same transaction as their rows. A segment is closed by size, by age, or when an
//! event of another hour comes: that writes the intent, from which [`crate::sinks::archive`] makes the object.

use super::{Claim, Database, Error};
use crate::log::Entry;
use crate::sinks::archive::chunk;
use crate::sinks::archive::name::{Segment, hour_of};
use sqlx::{Row, SqliteConnection};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::fold::Logged;
use turbo_core::shard::{Shard, Slices};

/// When a segment is closed, and what its object is called.
#[derive(Clone, Debug)]
pub struct Roll {
    /// Bytes that wait, about the size of the object.
    pub size: u64,
    /// Age of its first event in it.
    pub age: Duration,
    /// Ending of the object's name.
    pub extension: &'static str,
}

/// A segment that takes events.
#[derive(Clone, Copy, Debug)]
struct Open {
    id: i64,
    first_seq: u64,
    last_seq: u64,
    /// Hours since the Unix epoch, of the first event.
    hour: i64,
    opened_us: i64,
    rows: u64,
    bytes: u64,
}

/// The open segments of the owned shards.
pub struct Segments {
    slices: Arc<Slices>,
    roll: Roll,
    epochs: BTreeMap<Shard, i64>,
    state: State,
    /// The state within a transaction that is not committed yet.
    staged: Option<State>,
}

#[derive(Clone, Default)]
struct State {
    open: BTreeMap<Shard, Open>,
    last_id: i64,
}

impl Database {
    /// Whether events wait for the archive.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn waits_for_archive(&self) -> Result<bool, Error> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM waiting)").fetch_one(&self.read).await?)
    }
}

impl Segments {
    /// The segments that the last owner left open.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn load(database: &Database, slices: Arc<Slices>, claims: &[Claim], roll: Roll) -> Result<Self, Error> {
        let epochs: BTreeMap<_, _> = claims.iter().map(|claim| (claim.shard, claim.epoch)).collect();
        let last_id =
            sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM segments").fetch_one(&database.write).await?;
        let rows = sqlx::query(
            "SELECT s.id, s.slice, s.partition, s.first_seq, s.hour, s.opened_us, max(w.last_seq) AS last_seq,
               sum(w.rows) AS rows, sum(length(w.chunk)) AS bytes
             FROM segments s JOIN waiting w ON w.segment = s.id WHERE s.state = 'open' GROUP BY s.id",
        )
        .fetch_all(&database.write)
        .await?;
        let mut open = BTreeMap::new();
        for row in rows {
            let (slice, partition): (String, u16) = (row.try_get("slice")?, row.try_get("partition")?);
            let shard = epochs.keys().find(|shard| slices.name(**shard) == slice && shard.partition == partition);
            let number = |column: &str| row.try_get::<i64, _>(column);
            let segment = Open {
                id: number("id")?,
                first_seq: number("first_seq")? as u64,
                last_seq: number("last_seq")? as u64,
                hour: number("hour")?,
                opened_us: number("opened_us")?,
                rows: number("rows")? as u64,
                bytes: number("bytes")? as u64,
            };
            open.insert(*shard.ok_or(Error::Broken("segments"))?, segment);
        }
        Ok(Self { slices, roll, epochs, state: State { open, last_id }, staged: None })
    }

    /// Lets a batch's events wait for the archive. Returns whether a segment was closed.
    pub(super) async fn add(&mut self, connection: &mut SqliteConnection, entries: &[Entry]) -> Result<bool, Error> {
        let mut state = self.state.clone();
        let mut closed = false;
        for (shard, events) in by_shard(entries) {
            let mut rest = &events[..];
            while let Some(first) = rest.first() {
                let hour = hour_of(first.event);
                let same = rest.iter().take_while(|logged| hour_of(logged.event) == hour).count();
                let (run, later) = rest.split_at(same);
                closed |= self.run(connection, &mut state, shard, hour, run).await?;
                rest = later;
            }
        }
        self.staged = Some(state);
        Ok(closed)
    }

    /// Adds events of one hour to the shard's segment.
    async fn run(
        &self,
        connection: &mut SqliteConnection,
        state: &mut State,
        shard: Shard,
        hour: i64,
        run: &[Logged<'_>],
    ) -> Result<bool, Error> {
        let (Some(Logged { seq: first, .. }), Some(Logged { seq: last, .. })) = (run.first(), run.last()) else {
            return Ok(false);
        };
        let mut closed = false;
        if let Some(other) = state.open.get(&shard).filter(|open| open.hour != hour).copied() {
            self.close(connection, state, shard, other).await?;
            closed = true;
        }
        let mut open = match state.open.get(&shard) {
            Some(open) => *open,
            None => self.open(connection, state, shard, hour, *first).await?,
        };
        let chunk = chunk::encode(run).map_err(|_| Error::Broken("chunk"))?;
        open.last_seq = *last;
        open.rows += run.len() as u64;
        open.bytes += chunk.len() as u64;
        sqlx::query("INSERT INTO waiting (segment, first_seq, last_seq, rows, chunk) VALUES (?, ?, ?, ?, ?)")
            .bind(open.id)
            .bind(*first as i64)
            .bind(*last as i64)
            .bind(run.len() as i64)
            .bind(chunk)
            .execute(&mut *connection)
            .await?;
        state.open.insert(shard, open);
        if open.bytes >= self.roll.size {
            self.close(connection, state, shard, open).await?;
            closed = true;
        }
        Ok(closed)
    }

    async fn open(
        &self,
        connection: &mut SqliteConnection,
        state: &mut State,
        shard: Shard,
        hour: i64,
        first_seq: u64,
    ) -> Result<Open, Error> {
        state.last_id += 1;
        let opened_us = jiff::Timestamp::now().as_microsecond();
        sqlx::query(
            "INSERT INTO segments (id, slice, partition, epoch, first_seq, last_seq, hour, opened_us, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open')",
        )
        .bind(state.last_id)
        .bind(self.slices.name(shard).to_owned())
        .bind(shard.partition)
        .bind(self.epochs.get(&shard))
        .bind(first_seq as i64)
        .bind(first_seq as i64)
        .bind(hour)
        .bind(opened_us)
        .execute(connection)
        .await?;
        Ok(Open { id: state.last_id, first_seq, last_seq: first_seq, hour, opened_us, rows: 0, bytes: 0 })
    }

    /// Writes the intent: from here on the segment's content and name are fixed.
    async fn close(
        &self,
        connection: &mut SqliteConnection,
        state: &mut State,
        shard: Shard,
        open: Open,
    ) -> Result<(), Error> {
        let epoch = self.epochs.get(&shard).copied().unwrap_or_default();
        sqlx::query(
            "UPDATE segments SET state = 'intent', path = ?, epoch = ?, last_seq = ?, rows = ?
             WHERE id = ? AND state = 'open'",
        )
        .bind(self.path(shard, epoch, open))
        .bind(epoch)
        .bind(open.last_seq as i64)
        .bind(open.rows as i64)
        .bind(open.id)
        .execute(connection)
        .await?;
        state.open.remove(&shard);
        Ok(())
    }

    /// Closes what is older than the limit, or everything.
    pub(super) async fn close_due(&mut self, connection: &mut SqliteConnection, all: bool) -> Result<bool, Error> {
        let mut state = self.state.clone();
        let now_us = jiff::Timestamp::now().as_microsecond();
        let age_us = i64::try_from(self.roll.age.as_micros()).unwrap_or(i64::MAX);
        let due: Vec<_> = self.state.open.iter().filter(|(_, o)| all || now_us - o.opened_us >= age_us).collect();
        for (shard, open) in &due {
            self.close(connection, &mut state, **shard, **open).await?;
        }
        let closed = !due.is_empty();
        self.staged = Some(state);
        Ok(closed)
    }

    /// The transaction has ended.
    pub(super) fn settle(&mut self, committed: bool) {
        if let Some(staged) = self.staged.take().filter(|_| committed) {
            self.state = staged;
        }
    }

    fn path(&self, shard: Shard, epoch: i64, open: Open) -> String {
        let Open { first_seq, hour, .. } = open;
        let (slice, partition) = (self.slices.name(shard), shard.partition);
        Segment { slice, partition, epoch: epoch as u64, first_seq, hour }.path(self.roll.extension)
    }
}

fn by_shard(entries: &[Entry]) -> BTreeMap<Shard, Vec<Logged<'_>>> {
    let mut shards = BTreeMap::<Shard, Vec<Logged<'_>>>::new();
    for entry in entries {
        if let Some(logged) = entry.logged() {
            shards.entry(entry.shard).or_default().push(logged);
        }
    }
    shards
}
