//! What a batch of events does to the records that are there.
//!
//! A batch is folded in log order into few writes: at most one row for each record, with events of a whole repository
//! (sync, deleted account) as barriers. Invariants, whatever the batch sizes are:
//! - a row is replaced only by a newer revision, and a delete leaves a tombstone that an older revision does not pass;
//! - after a barrier nothing of its repository and slice passes that its floor refuses;
//! - of an account counts what the slice says that is farthest: every slice is told all of it, in order, so one that is behind
//!   has nothing new, and its old news never mix with another's new ones;
//! - applying [`Folded::barriers`] in order, then [`Folded::rows`], gives what one event at a time would have given.

use crate::event::{Body, Commit, Event};
use crate::floor::Floor;
use crate::hydrated::{Hydrated, Hydration};
use crate::shard::Shard;
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

/// An event in its shard's log.
#[derive(Clone, Debug)]
pub struct Logged<'a> {
    /// Log sequence number.
    pub seq: u64,
    /// The shard that it went to.
    pub shard: Shard,
    /// The event.
    pub event: &'a Event,
    /// What is known of what its record points at, where that is looked up.
    pub hydrated: Option<&'a Hydrated>,
}

/// What is known of a repository in a slice before the batch.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its floor, if an event of the whole repository was seen.
    pub floor: Option<Floor>,
    /// The highest revision among its rows and tombstones. Needed for keys in [`needs_highest`] only.
    pub highest: Option<Box<str>>,
}

/// A repository in a slice: (index of the slice, key).
pub type RepoKey<'a> = (u16, &'a str);

/// A record's new state; a tombstone where `record` is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'a> {
    /// Log sequence number of the event.
    pub seq: u64,
    /// Its shard.
    pub shard: Shard,
    /// The repository.
    pub key: &'a str,
    /// Source time in microseconds.
    pub time_us: i64,
    /// The change.
    pub commit: &'a Commit,
    /// What is known of what the record points at, where that is looked up.
    pub hydrated: Option<&'a Hydrated>,
}

impl Row<'_> {
    /// The record's JSON; `None` makes the row a tombstone.
    #[must_use]
    pub fn record(&self) -> Option<&Bytes> {
        self.commit.record.as_ref()
    }

    /// Whether less is known of what the record points at than was asked for.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.hydrated.is_some_and(|hydrated| hydrated.hydration != Hydration::Full)
    }
}

/// Rows that were there before the batch and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier<'a> {
    /// A sync: rows and tombstones of the repository with a lower sequence and a revision not above `rev` go.
    Replaced {
        /// The repository in its slice.
        repo: RepoKey<'a>,
        /// Log sequence of the sync.
        seq: u64,
        /// The sync's revision.
        rev: &'a str,
    },
    /// A deleted account: every row and tombstone of the repository goes.
    Removed {
        /// The repository in its slice.
        repo: RepoKey<'a>,
    },
}

/// The newest of a batch for one row of `accounts`; what is `None` stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account<'a> {
    /// New handle.
    pub handle: Option<&'a str>,
    /// New state: active, and why not.
    pub state: Option<(bool, Option<&'a str>)>,
    /// Source time of the newest event.
    pub time_us: i64,
    /// Log sequence of the newest event.
    pub seq: u64,
}

/// A batch, folded.
#[derive(Debug, Default)]
pub struct Folded<'a> {
    /// To be applied first, in this order.
    pub barriers: Vec<Barrier<'a>>,
    /// To be applied after the barriers, each only over an older revision.
    pub rows: HashMap<(u16, &'a str, &'a str, &'a str), Row<'a>>,
    /// Floors that were set.
    pub floors: HashMap<RepoKey<'a>, Floor>,
    /// Identity and account states.
    pub accounts: HashMap<&'a str, Account<'a>>,
    /// Commits that a floor refused.
    pub refused: u64,
}

/// Repositories whose highest revision the fold has to know: those with a deletion in the batch.
pub fn needs_highest<'a>(batch: &'a [Logged<'a>]) -> impl Iterator<Item = RepoKey<'a>> {
    batch.iter().filter(|logged| is_deletion(&logged.event.body)).map(|logged| (logged.shard.slice, &*logged.event.key))
}

fn is_deletion(body: &Body) -> bool {
    matches!(body, Body::Account { active: false, status: Some(status), .. } if &**status == "deleted")
}

/// Folds a batch in log order over what is `known` of its repositories.
#[must_use]
pub fn fold<'a>(batch: &[Logged<'a>], known: &HashMap<RepoKey<'a>, Known>) -> Folded<'a> {
    let has_deletion = batch.iter().any(|logged| is_deletion(&logged.event.body));
    let highest = has_deletion.then(HashMap::new);
    let mut fold = Fold { known, highest, accounts: HashMap::new(), out: Folded::default() };
    for logged in batch {
        fold.add(logged);
    }
    fold.done()
}

