//! The rules that the model plays by: those of `turbo_core::ownership`, and broken ones that it must see through.

use turbo_core::ownership::{self, Fenced, Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::Shard;

/// What the statements do, and what a worker does of its own.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) commit: fn(&Row, &Owned, u64) -> Result<Row, Fenced>,
    /// Whether a claim waits until the owner has released or is gone.
    pub(crate) claims_wait: bool,
    /// Whether a worker frees what rows say it owns and it does not hold.
    pub(crate) takes_up: bool,
    /// Whether it reads its rows when a commit had no answer; else it believes that the commit landed.
    pub(crate) reads_again: bool,
}

impl Rules {
    /// The real ones.
    pub(crate) const REAL: Self =
        Self { commit: ownership::commit, claims_wait: true, takes_up: true, reads_again: true };
    /// The fence compares the position only.
    pub(crate) const NO_EPOCH: Self = Self { commit: without_epoch, ..Self::REAL };
    /// The fence compares the epoch only.
    pub(crate) const NO_POSITION: Self = Self { commit: without_position, ..Self::REAL };
    /// Claims wait for nobody, and a commit was checked when it was made, not where it lands.
    pub(crate) const CHECKED_EARLY: Self = Self { commit: unchecked, claims_wait: false, ..Self::REAL };
    /// A worker believes that a commit without an answer landed, and the fence compares the epoch only.
    pub(crate) const HOPEFUL: Self = Self { reads_again: false, ..Self::NO_POSITION };
    /// A worker that comes back under its id knows nothing of what it owned.
    pub(crate) const FORGETFUL: Self = Self { takes_up: false, ..Self::REAL };

    pub(crate) fn claim(
        &self,
        row: &Row,
        shard: usize,
        me: &WorkerId,
        gone: impl FnOnce(&WorkerId) -> bool,
    ) -> Option<(Row, Owned)> {
        let shard = Shard { slice: 0, partition: shard as u16 };
        ownership::claim(row, shard, me, 0, |owner| !self.claims_wait || gone(owner))
    }
}

fn without_epoch(row: &Row, owned: &Owned, position: u64) -> Result<Row, Fenced> {
    ownership::commit(row, &Owned::claimed(owned.shard(), row.epoch, owned.position()), position)
}

fn without_position(row: &Row, owned: &Owned, position: u64) -> Result<Row, Fenced> {
    let as_if = Owned::claimed(owned.shard(), owned.epoch(), row.position);
    ownership::commit(row, &as_if, position.max(row.position))
}

fn unchecked(row: &Row, _: &Owned, position: u64) -> Result<Row, Fenced> {
    Ok(Row { position, ..row.clone() })
}
