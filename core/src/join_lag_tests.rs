//! Hosts whose clocks are behind by about as much as was rewound.

use super::*;
use crate::testing::commit;

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
