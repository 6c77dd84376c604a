//! The model of ownership: three workers claim, commit and release three shards, crash, come back, are paused and lose
//! answers, and what they sent lands late; a planner moves the shards. It plays by the functions of
//! `turbo_core::ownership` and `turbo_core::plan` themselves, and every state that they can reach is looked at.
//!
//! - A commit is computed, sent and landed in separate steps. Its author may meanwhile be paused, give up waiting or
//!   crash, and its shards may be claimed: it lands nevertheless.
//! - There is no bound on crashes, pauses, epochs and events: numbers are kept only as far as the rules can tell them
//!   apart (`State::renumber`), and states that differ in names only are one (`State::representative`). One statement
//!   at a time is late. What is bounded in numbers is explored too, with true ones.
//! - A worker's commit is one transaction over all that it holds.
//! - The rules are also broken on purpose, one by one: the model sees through each.

mod model;
mod naming;
mod rules;
mod state;
mod steps;

use model::{Bounds, NOTHING_SKIPPED, NOTHING_TWICE, ONE_COMMITS, Ownership, RESTS_OWNED};
use rules::Rules;
use state::State;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::HashSet;
use std::io::Write;
use std::time::Instant;

/// Looks at every state, and says how many there are, also where the test's output is captured.
fn explore<const S: usize>(what: &str, model: Ownership<S>) {
    let started = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let done = model.checker().threads(cores).spawn_bfs().join();
    let (states, steps, seconds) = (done.unique_state_count(), done.state_count(), started.elapsed().as_secs_f32());
    writeln!(std::io::stdout(), "model of {what}: {states} states, {steps} steps, {seconds:.1} s").unwrap_or_default();
    done.assert_properties();
}

/// The shortest way to what must never be.
fn see_through(rules: Rules, property: &'static str) -> usize {
    let bounds = Some(Bounds { crashes: 2, epochs: 4, events: 2 });
    let model = Ownership { bounds, ..Ownership::<3>::new(rules) };
    let found = model.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    found.assert_any_discovery(property).into_actions().len()
}

#[test]
fn three_shards() {
    explore("3 shards, without bounds", Ownership::<3>::new(Rules::REAL));
}

#[test]
fn two_shards_come_to_a_rest() {
    explore("2 shards, left alone", Ownership { left_alone: true, ..Ownership::<2>::new(Rules::REAL) });
}

#[test]
fn one_shard_with_a_slow_planner_and_late_claims_and_releases() {
    let model = Ownership { slow: true, left_alone: true, ..Ownership::<1>::new(Rules::REAL) };
    explore("1 shard, all of it late", model);
}

#[test]
#[ignore = "takes minutes: cargo test -p turbo-core --test ownership_model -- --ignored"]
fn two_shards_with_a_slow_planner_and_late_claims_and_releases() {
    explore("2 shards, all of it late", Ownership { slow: true, ..Ownership::<2>::new(Rules::REAL) });
}

#[test]
fn true_numbers() {
    let bounds = Some(Bounds { crashes: 2, epochs: 4, events: 2 });
    explore("1 shard, true numbers", Ownership { bounds, ..Ownership::<1>::new(Rules::REAL) });
    let bounds = Some(Bounds { crashes: 2, epochs: 2, events: 1 });
    explore("2 shards, true numbers", Ownership { bounds, ..Ownership::<2>::new(Rules::REAL) });
}

/// What an exploration without bounds leaves out is no more than numbers: each state that is reached with true ones is
/// there.
#[test]
fn no_state_is_lost_with_the_numbers() {
    for (slow, epochs, events) in [(false, 4, 2), (true, 3, 1)] {
        let bounds = Some(Bounds { crashes: 2, epochs, events });
        let renumbered = reached(&Ownership { slow, ..Ownership::<1>::new(Rules::REAL) });
        for mut state in reached(&Ownership { bounds, slow, ..Ownership::<1>::new(Rules::REAL) }) {
            state.crashes = 0;
            state.renumber();
            assert!(renumbered.contains(&state.representative()), "{state:?}");
        }
    }
}

fn reached<const S: usize>(model: &Ownership<S>) -> HashSet<State<S>> {
    let mut reached: HashSet<State<S>> = model.init_states().into_iter().collect();
    let mut waiting: Vec<State<S>> = reached.iter().cloned().collect();
    while let Some(state) = waiting.pop() {
        for next in model.next_states(&state) {
            if model.within_boundary(&next) && reached.insert(next.clone()) {
                waiting.push(next);
            }
        }
    }
    reached
}

#[test]
fn a_fence_without_the_epoch_is_seen_through() {
    assert_eq!(see_through(Rules::NO_EPOCH, ONE_COMMITS), 7);
}

#[test]
fn a_fence_without_the_position_is_seen_through() {
    assert_eq!(see_through(Rules::NO_POSITION, NOTHING_TWICE), 7);
}

#[test]
fn a_claim_that_waits_for_nobody_and_a_commit_checked_too_early_are_seen_through() {
    assert!(see_through(Rules::CHECKED_EARLY, ONE_COMMITS) > 0);
    assert!(see_through(Rules::CHECKED_EARLY, NOTHING_TWICE) > 0);
}

#[test]
fn believing_that_a_commit_without_an_answer_landed_is_seen_through() {
    assert!(see_through(Rules::HOPEFUL, NOTHING_SKIPPED) > 0);
}

#[test]
fn a_worker_that_forgets_what_rows_say_it_owns_is_seen_through() {
    assert!(see_through(Rules::FORGETFUL, RESTS_OWNED) > 0);
}
