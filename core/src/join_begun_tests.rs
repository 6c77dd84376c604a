//! A log that has just begun, and another host that shows what was sent before it.

use super::*;
use crate::testing::{account, commit, identity};

const SECOND: i64 = 1_000_000;
/// When the log begins, by the clock of the first host.
const BEGIN: i64 = 100_000 * SECOND;
/// By how much the second host's clock is behind.
const LAG: i64 = 40 * SECOND;

/// What repository `key` did so many seconds after the beginning, as the second host shows it.
fn at(key: &str, second: i64) -> Event {
    let made_us = BEGIN + second * SECOND;
    commit(key, made_us, &format!("k{second}"), made_us - LAG)
}

/// The time of the second host at so many seconds after the beginning.
fn time(second: i64) -> i64 {
    BEGIN + second * SECOND - LAG
}

/// What the first host has sent: an event each second, of a repository of its own, and these.
fn window(seconds: i64, more: &[Event]) -> Window {
    let mut all: Vec<Event> =
        (0..=seconds).map(|second| at(&format!("o{second}"), second)).chain(more.to_vec()).collect();
    all.sort_by_key(|event| event.time_us);
    let mut window = Window::new();
    for event in all {
        let event = Event { time_us: event.time_us + LAG, ..event };
        window.take(&event, EventId::of(&event), i64::MAX);
    }
    window
}

/// What becomes of what the second host shows, which is asked for two minutes before the end: what is appended, and not before
/// the join.
fn lands(window: &Window, end: i64, shown: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut join = Join::new(Ask::Time { from_us: BEGIN + (end - 120) * SECOND, last: false }, None);
    let mut all = Vec::new();
    for event in shown {
        match join.take(Box::new(event.clone()), EventId::of(&event), window) {
            Step::Joined { held, .. } => all.extend(held.into_iter().map(|(event, _)| *event)),
            Step::Append((event, _)) => all.push(*event),
            Step::Held | Step::Dropped | Step::Known(_) => {}
            step => panic!("{event:?}: {step:?}"),
        }
    }
    assert!(join.joined());
    all
}

#[test]
fn what_was_sent_before_the_log_does_not_land() {
    let window = window(60, &[]);
    let odd = |second: i64| {
        // A clock that leads by half an hour; nothing that tells when it was made.
        let leads = commit(&format!("l{second}"), BEGIN + (second + 1800) * SECOND, "k", time(second));
        [leads, identity(&format!("i{second}"), "a.example", time(second))]
    };
    let old = (-100..0).flat_map(odd);
    let new = at("new", 61);
    let shown = old.chain((0..=60).map(|second| at(&format!("o{second}"), second))).chain([new.clone()]);
    assert_eq!(lands(&window, 60, shown), [new]);
}

/// Of a host without sequences, which was cut off.
#[test]
fn what_the_same_host_has_sent_before_the_log_does_not_land_however_short_the_log() {
    let mut window = window(5, &[]);
    let known = at("o5", 5);
    window.align(EventId::of(&known), known.time_us);
    let old = (-100..0).map(|second| identity(&format!("i{second}"), "a.example", time(second)));
    let new = at("new", 6);
    let shown = old.chain((0..=5).map(|second| at(&format!("o{second}"), second))).chain([new.clone()]);
    assert_eq!(lands(&window, 5, shown), [new]);
}

/// Orders of hosts differ: what the first one had not sent yet is new, though the second one shows it before what is known.
#[test]
fn what_the_first_host_had_still_to_send_lands() {
    let window = window(5, &[]);
    let late = at("late", 3);
    let shown = (0..3).chain(3..=5).map(|second| at(&format!("o{second}"), second));
    let mut shown: Vec<Event> = shown.collect();
    shown.insert(3, late.clone());
    assert_eq!(lands(&window, 5, shown), [late]);
}

/// Also a little behind the join, and whatever it is.
#[test]
fn what_a_repository_did_before_what_is_known_of_it_does_not_land_behind_that() {
    let known = [at("a", 30), identity("b", "b.example", time(30)), account("c", true, time(30)), at("d", 30)];
    let window = window(60, &known);
    let old = |second: i64| {
        let at = time(second);
        [
            self::at("a", second),
            identity("a", "old.example", at),
            identity("b", "old.example", at),
            account("c", false, at),
        ]
        .into_iter()
        .chain([self::at("c", second)])
    };
    let beginning = (-20..0).flat_map(old);
    // The second host shows these behind the first events of the log, the first one has shown them before.
    let rest = (0..=60).flat_map(|second| {
        let other = at(&format!("o{second}"), second);
        [other]
            .into_iter()
            .chain((second == 8).then(|| old(8)).into_iter().flatten())
            .chain((second == 30).then(|| known.clone()).into_iter().flatten())
    });
    let new = [at("a", 61), identity("b", "new.example", time(61)), account("c", false, time(61)), at("c", 61)];
    assert_eq!(lands(&window, 60, beginning.chain(rest).chain(new.clone())), new);
}

/// A stream that begins in the middle of the log shows no more of a repository than what is new of it.
#[test]
fn what_is_new_of_a_repository_lands_where_the_stream_begins_behind_what_is_known() {
    let known = [at("a", 10), identity("b", "b.example", time(10))];
    let window = window(300, &known);
    let new = [
        identity("a", "a.example", time(290)),
        identity("b", "new.example", time(290)),
        account("b", false, time(290)),
    ];
    let rest = (250..=300).flat_map(|second| {
        let other = at(&format!("o{second}"), second);
        (second == 252).then(|| new.clone()).into_iter().flatten().chain([other])
    });
    assert_eq!(lands(&window, 300, rest), new);
}

/// The first host was gone in the middle of a commit.
#[test]
fn the_rest_of_a_commit_lands() {
    let op = |rkey: &str| commit("a", BEGIN + 2 * SECOND, rkey, time(2));
    let window = window(1, &[op("1"), op("2")]);
    let shown = [op("0"), at("o0", 0), op("1"), op("2"), op("3"), at("o1", 1)];
    assert_eq!(lands(&window, 2, shown), [op("3")]);
}
