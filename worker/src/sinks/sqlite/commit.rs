//! The commit: everything that a batch changes, in one transaction.

use super::effects::{Effects, Written};
use super::segments::Segments;
use super::{Claim, Database, Error, now_text};
use crate::log::{Batch, Content, Entry, Gap};
use crate::telemetry::trace::{self, Step};
use sqlx::SqliteConnection;
use std::collections::BTreeMap;
use std::sync::Arc;
use turbo_core::event::Kind;
use turbo_core::fold::{Logged, fold};
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::Mark;

/// What one commit adds to a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// The shard's position: the last log sequence that is in.
    pub position: u64,
    /// Source time of its last event.
    pub time_us: Option<i64>,
    /// Events by kind, in the order of [`Kind::ALL`].
    pub kinds: [u64; 4],
    /// Dead letters.
    pub dead_letters: u64,
}

impl ShardTotals {
    /// All entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.kinds.iter().sum::<u64>() + self.dead_letters
    }
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// By shard.
    pub shards: BTreeMap<Shard, ShardTotals>,
    /// Rows of records.
    pub written: Written,
    /// Whether a segment of the archive was closed, and can be written.
    pub closed_segments: bool,
}

/// Commits batches for the shards that this process owns.
pub struct Committer {
    database: Arc<Database>,
    slices: Arc<Slices>,
    claims: BTreeMap<Shard, Claim>,
    effects: Effects,
    segments: Option<Segments>,
}

impl Committer {
    /// A committer for the claimed shards. With `segments` every event also waits for the archive.
    #[must_use]
    pub fn new(database: Arc<Database>, slices: Arc<Slices>, claims: &[Claim], segments: Option<Segments>) -> Self {
        let effects = Effects::new(slices.clone());
        let claims = claims.iter().map(|claim| (claim.shard, *claim)).collect();
        Self { database, slices, claims, effects, segments }
    }

    /// How many shards it commits for.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.claims.len()
    }

    /// Commits a batch whole. After an error nothing of it is in.
    ///
    /// # Errors
    /// SQLite refuses, or another process has claimed a shard.
    pub async fn commit(&mut self, batch: &Batch) -> Result<Committed, Error> {
        let began = trace::now();
        let mut transaction = self.database.begin().await?;
        let committed = match self.within(&mut transaction, batch).await {
            Ok(committed) => transaction.commit().await.map(|()| committed).map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Some(segments) = &mut self.segments {
            segments.settle(committed.is_ok());
        }
        if committed.is_ok() {
            let documents = batch.entries.iter().filter_map(|entry| entry.hydrated.as_ref()?.document.as_ref());
            self.database.grown.by(batch.bytes as u64 + documents.map(|document| document.len() as u64).sum::<u64>());
            trace::done(Step::Commit, began, &self.slices, &batch.entries);
        }
        committed
    }

    /// Closes segments that are older than the limit, or all of them. Returns whether any was closed.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn close_segments(&mut self, all: bool) -> Result<bool, Error> {
        let Some(segments) = &mut self.segments else { return Ok(false) };
        let mut transaction = self.database.begin().await?;
        let closed = segments.close_due(&mut transaction, all).await?;
        transaction.commit().await?;
        segments.settle(true);
        Ok(closed)
    }

    /// Segments that are closed and whose object is not made yet.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn intents(&self) -> Result<i64, Error> {
        let count = "SELECT count(*) FROM segments WHERE state = 'intent'";
        Ok(sqlx::query_scalar(count).fetch_one(&self.database.read).await?)
    }

    async fn within(&mut self, transaction: &mut SqliteConnection, batch: &Batch) -> Result<Committed, Error> {
        let events: Vec<Logged<'_>> = batch.entries.iter().filter_map(Entry::logged).collect();
        let known = self.effects.known(transaction, &events).await?;
        let folded = fold(&events, &known);
        let written = self.effects.apply(transaction, &folded).await?;
        let shards = totals(&batch.entries);
        self.positions(transaction, &shards).await?;
        self.dead_letters(transaction, &batch.entries).await?;
        let closed_segments = match &mut self.segments {
            Some(segments) => segments.add(transaction, &batch.entries).await?,
            None => false,
        };
        source(transaction, batch).await?;
        for gap in &batch.gaps {
            record_gap(transaction, gap).await?;
        }
        Ok(Committed { shards, written, closed_segments })
    }

    /// Moves the positions under the fence: the epoch that was claimed, and a position that only grows.
    async fn positions(
        &self,
        connection: &mut SqliteConnection,
        shards: &BTreeMap<Shard, ShardTotals>,
    ) -> Result<(), Error> {
        for (shard, totals) in shards {
            let epoch = self.claims.get(shard).map(|claim| claim.epoch);
            let [commits, identities, accounts, syncs] = totals.kinds.map(|count| count as i64);
            let moved = sqlx::query(
                "UPDATE shards SET position = ?, time_us = coalesce(?, time_us), entries = entries + ?,
                   commits = commits + ?, identities = identities + ?, accounts = accounts + ?, syncs = syncs + ?,
                   dead_letters = dead_letters + ?
                 WHERE slice = ? AND partition = ? AND epoch = ? AND position < ?",
            )
            .bind(totals.position as i64)
            .bind(totals.time_us)
            .bind(totals.entries() as i64)
            .bind(commits)
            .bind(identities)
            .bind(accounts)
            .bind(syncs)
            .bind(totals.dead_letters as i64)
            .bind(self.slices.name(*shard).to_owned())
            .bind(shard.partition)
            .bind(epoch)
            .bind(totals.position as i64)
            .execute(&mut *connection)
            .await?;
            if moved.rows_affected() != 1 {
                return Err(Error::InUse(self.database.path().display().to_string()));
            }
        }
        Ok(())
    }

    async fn dead_letters(&self, connection: &mut SqliteConnection, entries: &[Entry]) -> Result<(), Error> {
        for entry in entries {
            let Content::Unreadable { bytes, reason } = &entry.item.content else { continue };
            sqlx::query(
                "INSERT INTO dead_letters (slice, partition, seq, reason, detail, payload, time_us)
                 VALUES (?, ?, ?, 'Unreadable', ?, ?, ?)",
            )
            .bind(self.slices.name(entry.shard).to_owned())
            .bind(entry.shard.partition)
            .bind(entry.seq as i64)
            .bind(reason.clone())
            .bind(bytes.to_vec())
            .bind(jiff::Timestamp::now().as_microsecond())
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }
}

