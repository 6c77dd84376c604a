//! The truth, made from the same world as the simulator's: what has to land of every DID, in its order, and what is left
//! in the end.

use crate::slices::{self, SLICES};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use turbo_sim::{EventId, RepoState, What, World, WorldConfig};
use xxhash_rust::xxh3::xxh3_64;

/// One event that the source sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it is known by.
    pub id: EventId,
    /// Its content: see [`content`].
    pub content: u64,
    /// The same event came before, and nothing that says that it means something else: it may be passed over.
    pub again: bool,
}

/// All that is true of one DID.
#[derive(Debug, Default)]
pub struct Repo {
    /// What is left in the end.
    pub state: RepoState,
    /// Its events, in order.
    pub sent: Vec<Sent>,
}

/// What has to be counted for a shard, as the kinds of the counters: commits, identities, accounts, syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Without those that may be passed over.
    pub least: [u64; 4],
    /// With all of them.
    pub most: [u64; 4],
}

/// The truth of a world.
#[derive(Debug, Default)]
pub struct Truth {
    pub repos: BTreeMap<Arc<str>, Repo>,
    pub events: u64,
}

impl Truth {
    /// The truth of the first events of a world.
    pub fn of(config: &WorldConfig, events: u64) -> Self {
        let mut world = World::new(config.clone());
        let mut truth = Self { events, ..Self::default() };
        for _ in 0..events {
            let happening = world.next();
            let repo = truth.repos.entry(happening.did.clone()).or_default();
            repo.state.add(&happening);
            let json = match &happening.what {
                What::Commit(commit) => commit.record.as_ref().map(|record| &*record.json),
                _ => None,
            };
            repo.sent.push(Sent { id: EventId::of(&happening), content: content(json), again: false });
            // It is the same list.
            repo.state.events.clear();
        }
        truth.repos.values_mut().for_each(|repo| mark_again(&mut repo.sent));
        truth
    }

    /// What has to be counted, by slice and partition.
    pub fn counts(&self) -> BTreeMap<(usize, u16), Counts> {
        let of = |(slice, of): (usize, &slices::Slice)| (0..of.partitions).map(move |partition| (slice, partition));
        let shards = SLICES.iter().enumerate().flat_map(of);
        let mut counts: BTreeMap<_, Counts> = shards.map(|shard| (shard, Counts::default())).collect();
        for (did, repo) in &self.repos {
            for sent in &repo.sent {
                for slice in slices::of(&sent.id) {
                    let count = counts.entry((slice, slices::partition(did, slice))).or_default();
                    count.most[kind(&sent.id)] += 1;
                    count.least[kind(&sent.id)] += u64::from(!sent.again);
                }
            }
        }
        counts
    }

    /// Entries that have to be in the log, at least.
    pub fn entries(&self) -> u64 {
        self.counts().values().map(|count| count.least.iter().sum::<u64>()).sum()
    }
}

/// What tells two contents apart: a hash of the record's bytes; 0 where there is no record.
pub fn content(record: Option<&str>) -> u64 {
    record.map_or(0, |record| xxh3_64(record.as_bytes()))
}

/// The place of an event's kind among the counters.
pub fn kind(id: &EventId) -> usize {
    match id {
        EventId::Commit { .. } => 0,
        EventId::Identity { .. } => 1,
        EventId::Account { .. } => 2,
        EventId::Sync { .. } => 3,
    }
}

/// A commit behind another sync of its repository is another event than the same one before it: the creates that follow
/// a sync bear ids that were there. A second resync to the same revision is the same event, and so are its creates.
fn mark_again(sent: &mut [Sent]) {
    let (mut known, mut sync) = (HashSet::new(), None);
    for sent in sent {
        let behind = match &sent.id {
            EventId::Commit { .. } => sync.clone(),
            EventId::Sync { .. } => {
                sync = Some(sent.id.clone());
                None
            }
            _ => None,
        };
        sent.again = !known.insert((sent.id.clone(), behind));
    }
}
