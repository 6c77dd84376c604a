//! What the owner of a shard hands to the sinks beside the database.
//!
//! One reader feeds all sinks of a shard. What the database has committed goes on to the others in the order of the log,
//! through a bounded queue each: a sink that does not keep up holds the reader. Invariants:
//! - a shard's entries come between [`Order::Claimed`] and [`Order::Release`] or [`Order::Lost`], without a hole, in the
//!   order of its numbers, from somewhere at or below the sink's position on;
//! - a sink passes over what is at or below its position, and moves the position under the epoch of the claim only;
//! - what a sink has taken and not landed may be forgotten: the log still has it, and the next owner reads it again;
//! - a sink that drops a shard by itself says so ([`Report::dropped`]), or its position would stand still for good;
//! - the room that entries take in memory is given back when the last sink has let go of them ([`Entries`]).

use crate::log::Numbered;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use turbo_core::shard::Shard;

/// Orders that wait for a sink at most; each has the entries of one commit.
pub const AHEAD: usize = 8;

/// Where a sink is in the log of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkPosition {
    /// The last log sequence whose effects are in the sink; 0 before the first.
    pub seq: u64,
    /// Its number in the shard.
    pub number: u64,
}

/// What a sink is told.
#[derive(Debug)]
pub enum Order {
    /// The shard was claimed.
    Claimed {
        /// The shard.
        shard: Shard,
        /// The epoch of the claim.
        epoch: u64,
        /// Where the sink is, as the catalog holds it.
        position: SinkPosition,
    },
    /// Entries of one commit, in the order of the log, of any shards that were claimed.
    Entries(Entries),
    /// The shard is given up in good order: no more of it comes. Answered when the sink does nothing more for it.
    Release(Shard, oneshot::Sender<()>),
    /// The claim was lost to another: nothing of it may land any more.
    Lost(Shard),
}

/// Entries for several sinks, with the room that they take: it is given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Entries {
    entries: Arc<[Numbered]>,
    _room: Arc<Vec<OwnedSemaphorePermit>>,
}

impl Entries {
    /// Entries that take this room.
    #[must_use]
    pub fn new(entries: Vec<Numbered>, room: Vec<OwnedSemaphorePermit>) -> Self {
        Self { entries: entries.into(), _room: Arc::new(room) }
    }

    /// The same entries, each as `of` has it; they have all of the room.
    #[must_use]
    pub fn each(&self, of: impl FnMut(&Numbered) -> Numbered) -> Self {
        Self { entries: self.entries.iter().map(of).collect(), _room: self._room.clone() }
    }

    /// Those of them for which something holds; they have all of the room.
    #[must_use]
    pub fn only(self, holds: impl Fn(&Numbered) -> bool) -> Self {
        if self.entries.iter().all(&holds) {
            return self;
        }
        Self { entries: self.entries.iter().filter(|entry| holds(entry)).cloned().collect(), ..self }
    }
}

impl From<Vec<Numbered>> for Entries {
    fn from(entries: Vec<Numbered>) -> Self {
        Self::new(entries, Vec::new())
    }
}

impl Deref for Entries {
    type Target = [Numbered];

    fn deref(&self) -> &[Numbered] {
        &self.entries
    }
}

/// A running sink. Dropping `orders` ends it, after what it was told.
pub struct SinkHandle {
    /// What it is called in the catalog, in `/stats` and in metrics.
    pub name: &'static str,
    /// Its queue, of [`AHEAD`] orders.
    pub orders: mpsc::Sender<Order>,
    /// What it tells.
    pub report: Report,
    /// Its task.
    pub task: JoinHandle<()>,
}

/// What a sink tells of itself, shared with those who show it, and with the purge of the log.
#[derive(Clone, Debug, Default)]
pub struct Report(Arc<Mutex<State>>);

/// The contents of a [`Report`].
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Positions as the catalog, or the sink itself, holds them.
    pub positions: BTreeMap<Shard, SinkPosition>,
    /// Why it does not get on, until it does: what is wrong with all of it, or with the first of its shards.
    pub error: Option<String>,
    /// Entries that landed since the start of the process.
    pub entries: u64,
    /// Objects or batches that landed since the start of the process.
    pub commits: u64,
}

