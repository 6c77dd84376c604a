//! How what was read is committed, and handed to the other sinks.

use super::ahead::{Ahead, Batch, appended_us};
use super::covered::handed;
use super::holder::{ANSWER, Holder, Read};
use super::reread::Readings;
use crate::log::nats::{Announced, Error as LogError, Message, Next};
use crate::log::{Content, Entry, Gap, Item, Numbered};
use crate::sinks::feed::{Entries, Order};
use crate::sinks::postgres::{CommitError, Committed, Redriven, answered};
use crate::telemetry::events;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use turbo_core::backoff::Backoff;
use turbo_core::ownership::Row;
use turbo_core::position::generation;
use turbo_core::shard::Shard;

/// Dead letters sent again at once.
const REDRIVEN: u32 = 200;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl Holder {
    /// Commits what was read, as far as it is still held, and hands it on.
    pub(super) async fn commit(&mut self, Batch { read, room }: Batch) {
        let mut readings = Readings::of(&read);
        if let Err(error) = self.drop_what_went(&mut readings, &mut Vec::new()).await {
            tracing::debug!(%error, "the log is asked again before the commit");
        }
        let mut rooms = Vec::with_capacity(read.len() + 1);
        rooms.push(room);
        let mut entries = Vec::with_capacity(read.len());
        for one in read {
            let Read { shard, epoch, next, ahead, _room, .. } = one;
            rooms.push(_room);
            entries.extend(self.entries(shard, epoch, next, ahead));
        }
        debug_assert!(
            entries.is_sorted_by_key(|entry: &Numbered| entry.entry.seq),
            "slices share the table of accounts"
        );
        // The room is given back when the last sink has let go of them.
        let all = Entries::new(entries, rooms);
        // What was had before a log was begun anew is that of the last commit before it.
        let generations: BTreeSet<u64> = all.iter().map(|entry| generation(entry.entry.seq)).collect();
        for one in generations {
            let part = all.clone().only(|entry| generation(entry.entry.seq) == one);
            if !self.land(&part, &mut readings).await {
                break;
            }
            // It may have waited for long.
            self.hand_on(self.refreshed(part));
        }
        self.tell_went_back().await;
    }

    /// The same entries, with what is known now where what was known is too old to land.
    fn refreshed(&self, all: Entries) -> Entries {
        let Some(hydrator) = &self.parts.hydrator else { return all };
        let now = tokio::time::Instant::now();
        if !all.iter().any(|numbered| numbered.entry.is_too_old(now)) {
            return all;
        }
        all.each(|numbered| {
            let mut numbered = numbered.clone();
            numbered.entry.refresh(hydrator, now);
            numbered
        })
    }

    /// Commits to the database what it does not have yet. Returns false where the process ends before that is done.
    async fn land(&mut self, all: &[Numbered], readings: &mut Readings) -> bool {
        let mut entries: Vec<Numbered> = all.iter().filter(|numbered| self.is_new(&numbered.entry)).cloned().collect();
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        while !entries.is_empty() {
            if let Some(hydrator) = &self.parts.hydrator {
                let now = tokio::time::Instant::now();
                entries.iter_mut().for_each(|numbered| numbered.entry.refresh(hydrator, now));
            }
            let began = Instant::now();
            let shards = match self.attempt(&mut entries, readings).await {
                Some(Ok(committed)) => {
                    self.landed(&entries, &committed, began.elapsed());
                    return true;
                }
                Some(Err(CommitError::Fenced(shards))) => shards,
                None if self.stop.is_cancelled() => return false,
                None => shards_of(&entries),
                Some(Err(CommitError::Outage(error))) => {
                    let wait = backoff.next(rand::random());
                    self.parts.live.commit_failed(&error.to_string());
                    events::CommitFailed { error: &error.to_string(), entries: entries.len(), wait }.emit();
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.stop.cancelled() => return false,
                    }
                    if let Some(hydrator) = &self.parts.hydrator {
                        entries.iter_mut().for_each(|numbered| numbered.entry.hydrate_again(hydrator));
                    }
                    // It may have landed all the same.
                    shards_of(&entries)
                }
            };
            let known = self.look_again(shards, &mut entries).await;
            if !known.is_empty() {
                self.landed(&known, &Committed::unanswered(&known), began.elapsed());
            }
        }
        self.parts.live.commits_again();
        true
    }

    /// Commits entries, unless the log went back behind them. `None` where it has to be asked again; what was under way may
    /// have landed.
    async fn attempt(
        &mut self,
        entries: &mut Vec<Numbered>,
        readings: &mut Readings,
    ) -> Option<Result<Committed, CommitError>> {
        let mut connections = self.parts.log.connections();
        connections.mark_unchanged();
        if let Err(error) = self.drop_what_went(readings, entries).await {
            self.parts
                .live
                .commit_failed(&format!("it waits until the log says that it still has what was read: {error}"));
            tokio::time::sleep(BACKOFF.0).await;
            return None;
        }
        if entries.is_empty() {
            return None;
        }
        tokio::select! {
            biased;
            committed = self.parts.committer.commit(&self.owned, entries) => Some(committed),
            () = readings.until_gone(&self.parts.log, &self.parts.slices, connections) => None,
        }
    }

    fn is_new(&self, entry: &Entry) -> bool {
        self.owned.get(&entry.shard).is_some_and(|owned| entry.seq > owned.position())
    }

    fn landed(&mut self, entries: &[Numbered], committed: &Committed, took: Duration) {
        for (shard, totals) in &committed.shards {
            let Some(owned) = self.owned.remove(shard) else { continue };
            let (epoch, position) = (owned.epoch(), totals.position);
            if let Ok(owned) = owned.go_on(&Row { epoch, owner: None, position }) {
                self.owned.insert(*shard, owned);
            }
            if let Some(covered) = self.covered.get_mut(shard) {
                covered.database.moved(position, totals.source.as_ref());
            }
            let announced = Announced { epoch, seq: position, number: totals.number, purged: 0, archived: 0 };
            self.parts.announcements.set(*shard, announced);
        }
        self.parts.live.landed(entries, committed, took);
    }

    /// Takes up dead letters that were asked for again.
    pub(super) async fn redrive(&self) {
        if self.owned.is_empty() {
            return;
        }
        match self.parts.committer.redrive(&self.owned, REDRIVEN).await {
            Ok(redriven) if redriven == Redriven::default() => {}
            Ok(Redriven { landed, superseded, failed, moved }) => {
                tracing::info!(landed, superseded, failed, moved, "dead letters were sent again");
            }
            // They are asked for until they were taken up; a shard that was claimed by another is found out by its row.
            Err(CommitError::Fenced(_)) => {}
            Err(CommitError::Outage(error)) => tracing::warn!("dead letters wait to be sent again: {error}"),
        }
    }

    /// Hands on what is still held: a shard that was lost meanwhile goes on elsewhere.
    fn hand_on(&mut self, all: Entries) {
        let all = all.only(|entry| self.owned.contains_key(&entry.entry.shard));
        if all.is_empty() {
            return;
        }
        let covered = &mut self.covered;
        self.outbox.give(|sink| Some(Order::Entries(handed(covered, sink.name, &all))));
    }

    /// What was read, if it was read under the claim that is held now. Messages that the log has lost come as a gap before
    /// the next one, so that what moves the position over them writes them down too.
    fn entries(
        &mut self,
        shard: Shard,
        epoch: u64,
        next: Result<Option<Next>, LogError>,
        ahead: Ahead,
    ) -> Vec<Numbered> {
        if self.owned.get(&shard).is_none_or(|owned| owned.epoch() != epoch) {
            return Vec::new();
        }
        let slices = self.parts.slices.clone();
        let (slice, partition) = (slices.name(shard), shard.partition);
        match next {
            Ok(Some(Next::Message(Message { seq, number, item: Some(item), appended_ms, .. }))) => {
                let gaps = self.missing.remove(&shard).unwrap_or_default();
                let gap = |lost: &[(u64, u64)]| {
                    let ranges: Vec<_> = lost.iter().map(|(from, to)| format!("{from} to {to}")).collect();
                    let ranges = ranges.join(", ");
                    let reason = format!("the log no longer has the messages {ranges} of {slice}.{partition}");
                    let from_us = self.covered.get(&shard).and_then(|covered| covered.database.time_us()).unwrap_or(0);
                    let to_us = item.event().map(|event| event.time_us);
                    Gap { host: "log".to_owned(), from_us, to_us, reason }
                };
                // A lost message has a sequence below that of the next one.
                let gap = (!gaps.is_empty()).then(|| numbered(shard, seq - 1, number - 1, Content::Gap(gap(&gaps))));
                let item = self.or_covered(shard, seq, item);
                let mut entry =
                    Entry { appended_us: appended_us(appended_ms), ..Entry::new(seq, shard, Arc::new(item)) };
                match (ahead, &self.parts.hydrator) {
                    (Ahead::Taken(taken), _) => entry.put(taken),
                    (Ahead::May { .. } | Ahead::Not, Some(hydrator)) => entry.hydrate(hydrator, self.is_new(&entry)),
                    (Ahead::May { .. } | Ahead::Not, None) => {}
                }
                gap.into_iter().chain([Numbered { entry, number }]).collect()
            }
            Ok(Some(Next::Message(_))) => Vec::new(),
            Ok(None) => {
                self.parts.live.readable(shard);
                Vec::new()
            }
            Ok(Some(Next::Missing { from, to })) => {
                events::LogMissing { slice, partition, from, to }.emit();
                self.parts.live.gap();
                self.missing.entry(shard).or_default().push((from, to));
                Vec::new()
            }
            Ok(Some(Next::WentBack { number, next })) => {
                let reason = format!(
                    "the log of {slice}.{partition} went back: behind message {number}, which is not there any more, comes \
                     message {next}; events may be missing, or there twice"
                );
                self.turned.push((shard, reason));
                Vec::new()
            }
            Err(error) => {
                let error = error.to_string();
                events::ShardUnreadable { slice, partition, error: &error }.emit();
                self.parts.live.unreadable(shard, &error);
                Vec::new()
            }
        }
    }

    /// Writes down where the log went back behind what was committed.
    async fn tell_went_back(&mut self) {
        for (shard, reason) in std::mem::take(&mut self.turned) {
            if !self.owned.contains_key(&shard) {
                continue;
            }
            match answered(ANSWER, self.parts.database.gap(&reason)).await {
                Ok(new) => {
                    tracing::error!("a gap: {reason}");
                    if new {
                        self.parts.live.gap();
                    }
                }
                Err(_) => self.turned.push((shard, reason)),
            }
        }
    }

    /// An item, or that the database had it already before the log was begun anew.
    fn or_covered(&self, shard: Shard, seq: u64, item: Item) -> Item {
        match item.content {
            Content::Event(event)
                if self.covered.get(&shard).is_some_and(|covered| covered.database.has(seq, &item, &event)) =>
            {
                Item { content: Content::Covered(event), ..item }
            }
            content => Item { content, ..item },
        }
    }

    /// Reads the rows of shards again, and drops of the entries what they cover; all of a shard whose claim is lost.
    /// Returns those that have landed without an answer.
    async fn look_again(&mut self, shards: Vec<Shard>, entries: &mut Vec<Numbered>) -> Vec<Numbered> {
        let Ok(rows) = answered(ANSWER, self.parts.database.rows(&self.parts.slices)).await else { return Vec::new() };
        let mut position = |shard| rows.get(&shard).and_then(|row| self.lose_or_go_on(shard, row));
        let positions: BTreeMap<Shard, Option<u64>> =
            shards.into_iter().map(|shard| (shard, position(shard))).collect();
        entries.retain(|Numbered { entry, .. }| positions.get(&entry.shard) != Some(&None));
        let covers = |at: Option<&Option<u64>>, seq| at.copied().flatten().is_some_and(|position| seq <= position);
        entries.extract_if(.., |Numbered { entry, .. }| covers(positions.get(&entry.shard), entry.seq)).collect()
    }
}

fn shards_of(entries: &[Numbered]) -> Vec<Shard> {
    entries.iter().map(|numbered| numbered.entry.shard).collect::<BTreeSet<_>>().into_iter().collect()
}

/// An entry that the owner makes by itself.
fn numbered(shard: Shard, seq: u64, number: u64, content: Content) -> Numbered {
    let item = Item { content, host: "".into(), marks: Vec::new(), trace: None, rejoined: false };
    Numbered { entry: Entry::new(seq, shard, Arc::new(item)), number }
}
