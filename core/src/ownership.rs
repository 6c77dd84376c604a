//! Who owns a shard: claim, commit and release over what a catalog row holds.
//!
//! The catalog decides, in one statement each; these functions say what the statements must do, and the model in
//! `tests/ownership_model` explores them. Invariants:
//! - an epoch has one claimer: each claim makes a new one, also a claim of one's own shard after a restart;
//! - a commit lands only while its epoch is the row's and the position is the one that it was computed from. So what a
//!   paused, fenced or crashed owner sent changes nothing, and neither does a second copy of what has landed;
//! - an [`Owned`] is had by a claim, moved on by what stands in the row, and used up by a release;
//! - who is gone is judged by the observer's own clock. A wrong judgement costs a claim, never an event.
//!
//! A worker frees every shard whose row names it and that it does not hold, by claiming it, and releasing it where the
//! plan gives it to another: rows of an earlier life under the same id, of a claim or a release whose answer was
//! lost, of a catalog that was restored. As long as the worker lives nobody else may take these.

use crate::plan::WorkerId;
use crate::shard::Shard;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the catalog holds of a shard. There is one position for each sink; each is fenced alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Row {
    /// Grows with each claim; 0 before the first.
    pub epoch: u64,
    /// Who claimed last and has not released.
    pub owner: Option<WorkerId>,
    /// The last log sequence whose effects are in the sink.
    pub position: u64,
}

/// A shard that was claimed: what a commit needs and a release uses up. It can not be copied.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    shard: Shard,
    epoch: u64,
    position: u64,
}

impl Owned {
    /// What the answer of a claim's statement gives; `epoch` is the new one.
    #[must_use]
    pub fn claimed(shard: Shard, epoch: u64, position: u64) -> Self {
        Self { shard, epoch, position }
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The epoch that the claim made.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The position of the last commit, from which the next one goes on.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on from what stands in the row: after a commit, and after one that affected no row or had no answer.
    ///
    /// # Errors
    /// The shard is no longer one's own.
    pub fn go_on(self, row: &Row) -> Result<Self, Fenced> {
        match fence(row, &self) {
            Ok(()) => Ok(self),
            Err(Fenced::Moved { to, .. }) => Ok(Self { position: to, ..self }),
            Err(lost) => Err(lost),
        }
    }
}

/// Why a commit lands nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    /// Another claim came: drop the shard.
    #[error("fenced: the shard is at epoch {row}, mine was {mine}")]
    StaleEpoch {
        /// The epoch of the claim.
        mine: u64,
        /// The epoch in the row.
        row: u64,
    },
    /// A commit of the same epoch landed whose answer was lost: go on from there.
    #[error("the position moved from {from} to {to} by a commit without an answer")]
    Moved {
        /// The position that the commit was computed from.
        from: u64,
        /// The position in the row.
        to: u64,
    },
    /// The row is behind what it was: the catalog was restored. Drop the shard and claim it anew, above every epoch
    /// seen.
    #[error("the catalog went back: epoch {epoch}, position {position}, where {} and {} were seen", .seen.0, .seen.1)]
    WentBack {
        /// The epoch in the row.
        epoch: u64,
        /// The position in the row.
        position: u64,
        /// The epoch and the position that were seen.
        seen: (u64, u64),
    },
}

/// Claims a shard, or `None` where it is not to be had: the row names another worker that is not `gone`. `seen` is the
/// highest epoch of this shard that was seen elsewhere; the new epoch is above it, in a restored catalog too.
#[must_use]
pub fn claim(
    row: &Row,
    shard: Shard,
    me: &WorkerId,
    seen: u64,
    gone: impl FnOnce(&WorkerId) -> bool,
) -> Option<(Row, Owned)> {
    let free = row.owner.as_ref().is_none_or(|owner| owner == me || gone(owner));
    free.then(|| {
        let epoch = row.epoch.max(seen) + 1;
        let claimed = Row { epoch, owner: Some(me.clone()), position: row.position };
        (claimed, Owned::claimed(shard, epoch, row.position))
    })
}

/// Commits what leads from the position of `owned` to `position`.
///
/// # Errors
/// It is fenced, and nothing of it lands.
pub fn commit(row: &Row, owned: &Owned, position: u64) -> Result<Row, Fenced> {
    debug_assert!(position >= owned.position, "a commit goes back from {} to {position}", owned.position);
    fence(row, owned)?;
    Ok(Row { position, ..row.clone() })
}

/// Releases a shard. Where it was claimed since, the row stays as it is.
#[must_use]
pub fn release(row: &Row, owned: Owned) -> Row {
    let owner = row.owner.clone().filter(|_| row.epoch != owned.epoch);
    Row { owner, ..row.clone() }
}

fn fence(row: &Row, owned: &Owned) -> Result<(), Fenced> {
    let (epoch, position) = (owned.epoch, owned.position);
    if row.epoch > epoch {
        Err(Fenced::StaleEpoch { mine: epoch, row: row.epoch })
    } else if row.epoch < epoch || row.position < position {
        Err(Fenced::WentBack { epoch: row.epoch, position: row.position, seen: (epoch, position) })
    } else if row.position > position {
        Err(Fenced::Moved { from: position, to: row.position })
    } else {
        Ok(())
    }
}

/// Who lives and who is gone, as one observer of the heartbeats sees it. `now` is the time of its monotonic clock since
/// any start. Only the time counts in which the observer looked: one that was paused wakes up to heartbeats that are
/// old for it, and must not take everybody for gone. So [`Liveness::tick`] is due at least four times in a limit.
#[derive(Clone, Debug)]
pub struct Liveness {
    limit: Duration,
    /// The last look, by the observer's clock.
    ticked: Duration,
    /// The time in which the observer looked.
    watched: Duration,
    heard: BTreeMap<WorkerId, Heard>,
}

/// A heartbeat's revision, and when it was heard first, in watched time.
#[derive(Clone, Copy, Debug)]
struct Heard {
    revision: u64,
    at: Duration,
}

impl Liveness {
    /// Begins to watch. A worker is gone `limit` after its last new heartbeat.
    #[must_use]
    pub fn new(limit: Duration, now: Duration) -> Self {
        Self { limit, ticked: now, watched: Duration::ZERO, heard: BTreeMap::new() }
    }

    /// The observer looks at what it has heard.
    pub fn tick(&mut self, now: Duration) {
        self.watched += now.saturating_sub(self.ticked).min(self.limit / 4);
        self.ticked = self.ticked.max(now);
    }

    /// The heartbeat in the bucket bears this revision. An old one, seen again, renews nothing.
    pub fn heard(&mut self, worker: &WorkerId, revision: u64, now: Duration) {
        self.tick(now);
        if self.heard.get(worker).is_none_or(|heard| heard.revision != revision) {
            self.heard.insert(worker.clone(), Heard { revision, at: self.watched });
        }
    }

    /// The worker took its heartbeat out of the bucket.
    pub fn left(&mut self, worker: &WorkerId) {
        self.heard.remove(worker);
    }

    /// Whether a worker is gone, as of the last look. One that was never heard of is not gone before the observer has
    /// watched for the limit.
    #[must_use]
    pub fn gone(&self, worker: &WorkerId) -> bool {
        let since = self.heard.get(worker).map_or(Duration::ZERO, |heard| heard.at);
        self.watched.saturating_sub(since) >= self.limit
    }

    /// Who was heard of and is not gone, in order.
    pub fn live(&self) -> impl Iterator<Item = &WorkerId> {
        self.heard.keys().filter(|worker| !self.gone(worker))
    }
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
