//! What can happen in a state, and what must always hold.

use crate::naming::{Planned, Planner};
use crate::rules::Rules;
use crate::state::{Broken, Column, Held, Late, N, State, Worker};
use stateright::{Model, Property};
use turbo_core::plan::WorkerId;

pub(crate) const ONE_COMMITS: &str = "no two workers commit for one shard in one epoch";
pub(crate) const NOTHING_SKIPPED: &str = "no event is skipped";
pub(crate) const NOTHING_TWICE: &str = "no event is committed twice";
pub(crate) const RESTS_OWNED: &str = "every shard is owned where nothing more is enabled";

/// Bounds of an exploration with true numbers.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) crashes: u8,
    /// For each shard.
    pub(crate) epochs: u8,
    /// In the log of each shard.
    pub(crate) events: u8,
}

/// Three workers and `S` shards.
pub(crate) struct Ownership<const S: usize> {
    pub(crate) rules: Rules,
    /// `None` explores everything: any number of crashes, epochs and events (see [`State::renumber`]).
    pub(crate) bounds: Option<Bounds>,
    /// Whether the planner lags behind what is observed, and claims and releases can be late as commits can.
    pub(crate) slow: bool,
    /// Whether each state is left alone, to see that it comes to a rest.
    pub(crate) left_alone: bool,
    pub(crate) planner: Planner<S>,
    pub(crate) names: [WorkerId; N],
}

/// What happens: to a worker, and to a shard where one is meant. Where who is fresh changes, the planner writes a plan,
/// or leaves the old one if it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<const S: usize> {
    /// What the protocol owes. The planner comes round to it.
    Plan(Planned<S>),
    /// A worker claims what the plan gives it, or what a row says it owns and it does not hold.
    Claim(u8, usize),
    /// A worker makes a commit of the next event of all shards that it believes to hold, and sends it.
    Send(u8),
    /// It lands, and so does its answer.
    Land(u8),
    /// The plan gives the shard to another.
    Release(u8, usize),
    /// A worker sees that a shard was claimed which it believes to hold.
    Notice(u8, usize),
    /// The late statement lands.
    LandLate,
    GoesStale(u8, Planned<S>),
    IsHeard(u8, Planned<S>),
    /// What the world may do, and need not. A worker that runs is not heard: it is paused, or cut off.
    IsNotHeard(u8, Planned<S>),
    Crash(u8),
    Restart(u8),
    /// A worker no longer waits for the answer to its commit, and reads its rows.
    GiveUp(u8),
    LateClaim(u8, usize),
    LateRelease(u8, usize),
    LoseLate,
}

impl<const S: usize> Ownership<S> {
    pub(crate) fn new(rules: Rules) -> Self {
        let names = ["a", "b", "c"].map(WorkerId::from);
        Self { rules, bounds: None, slow: false, left_alone: false, planner: Planner::new(&names), names }
    }

    fn is_owed(&self, action: &Action<S>) -> bool {
        use Action::*;
        match action {
            Plan(_) | Claim(..) | Land(_) | Release(..) | Notice(..) | LandLate | GoesStale(..) | IsHeard(..) => true,
            // Without bounds there is always a next event.
            Send(_) => self.bounds.is_some(),
            _ => false,
        }
    }

    /// The actions that the protocol owes: none where all is at rest.
    fn owed(&self, state: &State<S>) -> Vec<Action<S>> {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.retain(|action| self.is_owed(action));
        actions
    }

    /// Every shard is owned by a worker that runs, holds it and should; all of its events are committed.
    fn is_served(&self, state: &State<S>) -> bool {
        state.shards.iter().all(|column| {
            let owner = column.owner.filter(|owner| column.planned == Some(*owner)).map(usize::from);
            let held = owner.filter(|owner| state.workers[*owner].runs).and_then(|owner| column.held[owner]);
            let done = self.bounds.is_none_or(|bounds| column.landed == bounds.events);
            done && held.is_some_and(|held| held.epoch == column.epoch)
        })
    }

