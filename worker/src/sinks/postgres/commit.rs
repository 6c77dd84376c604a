//! The commit: everything that a batch changes for the worker's shards, in one fenced transaction.

use super::effects::Effects;
use super::refused::{self, RefusedRow};
use super::{Database, Error};
use crate::log::{Content, Entry, Numbered};
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use turbo_core::event::Kind;
use turbo_core::fold::{Folded, Logged, Row, fold};
use turbo_core::ownership::Owned;
use turbo_core::shard::{Shard, Slices};

/// What one commit adds to a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// The last log sequence that is in.
    pub position: u64,
    /// Its number in the shard.
    pub number: u64,
    /// All entries.
    pub entries: u64,
    /// Source time of the last event.
    pub time_us: Option<i64>,
    /// Events by kind, in the order of [`Kind::ALL`].
    pub kinds: [u64; 4],
    /// Dead letters.
    pub dead_letters: u64,
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// By shard.
    pub shards: BTreeMap<Shard, ShardTotals>,
    /// Records written.
    pub records: u64,
    /// Tombstones written.
    pub tombstones: u64,
    /// Commits that a floor refused.
    pub refused: u64,
}

/// Why a commit did not land.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The rows of these shards are not as this owner knows them; nothing landed. Their rows have to be read again.
    #[error("fenced: {} shards are not at the epoch and position of this worker", .0.len())]
    Fenced(Vec<Shard>),
    /// PostgreSQL refuses or is away. Whether it landed is not known: the rows have to be read again.
    #[error(transparent)]
    Outage(#[from] Error),
}

/// Commits batches for shards that this process owns.
#[derive(Debug)]
pub struct Committer {
    database: Database,
    slices: Arc<Slices>,
    effects: Effects,
}

impl Committer {
    /// A committer for shards of these slices.
    #[must_use]
    pub fn new(database: Database, slices: Arc<Slices>) -> Self {
        Self { database, effects: Effects { slices: slices.clone() }, slices }
    }