#[derive(Debug, Default)]
struct State {
    told: Told,
    /// What is wrong: with a shard, or with the sink (`None`, which comes first).
    errors: BTreeMap<Option<Shard>, String>,
    /// What the sink has dropped, and under which epoch.
    dropped: BTreeMap<Shard, u64>,
}

impl Told {
    fn made(&mut self, entries: u64) {
        self.entries += entries;
        self.commits += 1;
    }
}

impl Report {
    /// A position has moved, by so many entries; what was wrong with the shard is over.
    pub fn landed(&self, shard: Shard, position: SinkPosition, entries: u64) {
        let mut state = self.state();
        state.told.positions.insert(shard, position);
        state.errors.remove(&Some(shard));
        state.told.made(entries);
    }

    /// Something of no one shard was made, with so many entries.
    pub fn made(&self, entries: u64) {
        self.state().told.made(entries);
    }

    /// A shard was claimed at this position.
    pub fn claimed(&self, shard: Shard, position: SinkPosition) {
        self.state().told.positions.insert(shard, position);
    }

    /// A shard is no longer one's own.
    pub fn gone(&self, shard: Shard) {
        let mut state = self.state();
        state.told.positions.remove(&shard);
        state.errors.remove(&Some(shard));
    }

    /// The sink has dropped a shard that was claimed under this epoch, without being told to: it takes nothing more of it
    /// until the shard is claimed anew.
    pub fn dropped(&self, shard: Shard, epoch: u64) {
        self.gone(shard);
        self.state().dropped.insert(shard, epoch);
    }

    /// What the sink has dropped by itself since this was asked last, with the epoch of the claim. Whoever holds a shard
    /// under this very epoch has to release it, so that it is claimed anew and read again.
    #[must_use]
    pub fn take_dropped(&self) -> Vec<(Shard, u64)> {
        std::mem::take(&mut self.state().dropped).into_iter().collect()
    }

    /// A shard, or the sink as a whole, does not get on, for now.
    pub fn failed(&self, of: Option<Shard>, why: &str) {
        self.state().errors.insert(of, why.to_owned());
    }

    /// What was wrong with a shard, or with the sink as a whole, is over, and nothing has landed yet.
    pub fn well(&self, of: Option<Shard>) {
        self.state().errors.remove(&of);
    }

    /// What was told so far.
    #[must_use]
    pub fn now(&self) -> Told {
        let state = self.state();
        Told { error: state.errors.values().next().cloned(), ..state.told.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    const A: Shard = Shard { slice: 0, partition: 1 };
    const B: Shard = Shard { slice: 0, partition: 2 };

    #[test]
    fn what_is_wrong_with_one_shard_is_not_over_because_another_has_landed() {
        let report = Report::default();
        let error = || report.now().error;
        report.failed(Some(B), "b fails");
        report.landed(A, SinkPosition::default(), 1);
        report.gone(A);
        assert_eq!(error().as_deref(), Some("b fails"));
        report.failed(Some(A), "a fails");
        report.failed(None, "the disk is full");
        assert_eq!(error().as_deref(), Some("the disk is full"), "what holds all of it comes first");
        report.landed(B, SinkPosition::default(), 1);
        report.well(None);
        assert_eq!(error().as_deref(), Some("a fails"));
        report.well(Some(A));
        assert_eq!(error(), None);
    }

    #[test]
    fn what_a_sink_drops_is_told_once_with_its_claim() {
        let report = Report::default();
        report.claimed(A, SinkPosition::default());
        report.failed(Some(A), "a fails");
        report.dropped(A, 7);
        assert!(report.now().positions.is_empty() && report.now().error.is_none());
        assert_eq!(report.take_dropped(), [(A, 7)]);
        assert_eq!(report.take_dropped(), []);
    }

    #[test]
    fn the_room_of_entries_comes_back_with_the_last_that_has_them() {
        let room = Arc::new(Semaphore::new(5));
        let permit = room.clone().try_acquire_many_owned(3).unwrap();
        let one = Entries::new(Vec::new(), vec![permit]);
        let other = one.clone().only(|_| false);
        assert_eq!(Arc::strong_count(&one._room), 2);
        drop(one);
        assert_eq!(room.available_permits(), 2);
        drop(other);
        assert_eq!(room.available_permits(), 5);
    }
}
