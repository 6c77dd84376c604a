//! Hosts whose clocks are behind by about as much as was rewound.

use super::*;
use crate::testing::{commit, identity, told};

const SECOND: i64 = 1_000_000;
/// When the last event was taken, by its host.
const END: i64 = 100_000 * SECOND;

/// The event of a second before the end, as a host shows it whose clock is behind by so many seconds.
fn event(before: i64, lag: i64) -> Event {
    let made_us = END - before * SECOND;
    commit("a", made_us, &format!("k{before}"), made_us - lag * SECOND)
}

/// Twenty minutes of an event every so many seconds.
fn window(every: usize) -> Window {
    let mut window = Window::new();
    for before in (0..=1200).rev().step_by(every) {
        let event = event(before, 0);
        window.take(&event, EventId::of(&event), END);
    }
    window
}

/// The first of these events, from that many seconds before the end on, that does not wait for another.
fn joins(window: &Window, ask: Ask, events: impl Iterator<Item = Event>) -> Option<Step> {
    let mut join = Join::new(ask, None);
    events.map(|event| join.take(event.clone().into(), EventId::of(&event), window)).find(|step| {
        // What is known and can not be relied on is dropped, as is what was not asked for.
        !matches!(step, Step::Dropped | Step::Held)
    })
}

#[test]
fn a_host_that_lags_by_about_the_rewind_is_rewound_further() {
    let window = window(1);
    for lag in [0, 60, 89, 91, 100, 119, 120, 121, 125] {
        for (rewind, last) in [(120, false), (240, false), (840, true)] {
            let ask = Ask::Time { from_us: END - rewind * SECOND, last };
            // One that the host shows later than others did comes behind the time that was asked for.
            let late = commit("a", END - 2 * SECOND, "k2", END - (rewind - 1) * SECOND);
            let step = joins(&window, ask, (0..1190).rev().map(|before| event(before, lag)).chain([late]));
            let is_join = matches!(step, Some(Step::Joined { .. }));
            assert_eq!(is_join, rewind - lag >= 30, "{lag} s behind, {rewind} s asked for: {step:?}");
            // Where it shows less than four known events it is waited for others.
            let is_not = step == Some(Step::NotJoined) || step.is_none() && lag > rewind - 4;
            assert!(is_join || last || is_not, "{lag} s behind, {rewind} s asked for: {step:?}");
        }
    }
}

#[test]
fn a_host_that_leads_joins_at_once() {
    let ask = Ask::Time { from_us: END - 120 * SECOND, last: false };
    let step = joins(&window(1), ask, (0..1190).rev().map(|before| event(before, -300)));
    assert!(matches!(step, Some(Step::Joined { .. })), "{step:?}");
}

/// The host before was behind by more than the window reaches, and so the next one is asked for what the window has forgotten.
#[test]
fn what_is_held_back_from_before_the_window_does_not_land_again() {
    let window = window(1);
    let odd = |before: i64| {
        let at = END - before * SECOND;
        // Neither tells when it was made, by a clock that can be relied on.
        [identity("b", &format!("{before}.example"), at), commit("c", END + at, "k", at)]
    };
    let events = (0..1320).rev().flat_map(|before| {
        let new = [1000, 950, 899, 870, 839].into_iter().filter(move |at| *at == before).flat_map(odd);
        new.chain((before <= 1200).then(|| event(before, 0)))
    });
    let ask = Ask::Time { from_us: END - 1320 * SECOND, last: false };
    let Some(Step::Joined { held, known }) = joins(&window, ask, events) else { panic!("it does not join") };
    assert_eq!(known.0.time_us, END - 836 * SECOND, "the fourth behind what is new");
    // Orders of hosts differ: near its edge the window may have forgotten what this one shows behind it.
    assert_eq!(held.into_iter().map(|(event, _)| *event).collect::<Vec<_>>(), odd(839));
}

#[test]
fn where_events_are_few_a_host_without_lag_joins() {
    for every in [10, 50, 100, 300] {
        let window = window(every);
        let events = || (0..=1200).rev().step_by(every).map(|before| event(before, 0));
        for (rewind, last) in [(480, false), (840, true)] {
            let ask = Ask::Time { from_us: END - rewind * SECOND, last };
            let step = joins(&window, ask, events());
            assert!(matches!(step, Some(Step::Joined { .. })), "every {every} s, {rewind} s asked for: {step:?}");
        }
    }
}