    /// Whether all is well if this is a rest: where nobody runs, nothing can be owned. What is broken goes nowhere.
    fn may_rest(&self, state: &State<S>) -> bool {
        let runs = state.workers.iter().any(|worker| worker.runs);
        self.is_served(state) || !runs || state.broken != Broken::default()
    }

    /// Left alone, the state comes to a rest that is well: by whichever is the first or the last of what is owed.
    fn comes_to_rest(&self, state: &State<S>) -> bool {
        [<[_]>::first, <[_]>::last].into_iter().all(|choose: fn(&[Action<S>]) -> Option<&Action<S>>| {
            let mut state = Some(state.clone());
            for _ in 0..100 {
                let Some(now) = state else { return false };
                let owed = self.owed(&now);
                let Some(action) = choose(&owed) else { return self.may_rest(&now) };
                state = self.next_state(&now, *action);
            }
            false
        })
    }

    fn of_heartbeat(&self, state: &State<S>, worker: u8, actions: &mut Vec<Action<S>>) {
        let me = usize::from(worker);
        let change = match state.workers[me] {
            Worker { runs: true, fresh: true, .. } => Action::IsNotHeard,
            Worker { runs: true, fresh: false, .. } => Action::IsHeard,
            Worker { runs: false, fresh: true, .. } => Action::GoesStale,
            Worker { runs: false, fresh: false, .. } => return,
        };
        if self.slow {
            return actions.push(change(worker, state.planned()));
        }
        let mut fresh = state.fresh();
        fresh[me] = !fresh[me];
        actions.extend(self.planner.next(state.planned(), fresh).iter().map(|plan| change(worker, *plan)));
    }

    fn of_shard(&self, state: &State<S>, worker: u8, shard: usize, actions: &mut Vec<Action<S>>) {
        let column = &state.shards[shard];
        let mine = column.planned == Some(worker) || (self.rules.takes_up && column.owner == Some(worker));
        let late = self.slow && state.late.is_none();
        match column.held[usize::from(worker)] {
            Some(held) if held.epoch != column.epoch => actions.push(Action::Notice(worker, shard)),
            Some(_) if column.planned != Some(worker) => {
                actions.push(Action::Release(worker, shard));
                actions.extend(late.then_some(Action::LateRelease(worker, shard)));
            }
            None if mine && self.claimed(column, shard, worker, state.fresh().map(|fresh| !fresh)).is_some() => {
                actions.push(Action::Claim(worker, shard));
                actions.extend(late.then_some(Action::LateClaim(worker, shard)));
            }
            _ => {}
        }
    }

    fn of_worker(&self, state: &State<S>, worker: u8, actions: &mut Vec<Action<S>>) {
        let me = usize::from(worker);
        self.of_heartbeat(state, worker, actions);
        if !state.workers[me].runs {
            return actions.push(Action::Restart(worker));
        }
        if self.bounds.is_none_or(|bounds| state.crashes < bounds.crashes) {
            actions.push(Action::Crash(worker));
        }
        if state.workers[me].waits {
            return actions.extend([Action::Land(worker), Action::GiveUp(worker)]);
        }
        if self.commit_of(state, me).iter().any(Option::is_some) {
            actions.push(Action::Send(worker));
        }
        (0..S).for_each(|shard| self.of_shard(state, worker, shard, actions));
    }
}

impl<const S: usize> Model for Ownership<S> {
    type State = State<S>;
    type Action = Action<S>;

    fn init_states(&self) -> Vec<State<S>> {
        vec![State::new()]
    }

