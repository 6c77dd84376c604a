//! The commit: everything that a batch changes for the worker's shards, in one fenced transaction.

use super::answered::getting_on;
use super::effects::Effects;
use super::projections::{Projections, UnknownProjection};
use super::refused::{self, Refused};
use super::{Database, Error, dead_letters};
use crate::log::{Content, Numbered};
use crate::telemetry::trace::{self, Step};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use turbo_core::event::Kind;
use turbo_core::fold::fold;
use turbo_core::ownership::Owned;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};

/// How long PostgreSQL may be silent in a commit before it counts as away: above what a statement may take.
const ANSWER: Duration = Duration::from_secs(60);

/// What one commit adds to a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardTotals {
    /// The last log sequence that is in.
    pub position: u64,
    /// Its number in the shard.
    pub number: u64,
    /// All entries.
    pub entries: u64,
    /// Source time of the last event.
    pub time_us: Option<i64>,
    /// Where the source was at the last event.
    pub source: Option<SourcePosition>,
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

impl Committed {
    /// What a commit of these entries did whose answer was lost, as far as that is known.
    pub(crate) fn unanswered(entries: &[Numbered]) -> Self {
        Self { shards: totals(entries, &Refused::new()), ..Self::default() }
    }
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
    pub(super) database: Database,
    pub(super) slices: Arc<Slices>,
    pub(super) effects: Effects,
    /// Slices that look up what their records point at.
    pub(super) hydrating: BTreeSet<u16>,
    pub(super) answer: Duration,
}

impl Committer {
    /// A committer for shards of these slices.
    #[must_use]
    pub fn new(database: Database, slices: Arc<Slices>) -> Self {
        let effects = Effects::new(slices.clone());
        Self { database, effects, slices, hydrating: BTreeSet::new(), answer: ANSWER }
    }

    /// One that fills these projections too, in the same transaction.
    ///
    /// # Errors
    /// There is no projection of such a name.
    pub fn with_projections(mut self, names: &[String]) -> Result<Self, UnknownProjection> {
        self.effects.projections = Projections::new(names, &self.slices)?;
        Ok(self)
    }

    /// The same, where these slices look up what their records point at.
    #[must_use]
    pub fn with_hydration(self, hydrating: BTreeSet<u16>) -> Self {
        Self { hydrating, ..self }
    }

    /// The same, where PostgreSQL may be silent for so long.
    #[must_use]
    pub fn with_answers_within(mut self, limit: Duration) -> Self {
        self.answer = limit;
        self
    }

    /// Commits entries, in the order of the log, for shards of `owned`. All of it lands, or nothing. It may take as long as
    /// it gets on: the deletion of an account visits all of its rows.
    ///
    /// # Errors
    /// A shard is fenced, or PostgreSQL is away.
    pub async fn commit(&self, owned: &BTreeMap<Shard, Owned>, entries: &[Numbered]) -> Result<Committed, CommitError> {
        getting_on(self.answer, self.commit_whole(owned, entries)).await
    }

