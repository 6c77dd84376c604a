//! Hosts whose clocks are behind by about as much as was rewound.

use super::*;
use crate::testing::{commit, told};

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
            assert!(is_join || last || step == Some(Step::NotJoined), "{lag} s behind, {rewind} s asked for: {step:?}");
        }
    }
}

#[test]
fn a_host_that_leads_joins_at_once() {
    let ask = Ask::Time { from_us: END - 120 * SECOND, last: false };
    let step = joins(&window(1), ask, (0..1190).rev().map(|before| event(before, -300)));
    assert!(matches!(step, Some(Step::Joined { .. })), "{step:?}");
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
/// a minute later. There, a repository is told again at its last revision.
fn told_again() -> (Window, [Event; 2], Vec<Event>) {
    let mut window = Window::new();
    let other = |second: i64, lag: i64| {
        let made_us = END + second * SECOND;
        commit(&format!("o{second}"), made_us, "k", made_us - lag * SECOND)
    };
    let mine = END - 100 * SECOND;
    for event in (-240..=0).map(|second| other(second, 0)).chain([commit("a", mine, "k", mine)]) {
        window.take(&event, EventId::of(&event), END);
    }
    let at = END + 80 * SECOND;
    let again = [told("a", mine, at, at - 600 * SECOND), commit("a", mine, "k", at - 600 * SECOND)];
    (window, again, (60..200).map(|second| other(second, 600)).collect())
}

#[test]
fn what_a_sync_brings_again_is_no_join_on_a_host_that_lags() {
    let (window, again, others) = told_again();
    let behind = |from: i64| others[from as usize - 60..].iter();
    for last in [false, true] {
        // All of it; without the sync, which the host may have sent before; and what begins with the sync.
        for (from, shown) in [(60, &again[..]), (60, &again[1..]), (80, &again[..])] {
            let before = others.iter().take(20).filter(|_| from < 80);
            let ask = Ask::Time { from_us: END + (from - 600) * SECOND, last };
            let events = before.chain(shown).chain(behind(80)).cloned();
            let step = joins(&window, ask, events);
            assert!(matches!(step, None | Some(Step::NotJoined)), "from {from}, last {last}: {step:?}");
        }
    }
}

#[test]
fn a_window_that_ends_with_what_a_sync_has_brought_again_joins() {
    let (mut window, _, _) = told_again();
    let (made, end) = (END - 9000 * SECOND, END + SECOND);
    let again = (0..20).map(|number| commit("b", made, &format!("k{number}"), end));
    for event in [told("b", made, end, end)].into_iter().chain(again) {
        window.take(&event, EventId::of(&event), END + SECOND);
    }
    let events = (-100..=0).map(|second| {
        let made_us = END + second * SECOND;
        commit(&format!("o{second}"), made_us, "k", made_us)
    });
    let step = joins(&window, Ask::Time { from_us: END - 90 * SECOND, last: false }, events);
    assert!(matches!(step, Some(Step::Joined { .. })), "{step:?}");
}

#[test]
fn what_is_told_again_is_there_behind_a_gap() {
    let (window, again, others) = told_again();
    let mut join = Join::new(Ask::Time { from_us: END - 540 * SECOND, last: true }, None);
    for event in others[..20].iter().chain(&again).chain(&others[20..]) {
        assert_eq!(join.take(event.clone().into(), EventId::of(event), &window), Step::Held);
    }
    let GivenUp::Gap(held) = join.give_up() else { panic!("a gap") };
    assert_eq!(held.len(), others.len() + 2);
    let (event, id) = &held[21];
    assert_eq!((&**event, *id), (&again[1], EventId::of(&again[1]).behind(EventId::of(&again[0]))));
}

#[test]
fn a_sync_from_before_the_time_asked_for_salts_what_comes_after_it() {
    let (window, again, others) = told_again();
    let (sync, create) = (&again[0], Event { time_us: again[1].time_us + SECOND, ..again[1].clone() });
    let mut join = Join::new(Ask::Time { from_us: create.time_us, last: false }, None);
    let mut take = |event: &Event| join.take(event.clone().into(), EventId::of(event), &window);
    assert_eq!(take(sync), Step::Dropped);
    assert_eq!(take(&create), Step::Held, "it is not the one that is known");
    assert_eq!(take(&others[21]), Step::Held);
}
