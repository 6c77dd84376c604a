//! What the owner of a shard hands to the sinks beside the database.
//!
//! One reader feeds all sinks of a shard. What the database has committed goes on to the others in the order of the log,
//! through a bounded queue each: a sink that does not keep up holds the reader. Invariants:
//! - a shard's entries come between [`Order::Claimed`] and [`Order::Release`] or [`Order::Lost`], without a hole, in the
//!   order of its numbers, from somewhere at or below the sink's position on;
//! - a sink passes over what is at or below its position, and moves the position under the epoch of the claim only;
//! - what a sink has taken and not landed may be forgotten: the log still has it, and the next owner reads it again.

use crate::log::Numbered;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
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
    Entries(Arc<[Numbered]>),
    /// The shard is given up in good order: no more of it comes. Answered when the sink does nothing more for it.
    Release(Shard, oneshot::Sender<()>),
    /// The claim was lost to another: nothing of it may land any more.
    Lost(Shard),
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
pub struct Report(Arc<Mutex<Told>>);

/// The contents of a [`Report`].
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Positions as the catalog, or the sink itself, holds them.
    pub positions: BTreeMap<Shard, SinkPosition>,
    /// Why it does not get on, until it does.
    pub error: Option<String>,
    /// Entries that landed since the start of the process.
    pub entries: u64,
    /// Objects or batches that landed since the start of the process.
    pub commits: u64,
}

impl Report {
    /// A position has moved, by so many entries; what was wrong is over.
    pub fn landed(&self, shard: Shard, position: SinkPosition, entries: u64) {
        let mut told = self.told();
        told.positions.insert(shard, position);
        told.error = None;
        told.entries += entries;
        told.commits += 1;
    }

    /// A shard was claimed at this position.
    pub fn claimed(&self, shard: Shard, position: SinkPosition) {
        self.told().positions.insert(shard, position);
    }

    /// A shard is no longer one's own.
    pub fn gone(&self, shard: Shard) {
        self.told().positions.remove(&shard);
    }

    /// The sink does not get on, for now.
    pub fn failed(&self, why: &str) {
        self.told().error = Some(why.to_owned());
    }

    /// What was wrong is over, and nothing has landed yet.
    pub fn well(&self) {
        self.told().error = None;
    }

    /// What was told so far.
    #[must_use]
    pub fn now(&self) -> Told {
        self.told().clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