/// A pipeline of four minutes, and what a host of it shows whose clock is behind by ten minutes: what others have sent only
/// a minute later. There, some repositories are told again at their last revision, which stood beside each other.
struct ToldAgain {
    window: Window,
    again: Vec<Event>,
    others: Vec<Event>,
}

impl ToldAgain {
    fn new(repositories: i64) -> Self {
        let mut window = Window::new();
        let other = |second: i64, lag: i64| {
            let made_us = END + second * SECOND;
            commit(&format!("o{second}"), made_us, "k", made_us - lag * SECOND)
        };
        let mine = |number: i64| (format!("a{number}"), END - 100 * SECOND + number);
        let commits = |number: i64, time_us: Option<i64>| {
            let (key, made_us) = mine(number);
            ["k", "l", "m"].map(|rkey| commit(&key, made_us, rkey, time_us.unwrap_or(made_us)))
        };
        let before = (-240..-100).map(|second| other(second, 0));
        let mine_once = (0..repositories).flat_map(|number| commits(number, None));
        // One clock is a day ahead, and the others go on.
        let wrong = commit("wrong", END + 86_400 * SECOND, "k", END - SECOND);
        for event in before.chain(mine_once).chain((-99..=0).map(|second| other(second, 0))).chain([wrong]) {
            window.take(&event, EventId::of(&event), END);
        }
        let again = (0..repositories).flat_map(|number| {
            let ((key, made_us), at) = (mine(number), END + (80 + number) * SECOND);
            let time_us = at - 600 * SECOND;
            let old = ["x", "y", "z", "v"].map(|rkey| commit(&key, made_us, rkey, time_us));
            [told(&key, made_us, at, time_us)].into_iter().chain(commits(number, Some(time_us))).chain(old)
        });
        Self { window, again: again.collect(), others: (60..200).map(|second| other(second, 600)).collect() }
    }

    fn joins(&self, last: bool, shown: &[Event]) -> Option<Step> {
        let ask = Ask::Time { from_us: END - 540 * SECOND, last };
        let events = self.others[..20].iter().chain(shown).chain(&self.others[20..]);
        joins(&self.window, ask, events.cloned())
    }
}

#[test]
fn what_a_sync_brings_again_is_no_join_on_a_host_that_lags() {
    for repositories in [1, 2, 10] {
        let world = ToldAgain::new(repositories);
        for last in [false, true] {
            // All of it; and without the first sync, which the host may have sent before.
            for shown in [&world.again[..], &world.again[1..]] {
                assert_eq!(world.joins(last, shown), None, "{repositories} repositories, last {last}");
            }
        }
    }
}

#[test]
fn a_host_that_begins_in_the_middle_of_what_is_told_again_does_not_join() {
    let world = ToldAgain::new(1);
    for last in [false, true] {
        let ask = Ask::Time { from_us: world.again[1].time_us, last };
        let events = world.again[1..].iter().chain(&world.others[20..]);
        assert_eq!(joins(&world.window, ask, events.cloned()), None);
    }
}

#[test]
fn a_window_that_ends_with_what_syncs_have_brought_again_joins() {
    let mut window = ToldAgain::new(1).window;
    let (made, end) = (END - 9000 * SECOND, END + SECOND);
    for number in 0..20 {
        let key = format!("b{number}");
        let created = commit(&key, made + number, "k", end);
        let mut passed = Passed::new(true);
        for event in [told(&key, made + number, end, end), created] {
            let id = window.id(&event, EventId::of(&event), &mut passed);
            window.take(&event, id, end);
        }
    }
    for rewind in [90, 240, 840] {
        let events = (-90..=0).map(|second| {
            let made_us = END + second * SECOND;
            commit(&format!("o{second}"), made_us, "k", made_us)
        });
        let step = joins(&window, Ask::Time { from_us: END - rewind * SECOND, last: rewind == 840 }, events);
        assert!(matches!(step, Some(Step::Joined { .. })), "{rewind}: {step:?}");
    }
}
