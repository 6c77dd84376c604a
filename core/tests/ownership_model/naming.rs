//! Symmetry: the names of workers and of shards mean nothing to the protocol. The planner, whose ties are broken by
//! name, decides under every naming here; so one state stands for all states that differ in names only.

use crate::state::{Column, Late, N, Set, State, Worker};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use turbo_core::plan::{Plan, WorkerId, plan};
use turbo_core::shard::Shard;

/// Who should own each shard.
pub(crate) type Planned<const S: usize> = [Option<u8>; S];

/// Where each number goes.
static NAMINGS: [[u8; N]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The real planner, asked once in every situation: what may be planned next, from what was planned before and who is
/// fresh.
pub(crate) struct Planner<const S: usize>(HashMap<(Planned<S>, Set), Vec<Planned<S>>>);

impl<const S: usize> Planner<S> {
    pub(crate) fn new(names: &[WorkerId; N]) -> Self {
        let mut table = HashMap::new();
        for before in every_plan() {
            for fresh in (0..1 << N).map(|bits| [0, 1, 2].map(|worker| bits >> worker & 1 == 1)) {
                let shards = NAMINGS.iter().flat_map(|w| NAMINGS.iter().map(move |s| (w, s)));
                let next: BTreeSet<_> = shards.map(|(w, s)| ask(before, fresh, names, w, s)).collect();
                table.insert((before, fresh), next.into_iter().collect());
            }
        }
        Self(table)
    }

    pub(crate) fn next(&self, before: Planned<S>, fresh: Set) -> &[Planned<S>] {
        self.0.get(&(before, fresh)).map_or(&[], Vec::as_slice)
    }
}

fn every_plan<const S: usize>() -> impl Iterator<Item = Planned<S>> {
    (0..4usize.pow(S as u32)).map(|digits| {
        std::array::from_fn(|shard| [None, Some(0), Some(1), Some(2)][digits / 4usize.pow(shard as u32) % 4])
    })
}

fn ask<const S: usize>(
    before: Planned<S>,
    fresh: Set,
    names: &[WorkerId; N],
    workers: &[u8; N],
    shards: &[u8; N],
) -> Planned<S> {
    let name = |worker: usize| names[usize::from(workers[worker])].clone();
    let shard = |n: usize| Shard { slice: 0, partition: shards[n].into() };
    let owners = (0..S).filter_map(|n| before[n].map(|owner| (shard(n), name(owner.into()))));
    let live: BTreeSet<WorkerId> = (0..N).filter(|worker| fresh[*worker]).map(name).collect();
    let weights: BTreeMap<Shard, u64> = (0..S).map(|n| (shard(n), 1)).collect();
    let next = plan(&Plan::of_owners(0, owners), &live, &weights);
    std::array::from_fn(|n| (0..N as u8).find(|worker| next.owner(shard(n)) == Some(&name(usize::from(*worker)))))
}

impl<const S: usize> State<S> {
    /// The first of all states that differ from this one in names only: the workers in the order of their signatures,
    /// and where these are equal, the least.
    pub(crate) fn representative(&self) -> Self {
        let signatures = [self.signature(0), self.signature(1), self.signature(2)];
        let namings = NAMINGS.iter().filter(|naming| permuted(&signatures, naming).is_sorted());
        let all = namings.map(|naming| self.renamed(naming));
        all.reduce(|least, other| if other.key() < least.key() { other } else { least }).unwrap_or_else(|| self.clone())
    }

    /// What can be said of a worker without naming any.
    fn signature(&self, worker: u8) -> u64 {
        let Worker { runs, fresh, waits } = self.workers[usize::from(worker)];
        let mut signature = 0;
        for column in &self.shards {
            let held = column.held[usize::from(worker)].map_or(0, |held| 1 + held.epoch * 8 + held.position);
            let mine = u64::from(column.owner == Some(worker)) + 2 * u64::from(column.planned == Some(worker));
            signature += (u64::from(held) * 4 + mine).pow(3);
        }
        signature * 8 + u64::from(runs) + 2 * u64::from(fresh) + 4 * u64::from(waits)
    }

    fn key(&self) -> ([u64; S], Option<Late>) {
        let mut packed = [0; S];
        for (packed, column) in packed.iter_mut().zip(&self.shards) {
            *packed = column.packed();
        }
        (packed, self.late)
    }

    fn renamed(&self, naming: &[u8; N]) -> Self {
        let mut to = self.clone();
        to.workers = permuted(&self.workers, naming);
        let mut packed = [(0, Column::default()); S];
        for (packed, column) in packed.iter_mut().zip(&self.shards) {
            packed.1 = column.renamed(naming);
            packed.0 = packed.1.packed();
        }
        packed.sort_unstable_by_key(|packed| packed.0);
        for (column, packed) in to.shards.iter_mut().zip(&packed) {
            *column = packed.1;
        }
        to.late = self.late.map(|late| late.renamed(naming));
        to
    }
}

impl Column {
    fn renamed(&self, naming: &[u8; N]) -> Self {
        let mut to = *self;
        for worker in [&mut to.owner, &mut to.planned].into_iter().flatten() {
            *worker = naming[usize::from(*worker)];
        }
        to.held = permuted(&self.held, naming);
        to
    }
}

impl Late {
    fn renamed(self, naming: &[u8; N]) -> Self {
        match self {
            Self::Claim(author, gone) => Self::Claim(naming[usize::from(author)], permuted(&gone, naming)),
            other => other,
        }
    }
}

fn permuted<T: Copy>(from: &[T; N], naming: &[u8; N]) -> [T; N] {
    let mut to = *from;
    for (value, name) in from.iter().zip(naming) {
        to[usize::from(*name)] = *value;
    }
    to
}
