//! How what was read is committed, and handed to the other sinks.

use super::holder::{Covered, Holder, Read};
use crate::log::nats::{Announced, Message, Next};
use crate::log::{Entry, Item, Numbered};
use crate::sinks::feed::{Entries, Order};
use crate::sinks::postgres::{CommitError, Committed, Error, Redriven};
use crate::telemetry::events;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turbo_core::backoff::Backoff;
use turbo_core::ownership::Row;
use turbo_core::position::{SourcePosition, generation};
use turbo_core::shard::Shard;

/// Dead letters sent again at once.
const REDRIVEN: u32 = 200;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl Holder {
    /// Commits what was read, as far as it is still held, and hands it on.
    pub(super) async fn commit(&mut self, read: Vec<Read>) {
        let mut rooms = Vec::with_capacity(read.len());
        let mut entries = Vec::with_capacity(read.len());
        for one in read {
            let Read { shard, epoch, next, _room } = one;
            rooms.push(_room);
            entries.extend(self.entry(shard, epoch, next).await);
        }
        // Readers interleave as they like; slices share the table of accounts, where the highest sequence counts.
        entries.sort_unstable_by_key(|entry| entry.entry.seq);
        // The room is given back when the last sink has let go of them.
        let all = Entries::new(entries, rooms);
        if self.land(&all).await {
            self.hand_on(all).await;
        }
    }

    /// Commits to the database what it does not have yet. Returns false where the process ends before that is done.
    async fn land(&mut self, all: &[Numbered]) -> bool {
        let mut entries: Vec<Numbered> = all.iter().filter(|entry| self.is_new(entry)).cloned().collect();
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        while !entries.is_empty() {
            let began = Instant::now();
            match self.parts.committer.commit(&self.owned, &entries).await {
                Ok(committed) => {
                    self.landed(&entries, &committed, began.elapsed());
                    return true;
                }
                Err(CommitError::Fenced(shards)) => self.look_again(shards, &mut entries).await,
                Err(CommitError::Outage(error)) => {
                    let wait = backoff.next(rand::random());
                    self.parts.live.commit_failed(&error.to_string());
                    events::CommitFailed { error: &error.to_string(), entries: entries.len(), wait }.emit();
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.stop.cancelled() => return false,
                    }
                    // It may have landed all the same.
                    let shards: BTreeSet<Shard> = entries.iter().map(|entry| entry.entry.shard).collect();
                    self.look_again(shards.into_iter().collect(), &mut entries).await;
                }
            }
        }
        true
    }

    fn is_new(&self, entry: &Numbered) -> bool {
        self.owned.get(&entry.entry.shard).is_some_and(|owned| entry.entry.seq > owned.position())
    }

    fn landed(&mut self, entries: &[Numbered], committed: &Committed, took: Duration) {
        for (shard, totals) in &committed.shards {
            let Some(owned) = self.owned.remove(shard) else { continue };
            let (epoch, position) = (owned.epoch(), totals.position);
            if let Ok(owned) = owned.go_on(&Row { epoch, owner: None, position }) {
                self.owned.insert(*shard, owned);
            }
            if let Some(SourcePosition { host, cursor: Some(cursor), .. }) = &totals.source {
                let covered = Covered { generation: generation(position), host: host.clone(), cursor: *cursor };
                self.covered.insert(*shard, covered);
            }
            let announced = Announced { epoch, seq: position, number: totals.number, purged: 0 };
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
            // They are asked for until they were taken up.
            Err(error) => tracing::debug!(%error, "dead letters wait to be sent again"),
        }
    }

    /// Hands on what is still held: a shard that was lost meanwhile goes on elsewhere.
    async fn hand_on(&self, all: Entries) {
        let all = all.only(|entry| self.owned.contains_key(&entry.entry.shard));
        if all.is_empty() {
            return;
        }
        for sink in &self.parts.sinks {
            self.order(sink, Order::Entries(all.clone())).await;
        }
    }

    /// What was read, if it was read under the claim that is held now.
    async fn entry(&self, shard: Shard, epoch: u64, next: Result<Next, crate::log::nats::Error>) -> Option<Numbered> {
        if self.owned.get(&shard).is_none_or(|owned| owned.epoch() != epoch) {
            return None;
        }
        let (slice, partition) = (self.parts.slices.name(shard), shard.partition);
        match next {
            Ok(Next::Message(Message { seq, number, item, .. })) => {
                let item = item?;
                if self.is_covered(shard, seq, &item) {
                    return None;
                }
                Some(Numbered { entry: Entry { seq, shard, item: Arc::new(item) }, number })
            }
            Ok(Next::Missing { from, to }) => {
                events::LogMissing { slice, partition, from, to }.emit();
                // The next commit of the shard moves over them; where the note fails, the counter and the log have it.
                let noted = self.parts.database.missing(&format!("{slice}.{partition}"), from, to).await;
                if let Err(error) = noted {
                    tracing::warn!(%error, slice, partition, from, to, "the gap could not be written down");
                }
                None
            }
            Err(error) => {
                events::ShardUnreadable { slice, partition, error: &error.to_string() }.emit();
                None
            }
        }
    }

    /// Whether the shard had an event already before its log was begun anew. The last one committed of it is at the claim, or
    /// later, in the generation of then.
    fn is_covered(&self, shard: Shard, seq: u64, item: &Item) -> bool {
        let Some(covered) = self.covered.get(&shard) else { return false };
        let cursor = item.event().and_then(|event| event.cursor);
        generation(seq) > covered.generation
            && *item.host == *covered.host
            && cursor.is_some_and(|cursor| cursor <= covered.cursor)
    }

    /// Reads the rows of shards again, and drops of the entries what they cover; all of a shard whose claim is lost.
    async fn look_again(&mut self, shards: Vec<Shard>, entries: &mut Vec<Numbered>) {
        let rows: Result<_, Error> = self.parts.database.rows(&self.parts.slices).await;
        let Ok(rows) = rows else { return };
        for shard in shards {
            let position = match rows.get(&shard) {
                Some(row) => self.lose_or_go_on(shard, row).await,
                None => None,
            };
            let position = position.unwrap_or(u64::MAX);
            entries.retain(|entry| entry.entry.shard != shard || entry.entry.seq > position);
        }
    }
}
