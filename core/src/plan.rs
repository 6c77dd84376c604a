//! The plan: which live worker should own which shard.
//!
//! [`plan`] is one pure function of (previous plan, live workers, shards with their weights). Invariants:
//! - every shard has one owner as long as a worker lives, and the live workers' numbers of shards differ by at most
//!   one;
//! - sticky: a shard moves only if its owner is gone, or has more than its fair count; as few move as the balance
//!   allows, and weights alone move none;
//! - weights choose among what may move: who keeps one more, which shards leave, and where they go;
//! - the same inputs in any order give the same plan, and what changes nothing keeps the number.
//!
//! A plan only says who should own. Who does own is decided by a claim (see [`crate::ownership`]): two planners at
//! once, or a plan read late, cost moves and never an event.

use crate::shard::Shard;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A worker: its pod's uid, or what a process without a pod calls itself. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for WorkerId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for WorkerId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl From<WorkerId> for String {
    fn from(id: WorkerId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plan names every live worker, also one without shards: so a worker sees that it is counted on, and how many
/// share a budget.
///
/// As JSON: `{"number":7,"workers":{"<id>":[[<slice>,<partition>],…]}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Plan {
    number: u64,
    workers: BTreeMap<WorkerId, BTreeSet<Shard>>,
}

impl Plan {
    /// The plan that stands for what is owned: what to go on from when the last plan was lost.
    #[must_use]
    pub fn of_owners(number: u64, owners: impl IntoIterator<Item = (Shard, WorkerId)>) -> Self {
        let mut workers = BTreeMap::<WorkerId, BTreeSet<Shard>>::new();
        for (shard, worker) in owners.into_iter().collect::<BTreeMap<_, _>>() {
            workers.entry(worker).or_default().insert(shard);
        }
        Self { number, workers }
    }

    /// Grows by one with each change; 0 is the plan before the first.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The live workers with their shards, in order.
    pub fn workers(&self) -> impl Iterator<Item = (&WorkerId, &BTreeSet<Shard>)> {
        self.workers.iter()
    }

    /// The shards of a worker; `None` for one that the plan does not name.
    #[must_use]
    pub fn shards_of(&self, worker: &WorkerId) -> Option<&BTreeSet<Shard>> {
        self.workers.get(worker)
    }

    /// Who should own a shard.
    #[must_use]
    pub fn owner(&self, shard: Shard) -> Option<&WorkerId> {
        self.workers.iter().find(|(_, shards)| shards.contains(&shard)).map(|(worker, _)| worker)
    }
}

/// The plan for these live workers and these shards with their weights (events/s, say). A worker that leaves is not
/// live: it keeps what it holds until it releases, but is given nothing.
#[must_use]
pub fn plan(previous: &Plan, live: &BTreeSet<WorkerId>, shards: &BTreeMap<Shard, u64>) -> Plan {
    let mut draft = Draft::new(previous, live, shards);
    draft.shed();
    draft.place();
    let workers = draft.finish();
    let changed = u64::from(workers != previous.workers);
    Plan { number: previous.number.saturating_add(changed), workers }
}

/// What a worker holds while the plan is made.
#[derive(Default)]
struct Load {
    shards: BTreeSet<Shard>,
    sum: u128,
}

struct Draft<'a> {
    weights: &'a BTreeMap<Shard, u64>,
    loads: BTreeMap<&'a WorkerId, Load>,
    /// Shards without an owner.
    homeless: BTreeSet<Shard>,
    /// What every worker gets.
    base: usize,
    /// How many workers get one more.
    extra: usize,
}

impl<'a> Draft<'a> {
    /// Everybody keeps what was theirs.
    fn new(previous: &'a Plan, live: &'a BTreeSet<WorkerId>, weights: &'a BTreeMap<Shard, u64>) -> Self {
        let workers = live.len().max(1);
        let (base, extra) = (weights.len() / workers, weights.len() % workers);
        let loads = live.iter().map(|worker| (worker, Load::default())).collect();
        let homeless = weights.keys().copied().collect();
        let mut draft = Self { weights, loads, homeless, base, extra };
        for (worker, shards) in previous.workers() {
            for shard in shards {
                draft.give(worker, *shard);
            }
        }
        draft
    }

    fn weight(&self, shard: Shard) -> u128 {
        u128::from(self.weights.get(&shard).copied().unwrap_or_default())
    }