fn totals(entries: &[Entry]) -> BTreeMap<Shard, ShardTotals> {
    let mut shards = BTreeMap::<Shard, ShardTotals>::new();
    for entry in entries {
        let totals = shards.entry(entry.shard).or_default();
        debug_assert!(totals.position < entry.seq, "a shard's entries come in log order");
        totals.position = entry.seq;
        match entry.item.event() {
            Some(event) => {
                totals.time_us = Some(event.time_us);
                let kind = Kind::ALL.iter().position(|kind| *kind == event.kind()).unwrap_or_default();
                totals.kinds[kind] += 1;
            }
            None => totals.dead_letters += 1,
        }
    }
    shards
}

/// The last sequence given, where the source was read to, and what the dedup window has to remember.
async fn source(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    let last = batch.entries.last().map(|entry| entry.seq as i64);
    sqlx::query("UPDATE pipeline SET seq = coalesce(?, seq)").bind(last).execute(&mut *connection).await?;
    if let Some(position) = &batch.position {
        sqlx::query("UPDATE pipeline SET host = ?, cursor = ?, source_time_us = ?, source_id = ?")
            .bind(position.host.clone())
            .bind(position.cursor.map(|cursor| cursor as i64))
            .bind(position.time_us)
            .bind(position.id.0.to_le_bytes().to_vec())
            .execute(&mut *connection)
            .await?;
    }
    let marks: Vec<&Mark> = batch.items().flat_map(|item| &item.marks).collect();
    if let (Some(last), Some(newest)) = (last, marks.last()) {
        let mut stored = Vec::new();
        marks.iter().for_each(|mark| mark.write(&mut stored));
        sqlx::query("INSERT INTO dedup (seq, newest_us, marks) VALUES (?, ?, ?)")
            .bind(last)
            .bind(newest.time_us)
            .bind(stored)
            .execute(&mut *connection)
            .await?;
        // The newest row always stays: a resumed stream is recognised by its last event.
        sqlx::query("DELETE FROM dedup WHERE seq < ? AND newest_us < ?")
            .bind(last)
            .bind(batch.marks_from_us)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn record_gap(connection: &mut SqliteConnection, gap: &Gap) -> Result<(), Error> {
    sqlx::query("INSERT INTO gaps (found_at, host, from_us, to_us, reason) VALUES (?, ?, ?, ?, ?)")
        .bind(now_text())
        .bind(gap.host.clone())
        .bind(gap.from_us)
        .bind(gap.to_us)
        .bind(gap.reason.clone())
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
