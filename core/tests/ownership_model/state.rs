//! A state of the model, small and by value: `S` shards and three workers, each a number.

use crate::naming::Planned;
use std::hash::{Hash, Hasher};
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::Shard;

/// Workers.
pub(crate) const N: usize = 3;
/// Whether each worker is meant.
pub(crate) type Set = [bool; N];

/// What a worker believes to hold, or what a statement was computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    pub(crate) epoch: u8,
    pub(crate) position: u8,
}

/// All there is about one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Column {
    /// The catalog's row.
    pub(crate) epoch: u8,
    pub(crate) owner: Option<u8>,
    pub(crate) position: u8,
    /// How many events are in the sink.
    pub(crate) landed: u8,
    /// Who should own it.
    pub(crate) planned: Option<u8>,
    /// What each worker believes to hold.
    pub(crate) held: [Option<Held>; N],
    /// Its part in the late statement.
    pub(crate) late: Option<Held>,
}

/// A worker's process and its heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Worker {
    pub(crate) runs: bool,
    /// Whether its heartbeat is fresh for those who watch.
    pub(crate) fresh: bool,
    /// Whether it sent a commit of all that it holds, and waits for the answer.
    pub(crate) waits: bool,
}

/// A statement whose author no longer waits for it, or no longer lives. It can still land.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Late {
    Commit,
    Release,
    /// By this worker, which took these for gone.
    Claim(u8, Set),
}

/// What must never have happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Broken {
    /// A commit landed in an epoch that its author did not make, or a claim made no new one.
    pub(crate) epoch: bool,
    pub(crate) skipped: bool,
    pub(crate) repeated: bool,
}

/// The world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State<const S: usize> {
    pub(crate) workers: [Worker; N],
    pub(crate) shards: [Column; S],
    pub(crate) late: Option<Late>,
    /// Counted only where they are bounded.
    pub(crate) crashes: u8,
    pub(crate) broken: Broken,
}

impl<const S: usize> State<S> {
    /// Everybody runs, and nobody was heard of.
    pub(crate) fn new() -> Self {
        Self {
            workers: [Worker { runs: true, ..Worker::default() }; N],
            shards: [Column::default(); S],
            late: None,
            crashes: 0,
            broken: Broken::default(),
        }
    }

    pub(crate) fn planned(&self) -> Planned<S> {
        self.shards.map(|column| column.planned)
    }

    pub(crate) fn fresh(&self) -> Set {
        self.workers.map(|worker| worker.fresh)
    }

    pub(crate) fn parts(&self) -> [Option<Held>; S] {
        self.shards.map(|column| column.late)
    }

    /// Leaves out of the numbers what the rules do not look at, so that an exploration without bounds ends.
    ///
    /// The rules compare an epoch only with the row's, which only grows: what is below it is below it for good,
    /// whatever the number. A position matters while its epoch is the row's, as one that is the row's, or behind it.
    /// What is fenced gets the position of the row: the one with which a weaker fence would let it through. So does
    /// every part of a late commit that has a fenced part, since it lands as a whole.
    pub(crate) fn renumber(&mut self) {
        self.shards.iter_mut().for_each(Column::renumber);
        if self.late == Some(Late::Commit) && self.shards.iter().any(Column::is_late_and_claimed) {
            self.shards.iter_mut().for_each(|column| column.late = Some(FENCED));
        }
    }
}

impl<const S: usize> Hash for State<S> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for column in &self.shards {
            hasher.write_u64(column.packed());
        }
        let mut rest = u64::from(self.crashes);
        for worker in &self.workers {
            rest = rest << 3 | u64::from(worker.runs) | u64::from(worker.fresh) << 1 | u64::from(worker.waits) << 2;
        }
        hasher.write_u64(rest);
        (self.late, self.broken).hash(hasher);
    }
}

const ROW: Held = Held { epoch: 2, position: 1 };
const BEHIND: Held = Held { epoch: 2, position: 0 };
const FENCED: Held = Held { epoch: 1, position: 1 };

impl Column {
    pub(crate) fn is_late_and_claimed(&self) -> bool {
        self.late.is_some_and(|part| part.epoch != self.epoch)
    }

    fn renumber(&mut self) {
        let row = (self.epoch, self.position);
        // A late claim has no numbers.
        let late = self.late.iter_mut().filter(|part| part.epoch > 0);
        for held in self.held.iter_mut().flatten().chain(late) {
            *held = match (held.epoch, held.position) {
                as_the_row if as_the_row == row => ROW,
                (epoch, _) if epoch == row.0 => BEHIND,
                _ => FENCED,
            };
        }
        self.epoch = self.epoch.min(1) * ROW.epoch;
        self.landed = self.landed + ROW.position - self.position;
        self.position = ROW.position;
    }

    /// All of it in one number: most of an exploration's time goes into hashing and comparing.
    pub(crate) fn packed(&self) -> u64 {
        let mut packed = 0;
        for worker in [self.owner, self.planned] {
            packed = packed << 2 | u64::from(worker.unwrap_or(N as u8));
        }
        for held in [self.held[0], self.held[1], self.held[2], self.late] {
            let held = held.unwrap_or(Held { epoch: 7, position: 7 });
            packed = packed << 6 | u64::from(held.epoch) << 3 | u64::from(held.position);
        }
        packed << 9 | u64::from(self.epoch) << 6 | u64::from(self.position) << 3 | u64::from(self.landed)
    }

    /// The row, as the catalog has it.
    pub(crate) fn row(&self, names: &[WorkerId; N]) -> Row {
        let owner = self.owner.map(|owner| names[usize::from(owner)].clone());
        Row { epoch: self.epoch.into(), owner, position: self.position.into() }
    }

    pub(crate) fn set_row(&mut self, row: &Row, names: &[WorkerId; N]) {
        self.epoch = row.epoch as u8;
        self.owner = (0..).zip(names).find(|(_, name)| row.owner.as_ref() == Some(*name)).map(|(owner, _)| owner);
        self.position = row.position as u8;
    }
}

impl Held {
    /// The value that a commit needs.
    pub(crate) fn owned(self, shard: usize) -> Owned {
        Owned::claimed(Shard { slice: 0, partition: shard as u16 }, self.epoch.into(), self.position.into())
    }
}

impl From<Owned> for Held {
    fn from(owned: Owned) -> Self {
        Self { epoch: owned.epoch() as u8, position: owned.position() as u8 }
    }
}