    /// Gives a homeless shard to a live worker.
    fn give(&mut self, worker: &WorkerId, shard: Shard) {
        let weight = self.weight(shard);
        if let Some(load) = self.loads.get_mut(worker)
            && self.homeless.remove(&shard)
        {
            load.shards.insert(shard);
            load.sum += weight;
        }
    }

    /// Takes from each worker what is above its fair count. Whoever has one more than the base may keep it while there
    /// are enough of these places, the lightest first.
    fn shed(&mut self) {
        let mut over: Vec<_> = self.loads.iter().filter(|(_, load)| load.shards.len() > self.base).collect();
        over.sort_by_key(|(worker, load)| (load.sum, **worker));
        let over: Vec<&WorkerId> = over.into_iter().map(|(worker, _)| *worker).collect();
        let total: u128 = self.weights.values().copied().map(u128::from).sum();
        let fair_sum = total / self.loads.len().max(1) as u128;
        for (rank, worker) in over.into_iter().enumerate() {
            let fair = self.base + usize::from(rank < self.extra);
            while let Some(shard) = self.next_to_leave(worker, fair, fair_sum) {
                let weight = self.weight(shard);
                if let Some(load) = self.loads.get_mut(worker) {
                    load.shards.remove(&shard);
                    load.sum -= weight;
                }
                self.homeless.insert(shard);
            }
        }
    }

    /// The shard whose weight is the nearest to an even part of what the worker has above the fair sum.
    fn next_to_leave(&self, worker: &WorkerId, fair: usize, fair_sum: u128) -> Option<Shard> {
        let load = self.loads.get(worker)?;
        let leaving = load.shards.len().checked_sub(fair).filter(|leaving| *leaving > 0)?;
        let part = load.sum.saturating_sub(fair_sum) / leaving as u128;
        load.shards.iter().copied().min_by_key(|shard| self.weight(*shard).abs_diff(part))
    }

    /// Places the homeless, heaviest first, each with the lightest worker that has room.
    fn place(&mut self) {
        let mut waiting: Vec<Shard> = self.homeless.iter().copied().collect();
        waiting.sort_by_key(|shard| std::cmp::Reverse(self.weight(*shard)));
        for shard in waiting {
            let larger = self.loads.values().filter(|load| load.shards.len() > self.base).count();
            let most = self.base + usize::from(larger < self.extra);
            let room = self.loads.iter().filter(|(_, load)| load.shards.len() < most);
            let lightest = room.min_by_key(|(worker, load)| (load.sum, load.shards.len(), **worker));
            if let Some(worker) = lightest.map(|(worker, _)| *worker) {
                self.give(worker, shard);
            }
        }
    }

    fn finish(self) -> BTreeMap<WorkerId, BTreeSet<Shard>> {
        debug_assert!(self.loads.is_empty() || self.homeless.is_empty(), "a shard without an owner");
        let fair = self.base..=self.base + usize::from(self.extra > 0);
        debug_assert!(self.loads.values().all(|load| fair.contains(&load.shards.len())), "not balanced");
        self.loads.into_iter().map(|(worker, load)| (worker.clone(), load.shards)).collect()
    }
}

/// A plan as JSON has it.
#[derive(Serialize, Deserialize)]
struct Wire {
    number: u64,
    workers: BTreeMap<WorkerId, Vec<(u16, u16)>>,
}

impl From<Plan> for Wire {
    fn from(plan: Plan) -> Self {
        let pairs = |shards: BTreeSet<Shard>| shards.into_iter().map(|s| (s.slice, s.partition)).collect();
        let workers = plan.workers.into_iter().map(|(worker, shards)| (worker, pairs(shards))).collect();
        Self { number: plan.number, workers }
    }
}

/// Why a JSON is no plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A shard that was given twice.
    #[error("the plan gives partition {partition} of slice {slice} twice", slice = .0.slice, partition = .0.partition)]
    Twice(Shard),
}

impl TryFrom<Wire> for Plan {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self, Error> {
        let mut given = BTreeSet::new();
        let mut workers = BTreeMap::<WorkerId, BTreeSet<Shard>>::new();
        for (worker, pairs) in wire.workers {
            let shards = workers.entry(worker).or_default();
            for (slice, partition) in pairs {
                let shard = Shard { slice, partition };
                if !given.insert(shard) {
                    return Err(Error::Twice(shard));
                }
                shards.insert(shard);
            }
        }
        Ok(Self { number: wire.number, workers })
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