struct Fold<'a, 'k> {
    known: &'k HashMap<RepoKey<'a>, Known>,
    /// Highest revision of each repository within the batch; kept only where a deletion will ask for it.
    highest: Option<HashMap<RepoKey<'a>, &'a str>>,
    /// What each slice says of the accounts.
    accounts: HashMap<RepoKey<'a>, Account<'a>>,
    out: Folded<'a>,
}

impl<'a> Fold<'a, '_> {
    fn add(&mut self, logged: &Logged<'a>) {
        let repo = (logged.shard.slice, &*logged.event.key);
        match &logged.event.body {
            Body::Commit(commit) => self.commit(repo, logged, commit),
            Body::Identity { handle, .. } => {
                let account = self.account(logged);
                account.handle = handle.as_deref().or(account.handle);
            }
            Body::Account { active, status, .. } => {
                self.account(logged).state = Some((*active, status.as_deref()));
                if is_deletion(&logged.event.body) {
                    self.removed(repo);
                }
            }
            Body::Sync { rev, .. } => self.replaced(repo, logged.seq, rev),
        }
    }

    fn floor(&self, repo: RepoKey<'a>) -> Option<&Floor> {
        self.out.floors.get(&repo).or_else(|| self.known.get(&repo)?.floor.as_ref())
    }

    fn commit(&mut self, repo: RepoKey<'a>, logged: &Logged<'a>, commit: &'a Commit) {
        if let Some(highest) = &mut self.highest {
            let rev = highest.entry(repo).or_insert(&commit.rev);
            *rev = (*rev).max(&commit.rev);
        }
        if self.floor(repo).is_some_and(|floor| !floor.admits(&commit.rev)) {
            self.out.refused += 1;
            return;
        }
        let Logged { seq, shard, hydrated, .. } = *logged;
        let row = Row { seq, shard, key: repo.1, time_us: logged.event.time_us, commit, hydrated };
        match self.out.rows.entry((repo.0, repo.1, &commit.collection, &commit.rkey)) {
            Slot::Vacant(slot) => {
                slot.insert(row);
            }
            Slot::Occupied(mut slot) if commit.rev > slot.get().commit.rev => {
                slot.insert(row);
            }
            Slot::Occupied(_) => {}
        }
    }

    fn account(&mut self, logged: &Logged<'a>) -> &mut Account<'a> {
        let account = self.accounts.entry((logged.shard.slice, &*logged.event.key)).or_default();
        account.time_us = logged.event.time_us;
        account.seq = logged.seq;
        account
    }

    fn done(mut self) -> Folded<'a> {
        for ((_, did), said) in self.accounts {
            let farthest = self.out.accounts.entry(did).or_insert_with(|| said.clone());
            if said.seq > farthest.seq {
                *farthest = said;
            }
        }
        self.out
    }

    fn replaced(&mut self, repo: RepoKey<'a>, seq: u64, rev: &'a str) {
        self.out.rows.retain(|(slice, key, ..), row| (*slice, *key) != repo || *row.commit.rev > *rev);
        let floor = Floor::after_sync(self.floor(repo), rev);
        self.out.floors.insert(repo, floor);
        self.out.barriers.push(Barrier::Replaced { repo, seq, rev });
    }

    fn removed(&mut self, repo: RepoKey<'a>) {
        let here = self.highest.as_ref().and_then(|highest| highest.get(&repo).copied());
        let there = self.known.get(&repo).and_then(|known| known.highest.as_deref());
        self.out.rows.retain(|(slice, key, ..), _| (*slice, *key) != repo);
        self.out.barriers.push(Barrier::Removed { repo });
        let before = self.floor(repo);
        // Without a row, an event or a floor there is nothing that an old revision could bring back.
        if let Some(highest) = here.max(there).or(before.map(|floor| &*floor.rev)) {
            let floor = Floor::after_deletion(before, highest);
            self.out.floors.insert(repo, floor);
        }
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