    async fn commit_whole(
        &self,
        owned: &BTreeMap<Shard, Owned>,
        entries: &[Numbered],
    ) -> Result<Committed, CommitError> {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.entry.seq), "in the order of the log");
        let began = trace::now();
        let unfit = refused::unfit(refused::events(entries));
        let mut outcome = self.attempt(owned, entries, &unfit).await;
        let bare = if refuses(&outcome) { refused::without_documents(entries) } else { None };
        if let Some(bare) = &bare {
            outcome = self.attempt(owned, bare, &unfit).await;
        }
        if refuses(&outcome) {
            let entries = bare.as_deref().unwrap_or(entries);
            let events: Vec<_> = refused::events(entries).collect();
            let refused = refused::find_all(&self.database, &self.effects, &events, unfit).await?;
            outcome = self.attempt(owned, entries, &refused).await;
        }
        if outcome.is_ok() {
            trace::done(Step::Commit, began, &self.slices, entries.iter().map(|entry| &entry.entry));
        }
        outcome
    }

    async fn attempt(
        &self,
        owned: &BTreeMap<Shard, Owned>,
        entries: &[Numbered],
        refused: &Refused,
    ) -> Result<Committed, CommitError> {
        let mut transaction = self.database.begin().await.map_err(Error::from)?;
        let shards = totals(entries, refused);
        let fenced = self.fence(&mut transaction, owned, &shards).await?;
        if !fenced.is_empty() {
            return Err(CommitError::Fenced(fenced));
        }
        let shadows = refused::shadows(refused::events(entries), refused);
        let events = refused::sift(refused::events(entries), refused, &shadows);
        let known = self.effects.known(&mut transaction, &events).await?;
        let folded = fold(&events, &known);
        let rows = refused::rows(&folded);
        self.effects.apply(&mut transaction, &folded, &rows).await?;
        self.count(&mut transaction, &shards).await?;
        gaps(&mut transaction, entries).await?;
        let given_up = entries.iter().map(|entry| &entry.entry);
        dead_letters::insert(&mut transaction, &self.slices, given_up, refused).await?;
        transaction.commit().await.map_err(Error::from)?;
        let records = rows.iter().filter(|row| row.record().is_some()).count() as u64;
        Ok(Committed { shards, records, tombstones: rows.len() as u64 - records, refused: folded.refused })
    }

    /// Moves the positions under the fence: the epoch that was claimed, and the position that it had. Returns the shards
    /// whose row is another. The rows are locked in the order of the plan: of two owners, one of them gone, that wait for
    /// each other the server ends one, and it looks again. To lock them in order first would double the statement's time.
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
            "UPDATE positions AS p SET position = s.position, number = s.number,
               time_us = coalesce(s.time_us, p.time_us), host = coalesce(s.host, p.host),
               cursor = CASE WHEN s.host IS NULL THEN p.cursor ELSE s.cursor END,
               source_id = coalesce(s.source_id, p.source_id),
               had_host = CASE WHEN s.position >> 40 > p.position >> 40 THEN p.host ELSE p.had_host END,
               had_cursor = CASE WHEN s.position >> 40 > p.position >> 40 THEN p.cursor ELSE p.had_cursor END,
               had_time_us = CASE WHEN s.position >> 40 > p.position >> 40 THEN p.time_us ELSE p.had_time_us END
             FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
               $8::text[], $9::bigint[], $10::bytea[])
               AS s (slice, partition, epoch, had, position, number, time_us, host, cursor, source_id)
             WHERE p.slice = s.slice AND p.partition = s.partition AND p.sink = 'postgres'
               AND p.epoch = s.epoch AND p.position = s.had
             RETURNING p.slice, p.partition",
        )
        .persistent(false)
        .bind(self.names_of(shards.keys().copied()))
        .bind(partitions_of(shards.keys().copied()))
        .bind(epochs)
        .bind(had)
        .bind(shards.values().map(|totals| totals.position as i64).collect::<Vec<_>>())
        .bind(shards.values().map(|totals| totals.number as i64).collect::<Vec<_>>())
        .bind(shards.values().map(|totals| totals.time_us).collect::<Vec<_>>())
        .bind(sources(shards, |source| Some(source.host.clone())))
        .bind(sources(shards, |source| source.cursor.map(|cursor| cursor as i64)))
        .bind(sources(shards, |source| Some(source.id.0.to_le_bytes().to_vec())))
        .fetch_all(connection)
        .await?;
        self.unheld(&moved, shards.keys().copied())
    }

    /// Those of the shards that no row of an answer (slice, partition) is of.
    pub(super) fn unheld(&self, rows: &[PgRow], shards: impl Iterator<Item = Shard>) -> Result<Vec<Shard>, Error> {
        let mut held = Vec::new();
        for row in rows {
            held.push((row.try_get::<String, _>("slice")?, row.try_get::<i32, _>("partition")?));
        }
        let is_held = |shard: &Shard| {
            held.iter()
                .any(|(slice, partition)| slice == self.slices.name(*shard) && *partition == i32::from(shard.partition))
        };
        Ok(shards.filter(|shard| !is_held(shard)).collect())
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
        .bind(self.names_of(shards.keys().copied()))
        .bind(partitions_of(shards.keys().copied()))
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

    /// The slices of shards, as a column.
    pub(super) fn names_of(&self, shards: impl Iterator<Item = Shard>) -> Vec<String> {
        shards.map(|shard| self.slices.name(shard).to_owned()).collect()
    }
}

/// Whether the server refuses what it was given.
fn refuses<T>(outcome: &Result<T, CommitError>) -> bool {
    matches!(outcome, Err(CommitError::Outage(error)) if error.refuses_data())
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

/// The partitions of shards, as a column.
pub(super) fn partitions_of(shards: impl Iterator<Item = Shard>) -> Vec<i32> {
    shards.map(|shard| i32::from(shard.partition)).collect()
}

fn totals(entries: &[Numbered], refused: &Refused) -> BTreeMap<Shard, ShardTotals> {
    let mut shards = BTreeMap::<Shard, ShardTotals>::new();
    let mut last = BTreeMap::new();
    for Numbered { entry, number } in entries {
        let totals = shards.entry(entry.shard).or_default();
        debug_assert!(totals.position < entry.seq, "a shard's entries come in log order");
        (totals.position, totals.number) = (entry.seq, *number);
        totals.entries += u64::from(!matches!(entry.item.content, Content::Gap(_) | Content::Covered(_)));
        match entry.item.event() {
            Some(event) => {
                totals.time_us = Some(event.time_us);
                last.insert(entry.shard, entry);
                let kind = Kind::ALL.iter().position(|kind| *kind == event.kind()).unwrap_or_default();
                totals.kinds[kind] += 1;
            }
            None => totals.dead_letters += u64::from(matches!(entry.item.content, Content::Unreadable { .. })),
        }
        totals.dead_letters += u64::from(refused.contains_key(&entry.seq));
    }
    for (shard, totals) in &mut shards {
        totals.source = last.get(shard).and_then(|entry| entry.source());
    }
    shards
}

/// A column of what is known of the source.
fn sources<T>(shards: &BTreeMap<Shard, ShardTotals>, of: impl Fn(&SourcePosition) -> Option<T>) -> Vec<Option<T>> {
    shards.values().map(|totals| totals.source.as_ref().and_then(&of)).collect()
}