    fn actions(&self, state: &State<S>, actions: &mut Vec<Action<S>>) {
        if state.broken != Broken::default() {
            return;
        }
        if self.slow {
            let next = self.planner.next(state.planned(), state.fresh()).iter();
            actions.extend(next.filter(|plan| **plan != state.planned()).map(|plan| Action::Plan(*plan)));
        }
        (0..N as u8).for_each(|worker| self.of_worker(state, worker, actions));
        if state.late.is_some() {
            actions.extend([Action::LandLate, Action::LoseLate]);
        }
    }

    fn next_state(&self, last: &State<S>, action: Action<S>) -> Option<State<S>> {
        let mut state = last.clone();
        let write = |state: &mut State<S>, plan: Planned<S>| {
            state.shards.iter_mut().zip(plan).for_each(|(column, planned)| column.planned = planned);
        };
        let gone = last.fresh().map(|fresh| !fresh);
        match action {
            Action::Plan(plan) => write(&mut state, plan),
            Action::Claim(worker, shard) => {
                let held = self.claim(&mut state, shard, worker, gone)?;
                state.shards[shard].held[usize::from(worker)] = Some(held);
            }
            Action::Send(worker) => state.workers[usize::from(worker)].waits = true,
            Action::Land(worker) => {
                self.commit(&mut state, self.commit_of(last, worker.into()));
                self.read_again(&mut state, worker.into());
            }
            Action::GiveUp(worker) => {
                Self::becomes_late(&mut state, Late::Commit, self.commit_of(last, worker.into()));
                self.give_up(&mut state, worker.into());
            }
            Action::Release(worker, shard) => {
                let held = state.shards[shard].held[usize::from(worker)].take()?;
                self.release(&mut state, shard, held);
            }
            Action::LateRelease(worker, shard) => {
                let held = state.shards[shard].held[usize::from(worker)].take()?;
                Self::becomes_late(&mut state, Late::Release, only(shard, held));
            }
            Action::LateClaim(worker, shard) => {
                Self::becomes_late(&mut state, Late::Claim(worker, gone), only(shard, Held::default()));
            }
            Action::Notice(worker, shard) => state.shards[shard].held[usize::from(worker)] = None,
            Action::LandLate => self.land_late(&mut state),
            Action::LoseLate => Self::lose_late(&mut state),
            Action::GoesStale(worker, plan) | Action::IsNotHeard(worker, plan) | Action::IsHeard(worker, plan) => {
                state.workers[usize::from(worker)].fresh = matches!(action, Action::IsHeard(..));
                write(&mut state, plan);
            }
            Action::Crash(worker) => self.crash(&mut state, worker.into()),
            Action::Restart(worker) => state.workers[usize::from(worker)].runs = true,
        }
        if self.bounds.is_none() && state.broken == Broken::default() {
            state.renumber();
        }
        Some(state.representative())
    }

    fn within_boundary(&self, state: &State<S>) -> bool {
        self.bounds.is_none_or(|bounds| state.shards.iter().all(|column| column.epoch <= bounds.epochs))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(ONE_COMMITS, |_, state: &State<S>| !state.broken.epoch),
            Property::always(NOTHING_SKIPPED, |_, state: &State<S>| !state.broken.skipped),
            Property::always(NOTHING_TWICE, |_, state: &State<S>| !state.broken.repeated),
            Property::always(RESTS_OWNED, |model: &Self, state| model.may_rest(state) || !model.owed(state).is_empty()),
            // And the exploration comes by what it is about.
            Property::sometimes("all rests and is owned", |model: &Self, state| {
                model.is_served(state) && model.owed(state).is_empty()
            }),
            Property::sometimes("a commit is late, and its shard was claimed", |_, state: &State<S>| {
                state.late == Some(Late::Commit) && state.shards.iter().any(Column::is_late_and_claimed)
            }),
        ];
        if self.left_alone {
            properties.push(Property::always("left alone it comes to a rest", Self::comes_to_rest));
        }
        properties
    }
}

fn only<const S: usize>(shard: usize, part: Held) -> [Option<Held>; S] {
    std::array::from_fn(|n| (n == shard).then_some(part))
}