    /// Commits entries, in the order of the log, for shards of `owned`. All of it lands, or nothing.
    ///
    /// # Errors
    /// A shard is fenced, or PostgreSQL is away.
    pub async fn commit(&self, owned: &BTreeMap<Shard, Owned>, entries: &[Numbered]) -> Result<Committed, CommitError> {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.entry.seq), "in the order of the log");
        match self.attempt(owned, entries, &[]).await {
            Err(CommitError::Outage(error)) if error.refuses_data() => {
                let refused = self.refused(entries).await?;
                if refused.is_empty() {
                    return Err(error.into());
                }
                self.attempt(owned, entries, &refused).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(
        &self,
        owned: &BTreeMap<Shard, Owned>,
        entries: &[Numbered],
        refused: &[RefusedRow],
    ) -> Result<Committed, CommitError> {
        let mut transaction = self.database.begin().await.map_err(Error::from)?;
        let mut shards = totals(entries);
        let refused: HashMap<u64, &str> = refused.iter().map(|row| (row.seq, &*row.why)).collect();
        for entry in entries.iter().filter(|entry| refused.contains_key(&entry.entry.seq)) {
            shards.entry(entry.entry.shard).or_default().dead_letters += 1;
        }
        let fenced = self.fence(&mut transaction, owned, &shards).await?;
        if !fenced.is_empty() {
            return Err(CommitError::Fenced(fenced));
        }
        let events = logged(entries);
        let known = self.effects.known(&mut transaction, &events).await?;
        let folded = fold(&events, &known);
        let rows = rows(&folded, |seq| !refused.contains_key(&seq));
        self.effects.apply(&mut transaction, &folded, &rows).await?;
        self.count(&mut transaction, &shards).await?;
        gaps(&mut transaction, entries).await?;
        for entry in entries {
            self.dead_letter(&mut transaction, &entry.entry, refused.get(&entry.entry.seq).copied()).await?;
        }
        transaction.commit().await.map_err(Error::from)?;
        let records = rows.iter().filter(|row| row.record().is_some()).count() as u64;
        Ok(Committed { shards, records, tombstones: rows.len() as u64 - records, refused: folded.refused })
    }

    /// The rows among these entries that the server refuses.
    async fn refused(&self, entries: &[Numbered]) -> Result<Vec<RefusedRow>, Error> {
        let events = logged(entries);
        let mut transaction = self.database.begin().await?;
        let known = self.effects.known(&mut transaction, &events).await?;
        transaction.rollback().await?;
        let folded = fold(&events, &known);
        refused::find(&self.database, &self.effects, &rows(&folded, |_| true)).await
    }

    /// Moves the positions under the fence: the epoch that was claimed, and the position that it had. Returns the shards
    /// whose row is another.
    async fn fence(
        &self,
        connection: &mut PgConnection,
        owned: &BTreeMap<Shard, Owned>,
        shards: &BTreeMap<Shard, ShardTotals>,
    ) -> Result<Vec<Shard>, Error> {
        let of =
            |shard: &Shard| owned.get(shard).map_or((0, 0), |owned| (owned.epoch() as i64, owned.position() as i64));
        let (epochs, had): (Vec<i64>, Vec<i64>) = shards.keys().map(of).unzip();
        let moved = sqlx::query(
            "UPDATE positions AS p SET position = s.position, number = s.number, time_us = coalesce(s.time_us, p.time_us)
             FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
               AS s (slice, partition, epoch, had, position, number, time_us)
             WHERE p.slice = s.slice AND p.partition = s.partition AND p.sink = 'postgres'
               AND p.epoch = s.epoch AND p.position = s.had
             RETURNING p.slice, p.partition",
        )
        .persistent(false)
        .bind(self.names(shards))
        .bind(partitions(shards))
        .bind(epochs)
        .bind(had)
        .bind(shards.values().map(|totals| totals.position as i64).collect::<Vec<_>>())
        .bind(shards.values().map(|totals| totals.number as i64).collect::<Vec<_>>())
        .bind(shards.values().map(|totals| totals.time_us).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut held = Vec::new();
        for row in moved {
            held.push((row.try_get::<String, _>("slice")?, row.try_get::<i32, _>("partition")?));
        }
        let is_held = |shard: &Shard| {
            held.iter()
                .any(|(slice, partition)| slice == self.slices.name(*shard) && *partition == i32::from(shard.partition))
        };
        Ok(shards.keys().filter(|shard| !is_held(shard)).copied().collect())
    }

    async fn count(&self, connection: &mut PgConnection, shards: &BTreeMap<Shard, ShardTotals>) -> Result<(), Error> {
        let kind = |at: usize| shards.values().map(|totals| totals.kinds[at] as i64).collect::<Vec<_>>();
        sqlx::query(
            "UPDATE counters AS c SET commits = c.commits + s.commits, identities = c.identities + s.identities,
               accounts = c.accounts + s.accounts, syncs = c.syncs + s.syncs,
               dead_letters = c.dead_letters + s.dead_letters, entries = c.entries + s.entries
             FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
               $8::bigint[]) AS s (slice, partition, commits, identities, accounts, syncs, dead_letters, entries)
             WHERE c.slice = s.slice AND c.partition = s.partition",
        )
        .persistent(false)
        .bind(self.names(shards))
        .bind(partitions(shards))
        .bind(kind(0))
        .bind(kind(1))
        .bind(kind(2))
        .bind(kind(3))
        .bind(shards.values().map(|totals| totals.dead_letters as i64).collect::<Vec<_>>())
        .bind(shards.values().map(|totals| totals.entries as i64).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// What is no event, or is refused, becomes a dead letter.
    async fn dead_letter(
        &self,
        connection: &mut PgConnection,
        entry: &Entry,
        refused: Option<&str>,
    ) -> Result<(), Error> {
        let (reason, detail, did, payload) = match (&entry.item.content, refused) {
            (Content::Unreadable { bytes, reason }, _) => ("Unreadable", reason.as_str(), None, bytes),
            (Content::Event(event), Some(why)) => ("Refused", why, Some(&*event.key), &event.bytes),
            (Content::Event(_) | Content::Gap(_), _) => return Ok(()),
        };
        sqlx::query(
            "INSERT INTO dead_letters (slice, partition, seq, did, reason, detail, payload, time_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .persistent(false)
        .bind(self.slices.name(entry.shard).to_owned())
        .bind(i32::from(entry.shard.partition))
        .bind(entry.seq as i64)
        .bind(did.map(|did| did.replace('\0', "")))
        .bind(reason)
        .bind(detail.replace('\0', " "))
        .bind(payload.to_vec())
        .bind(jiff::Timestamp::now().as_microsecond())
        .execute(connection)
        .await?;
        Ok(())
    }

    fn names(&self, shards: &BTreeMap<Shard, ShardTotals>) -> Vec<String> {
        shards.keys().map(|shard| self.slices.name(*shard).to_owned()).collect()
    }
}

/// Parts of the source that were never seen are written down once, since the position moves over them.
async fn gaps(connection: &mut PgConnection, entries: &[Numbered]) -> Result<(), Error> {
    for entry in entries {
        let Content::Gap(gap) = &entry.entry.item.content else { continue };
        sqlx::query("INSERT INTO gaps (found_at, host, from_us, to_us, reason) VALUES (now(), $1, $2, $3, $4)")
            .persistent(false)
            .bind(gap.host.clone())
            .bind(gap.from_us)
            .bind(gap.to_us)
            .bind(gap.reason.clone())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn partitions(shards: &BTreeMap<Shard, ShardTotals>) -> Vec<i32> {
    shards.keys().map(|shard| i32::from(shard.partition)).collect()
}

fn logged(entries: &[Numbered]) -> Vec<Logged<'_>> {
    entries
        .iter()
        .filter_map(|Numbered { entry, .. }| {
            entry.item.event().map(|event| Logged { seq: entry.seq, shard: entry.shard, event })
        })
        .collect()
}

/// The rows of a fold whose sequence is to be written.
fn rows<'f, 'a>(folded: &'f Folded<'a>, written: impl Fn(u64) -> bool) -> Vec<&'f Row<'a>> {
    folded.rows.values().filter(|row| written(row.seq)).collect()
}

fn totals(entries: &[Numbered]) -> BTreeMap<Shard, ShardTotals> {
    let mut shards = BTreeMap::<Shard, ShardTotals>::new();
    for Numbered { entry, number } in entries {
        let totals = shards.entry(entry.shard).or_default();
        debug_assert!(totals.position < entry.seq, "a shard's entries come in log order");
        (totals.position, totals.number) = (entry.seq, *number);
        totals.entries += 1;
        match entry.item.event() {
            Some(event) => {
                totals.time_us = Some(event.time_us);
                let kind = Kind::ALL.iter().position(|kind| *kind == event.kind()).unwrap_or_default();
                totals.kinds[kind] += 1;
            }
            None => totals.dead_letters += u64::from(!matches!(entry.item.content, Content::Gap(_))),
        }
    }
    shards
}
