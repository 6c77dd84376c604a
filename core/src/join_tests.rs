use super::ask::TIMES_FROM;
use super::*;
use crate::position::SourcePosition;
use crate::testing::{commit, sync};
use crate::window::SPAN_US;

const MINUTE: i64 = 60_000_000;

fn window(events: &[Event]) -> Window {
    let mut window = Window::new();
    for event in events {
        window.take(event, EventId::of(event), i64::MAX);
    }
    window
}

fn take(join: &mut Join, event: &Event, window: &Window) -> Step {
    join.take(Box::new(event.clone()), EventId::of(event), window)
}

fn with_id(event: &Event) -> Identified {
    (event.clone().into(), EventId::of(event))
}

fn at(host: &str, cursor: Option<u64>, time_us: i64) -> SourcePosition {
    SourcePosition { host: host.into(), cursor, time_us, id: EventId(7) }
}

/// The stream shows known events, which are not enough for a join yet.
fn shows(join: &mut Join, known: &[Event], window: &Window) {
    for event in known {
        assert_eq!(take(join, event, window), Step::Dropped, "not enough yet");
        assert!(join.agreed.is_some() && !join.joined());
    }
}

/// An event made and seen at the same minute.
fn seen(key: &str, minute: i64) -> Event {
    commit(key, minute * MINUTE, "k", minute * MINUTE)
}

#[test]
fn the_same_host_is_asked_for_its_sequence_and_others_for_a_time() {
    let position = at("a", Some(9), 100 * MINUTE);
    assert_eq!(ask(&position, "a", true, 0, i64::MAX, SPAN_US), Ask::Sequence(9, EventId(7)));
    let by_time = |minutes: i64, last| Ask::Time { from_us: minutes * MINUTE, last };
    assert_eq!(ask(&position, "a", false, 0, i64::MAX, SPAN_US), by_time(98, false));
    assert_eq!(ask(&position, "b", true, 0, i64::MAX, SPAN_US), by_time(98, false));
    assert_eq!(ask(&position, "b", true, 1, i64::MAX, SPAN_US), by_time(96, false));
    assert_eq!(ask(&position, "b", true, 3, i64::MAX, SPAN_US), by_time(85, true));
    assert_eq!(ask(&position, "b", true, 99, i64::MAX, SPAN_US), by_time(85, true));
    assert_eq!(ask(&position, "b", true, 0, 50 * MINUTE, SPAN_US), by_time(48, false), "a time ahead of the clock");
    let reach = |rewinds| ask(&position, "b", true, rewinds, i64::MAX, 3 * MINUTE);
    assert_eq!((reach(0), reach(1)), (by_time(98, false), by_time(97, true)), "a window that has less");
    assert_eq!(ask(&at("a", None, 100 * MINUTE), "a", true, 0, i64::MAX, SPAN_US), by_time(98, false));
}

#[test]
fn a_sequence_joins_at_its_own_event_only() {
    let mut last = seen("a", 100);
    last.cursor = Some(9);
    let mut known = seen("c", 99);
    known.cursor = Some(9);
    let window = window(&[known.clone(), last.clone()]);
    let ask = Ask::Sequence(9, EventId::of(&last));
    let mut join = Join::new(ask, None);
    assert_eq!(take(&mut join, &last, &window), Step::Joined { held: vec![], known: with_id(&last) });
    assert!(join.joined());
    let mut other = seen("b", 101);
    other.cursor = Some(9);
    assert_eq!(take(&mut Join::new(ask, None), &other, &window), Step::NotJoined, "new sequences");
    assert_eq!(take(&mut Join::new(ask, None), &known, &window), Step::NotJoined, "new ones, in another order");
    last.cursor = Some(8);
    assert_eq!(take(&mut Join::new(ask, None), &last, &window), Step::NotJoined, "another number");
}

#[test]
fn what_comes_before_the_time_that_a_first_start_gives_is_dropped() {
    let minute = TIMES_FROM as i64 / MINUTE + 1;
    let (before, first, late) = (seen("a", minute - 1), seen("b", minute), seen("c", minute - 1));
    let mut join = Join::new(Ask::Given((minute * MINUTE) as u64), None);
    assert_eq!(take(&mut join, &before, &Window::new()), Step::Dropped);
    assert_eq!(take(&mut join, &first, &Window::new()), Step::Append(with_id(&first)));
    assert_eq!(take(&mut join, &late, &Window::new()), Step::Append(with_id(&late)), "its clock is its own");
    let mut of_a_sequence = Join::new(Ask::Given(TIMES_FROM - 1), None);
    assert_eq!(take(&mut of_a_sequence, &seen("a", 0), &Window::new()), Step::Append(with_id(&seen("a", 0))));
}

#[test]
fn new_events_before_the_join_are_held_back_and_released_in_order() {
    let (one, known, first, second) = (seen("z", 99), seen("a", 100), seen("b", 100), seen("c", 100));
    let window = window(&[seen("o", 90), one.clone(), known.clone()]);
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    assert_eq!(take(&mut join, &seen("x", 97), &window), Step::Dropped, "before the time asked for");
    assert_eq!(take(&mut join, &first, &window), Step::Held);
    assert_eq!(take(&mut join, &second, &window), Step::Held);
    shows(&mut join, &[one], &window);
    let held = vec![with_id(&first), with_id(&second)];
    assert_eq!(take(&mut join, &known, &window), Step::Joined { held, known: with_id(&known) });
    assert_eq!(
        take(&mut join, &seen("x", 97), &window),
        Step::Append(with_id(&seen("x", 97))),
        "joined: nothing is dropped"
    );
}

#[test]
fn what_was_made_before_the_window_is_dropped_until_the_join() {
    // A host whose clock leads by 20 minutes sends what was made 12 minutes before the window's oldest.
    let window = window(&[seen("a", 100), seen("b", 105)]);
    let mut join = Join::new(Ask::Time { from_us: 103 * MINUTE, last: false }, None);
    let old = commit("c", 88 * MINUTE, "k", 108 * MINUTE);
    assert_eq!(take(&mut join, &old, &window), Step::Dropped);
    let new = commit("c", 101 * MINUTE, "k", 121 * MINUTE);
    assert_eq!(take(&mut join, &new, &window), Step::Held);
}

#[test]
fn what_another_host_sends_earlier_is_not_dropped_for_a_window_that_has_just_begun() {
    let at =
        |key: &str, second: i64| commit(key, 100 * MINUTE + second * 1_000_000, "k", 100 * MINUTE + second * 1_000_000);
    // No two hosts give an event the very same time.
    let first = |key: &str, second: i64| Event { time_us: at(key, second).time_us + 7, ..at(key, second) };
    let mut window = window(&[first("a", 1), first("b", 2), first("c", 3), first("d", 4)]);
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    // The first host has it still to send.
    assert_eq!(take(&mut join, &at("e", 0), &window), Step::Held);
    // That one has sent a later one of the same account: this is from before the pipeline's beginning.
    assert_eq!(take(&mut join, &at("b", 0), &window), Step::Dropped);
    shows(&mut join, &[at("a", 1), at("b", 2), at("c", 3)], &window);
    let Step::Joined { held, .. } = take(&mut join, &at("d", 4), &window) else { panic!("it joins") };
    assert_eq!(held, [with_id(&at("e", 0))]);
    // Behind a sync revisions may be lower.
    let resync = sync("b", 100 * MINUTE, 100 * MINUTE + 4_500_000);
    window.take(&resync, EventId::of(&resync), i64::MAX);
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    assert_eq!(take(&mut join, &at("b", 0), &window), Step::Held);
}

/// Also what bears the very revision: a window may begin in the middle of a commit, or of what is told again behind a sync.
#[test]
fn a_sync_from_before_a_window_that_has_just_begun_salts_nothing_in_it() {
    let second = |second: i64| 100 * MINUTE + second * 1_000_000;
    let created = |rkey: &str, at: i64| commit("a", second(1), rkey, second(at));
    let resync = sync("a", second(1), second(1));
    let behind = [created("second", 2), created("third", 2)];
    let window = window(&behind);
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    for before in [resync, created("first", 2)] {
        assert_eq!(take(&mut join, &before, &window), Step::Dropped);
    }
    assert_eq!(take(&mut join, &behind[0], &window), Step::Joined { held: vec![], known: with_id(&behind[0]) });
    assert_eq!(take(&mut join, &behind[1], &window), Step::Known(with_id(&behind[1])));
    let next = commit("a", second(3), "fourth", second(3));
    assert_eq!(take(&mut join, &next, &window), Step::Append(with_id(&next)));
}

/// The window has a later sync of the repository: what is between the two was taken without the first one.
#[test]
fn a_sync_from_before_a_window_salts_nothing_between_it_and_the_next() {
    let second = |second: i64| 100 * MINUTE + second * 1_000_000;
    let created = |rkey: &str, at: i64| commit("a", second(at), rkey, second(at));
    let (first, between, next) =
        (sync("a", second(1), second(1)), created("between", 2), sync("a", second(3), second(3)));
    let known = [between.clone(), next.clone(), created("behind", 3), created("later", 4)];
    let (mut window, mut passed) = (Window::new(), Passed::new(true));
    for event in &known {
        let id = window.id(event, EventId::of(event), &mut passed);
        window.pass_until(event);
        window.take(event, id, i64::MAX);
    }
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    for before in [created("before", 0), first, created("told again", 1)] {
        assert_eq!(take(&mut join, &before, &window), Step::Dropped);
    }
    // All three revisions of it are known.
    shows(&mut join, &known[..3], &window);
    assert!(matches!(take(&mut join, &known[3], &window), Step::Joined { held, .. } if held.is_empty()));
}

#[test]
fn no_known_event_means_a_further_rewind_and_a_gap_at_the_limit() {
    let window = window(&[seen("a", 100)]);
    let event = seen("b", 101);
    let mut join = Join::new(Ask::Time { from_us: 98 * MINUTE, last: false }, None);
    assert_eq!(take(&mut join, &event, &window), Step::Held);
    assert_eq!(join.give_up(), GivenUp::NotJoined);
    let mut join = Join::new(Ask::Time { from_us: 85 * MINUTE, last: true }, None);
    assert_eq!(take(&mut join, &event, &window), Step::Held);
    // That one is not known either, and may be new.
    let older = commit("c", 80 * MINUTE, "k", 103 * MINUTE);
    assert_eq!(take(&mut join, &older, &window), Step::Dropped);
    assert_eq!(join.give_up(), GivenUp::Gap { held: vec![with_id(&event)], to_us: Some(103 * MINUTE) });
    assert!(join.joined());
}

#[test]
fn a_host_that_has_sent_nothing_new_at_the_limit_is_no_gap_and_no_join() {
    let window = window(&[seen("a", 90), seen("a", 100)]);
    let mut join = Join::new(Ask::Time { from_us: 85 * MINUTE, last: true }, None);
    assert_eq!(join.give_up(), GivenUp::Waits);
    // It was loading, and begins with its segment, which is older than what was asked for.
    assert_eq!(take(&mut join, &seen("b", 80), &window), Step::Dropped);
    assert_eq!(take(&mut join, &seen("b", 86), &window), Step::Dropped);
    assert_eq!(join.give_up(), GivenUp::Waits);
    let new = seen("b", 95);
    assert_eq!(take(&mut join, &new, &window), Step::Held);
    let joined = Step::Joined { held: vec![with_id(&new)], known: with_id(&seen("a", 100)) };
    assert_eq!(take(&mut join, &seen("a", 100), &window), joined);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut event = seen("b", 101);
    event.bytes = vec![0; MAX_HELD_BYTES].into();
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    assert_eq!(take(&mut join, &event, &Window::new()), Step::Held);
    event.bytes = vec![0; 1].into();
    assert_eq!(take(&mut join, &event, &Window::new()), Step::NotJoined);
}

#[test]
fn at_the_limit_of_the_window_what_is_held_back_goes_on_behind_a_gap() {
    let mut event = seen("b", 101);
    event.bytes = vec![0; MAX_HELD_BYTES + 1].into();
    let mut join = Join::new(Ask::Time { from_us: 0, last: true }, None);
    assert_eq!(take(&mut join, &event, &Window::new()), Step::Full);
    assert_eq!(join.give_up(), GivenUp::Gap { held: vec![with_id(&event)], to_us: Some(101 * MINUTE) });
    assert_eq!(take(&mut join, &seen("c", 102), &Window::new()), Step::Append(with_id(&seen("c", 102))));
}

#[test]
fn a_sync_that_is_remembered_for_longer_than_the_window_reaches_is_no_join() {
    // A commit of the repository is taken 40 minutes behind its sync: the sync is in the window again, but nothing of
    // its time is.
    let old = sync("a", 60 * MINUTE, 60 * MINUTE);
    let mut window = Window::new();
    let mut passed = Passed::new(true);
    for event in [&old, &seen("a", 70), &seen("a", 80), &seen("a", 90), &seen("a", 100)] {
        let id = window.id(event, EventId::of(event), &mut passed);
        window.pass_until(event);
        window.take(event, id, i64::MAX);
    }
    assert!(window.contains(EventId::of(&old)), "it salts what is behind it");
    // A host whose clock leads sends the sync, and what was behind it, before what the window knows.
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    assert_eq!(take(&mut join, &old, &window), Step::Dropped);
    assert!(!join.joined());
    assert_eq!(take(&mut join, &seen("b", 61), &window), Step::Dropped, "it was appended long ago");
    shows(&mut join, &[seen("a", 90)], &window);
    assert!(matches!(take(&mut join, &seen("a", 100), &window), Step::Joined { .. }));
    assert_eq!(take(&mut join, &seen("b", 101), &window), Step::Append(with_id(&seen("b", 101))));
}

#[test]
fn a_commit_that_a_later_sync_brought_again_is_no_join_where_it_comes_from_long_ago() {
    // The record is created at 60 minutes, and again, with the same revision, behind a sync at 76. At 80 minutes the window
    // has the second one only.
    let first = seen("a", 60);
    let again = Event { time_us: 76 * MINUTE, ..first.clone() };
    let mut window = Window::new();
    let mut passed = Passed::new(true);
    for event in [&first, &seen("b", 66), &sync("a", 76 * MINUTE, 76 * MINUTE), &again, &seen("b", 77), &seen("b", 80)]
    {
        let id = window.id(event, EventId::of(event), &mut passed);
        window.pass_until(event);
        window.take(event, id, i64::MAX);
    }
    assert!(!window.contains(EventId::of(&first)) && window.contains(EventId::of(&seen("b", 66))));
    // Another host begins before the window: its clock would be taken to be 16 minutes off.
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    assert_eq!(take(&mut join, &first, &window), Step::Dropped);
    assert!(!join.joined());
    shows(&mut join, &[seen("b", 77)], &window);
    assert!(matches!(take(&mut join, &seen("b", 80), &window), Step::Joined { .. }));
}

#[test]
fn what_is_at_the_edge_of_a_window_that_has_forgotten_is_no_join() {
    let mut window = Window::new();
    let mut passed = Passed::new(true);
    for minute in 60..=80 {
        let event = seen("b", minute);
        let id = window.id(&event, EventId::of(&event), &mut passed);
        window.pass_until(&event);
        window.take(&event, id, i64::MAX);
    }
    // It reaches from 65 to 80. Another host has two events of minute 64 in another order.
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    assert_eq!(take(&mut join, &seen("b", 65), &window), Step::Dropped, "known, and at the edge");
    assert_eq!(take(&mut join, &seen("b", 64), &window), Step::Dropped, "forgotten");
    shows(&mut join, &[seen("b", 66), seen("b", 67), seen("b", 68)], &window);
    assert!(matches!(take(&mut join, &seen("b", 69), &window), Step::Joined { .. }));
    // A window that has everything has no edge.
    let mut window = Window::new();
    for minute in [60, 61] {
        let event = seen("b", minute);
        let id = window.id(&event, EventId::of(&event), &mut passed);
        window.pass_until(&event);
        window.take(&event, id, i64::MAX);
    }
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    shows(&mut join, &[seen("b", 60)], &window);
    assert!(matches!(take(&mut join, &seen("b", 61), &window), Step::Joined { .. }));
}

#[test]
fn a_commit_that_was_taken_long_after_its_sync_is_known_on_a_stream_that_shows_both() {
    // The sync at 60 minutes no longer salts what is taken at 78.
    let (old, late) = (sync("a", 60 * MINUTE, 60 * MINUTE), seen("a", 78));
    let mut window = Window::new();
    let mut passed = Passed::new(true);
    for event in [&old, &seen("a", 61), &seen("b", 66), &seen("b", 70), &seen("b", 77), &late, &seen("b", 80)] {
        let id = window.id(event, EventId::of(event), &mut passed);
        window.pass_until(event);
        window.take(event, id, i64::MAX);
    }
    assert!(window.contains(EventId::of(&late)));
    // A host whose clock leads by 20 minutes begins before the sync. It is held back by nothing, and salts nothing.
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    for event in [&old, &seen("a", 61), &seen("b", 66)] {
        assert_eq!(take(&mut join, event, &window), Step::Dropped);
    }
    shows(&mut join, &[seen("b", 70), seen("b", 77), late.clone()], &window);
    assert!(matches!(take(&mut join, &seen("b", 80), &window), Step::Joined { held, .. } if held.is_empty()));
    // So it is where nothing else is known before it.
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    assert_eq!(take(&mut join, &old, &window), Step::Dropped);
    shows(&mut join, &[late], &window);
    assert!(matches!(take(&mut join, &seen("b", 80), &window), Step::Joined { held, .. } if held.is_empty()));
}

#[test]
fn a_sync_that_is_new_salts_what_is_held_back_with_it() {
    let first = seen("a", 100);
    let window = window(&[seen("b", 99), first.clone(), seen("b", 102)]);
    // The host has the sync before the event that joins; the create behind it bears the id of the first one.
    let mut join = Join::new(Ask::Time { from_us: 0, last: true }, None);
    let new = sync("a", 101 * MINUTE, 101 * MINUTE);
    assert_eq!(take(&mut join, &new, &window), Step::Held);
    assert_eq!(take(&mut join, &first, &window), Step::Held, "it is another event behind the sync");
    let Step::Joined { held, .. } = take(&mut join, &seen("b", 102), &window) else { panic!("it joins") };
    assert_eq!(held.len(), 2);
}

/// What one host has sent before that.
fn before() -> [Event; 3] {
    ["x", "y", "z"].map(|key| seen(key, 98))
}

/// A record, and the same again behind a sync of its repository, as one host has sent them; a later one of another.
fn read_of_the_first() -> (Window, [Event; 5]) {
    let sent = [seen("b", 99), seen("a", 100), sync("a", 101 * MINUTE, 101 * MINUTE), seen("b", 102), seen("c", 103)];
    let window = window(&[&before()[..], &sent[..]].concat());
    (window, sent.map(|event| Event { cursor: Some(event.time_us as u64), ..event }))
}

fn sequence(last: &Event) -> Ask {
    Ask::Sequence(last.cursor.unwrap(), EventId::of(last))
}

#[test]
fn a_host_that_is_cut_off_in_the_middle_of_what_another_has_sent_goes_on_there() {
    let (window, [joins, create, resync, later, last]) = read_of_the_first();
    let mut join = Join::new(Ask::Time { from_us: 0, last: false }, None);
    shows(&mut join, &before(), &window);
    assert!(join.passed().is_none());
    assert!(matches!(take(&mut join, &joins, &window), Step::Joined { .. }));
    let mut join = Join::new(sequence(&joins), join.passed());
    assert!(matches!(take(&mut join, &joins, &window), Step::Joined { .. }));
    assert_eq!(take(&mut join, &create, &window), Step::Known(with_id(&create)), "it is not behind the sync yet");
    assert!(matches!(take(&mut join, &resync, &window), Step::Known(_)));
    // It is cut off once more, behind the sync: the create that has the id of the first one is another.
    let mut join = Join::new(sequence(&resync), join.passed());
    assert!(matches!(take(&mut join, &resync, &window), Step::Joined { .. }));
    assert!(matches!(take(&mut join, &create, &window), Step::Append((_, id)) if id != EventId::of(&create)));
    assert!(matches!(take(&mut join, &later, &window), Step::Known(_)));
    assert!(matches!(take(&mut join, &last, &window), Step::Known(_)));
}

#[test]
fn where_a_stream_has_been_is_not_known_of_its_last_event_alone() {
    let (window, [_, create, resync, _, last]) = read_of_the_first();
    // Another reader has appended the last event from the second host, which has the others still to send.
    let resumed = || {
        let mut join = Join::new(sequence(&last), None);
        assert!(matches!(take(&mut join, &last, &window), Step::Joined { .. }));
        join
    };
    assert_eq!(take(&mut resumed(), &create, &window), Step::NotJoined, "known: it is not behind everything");
    assert_eq!(take(&mut resumed(), &resync, &window), Step::NotJoined);
    // When it has shown nothing known for a while, it is behind everything, and behind the sync.
    let mut join = resumed();
    let soon = Event { time_us: last.time_us + CONFIRM_US, ..seen("d", 104) };
    let new = seen("d", 105);
    for event in [soon, new] {
        assert!(matches!(take(&mut join, &event, &window), Step::Append(_)));
    }
    let again = Event { time_us: 106 * MINUTE, ..create.clone() };
    assert!(matches!(take(&mut join, &again, &window), Step::Append((_, id)) if id != EventId::of(&again)));
    // So is a file at once, which may show an event twice.
    let mut file = Join::new(sequence(&last), None).of_a_file();
    assert!(matches!(take(&mut file, &last, &window), Step::Joined { .. }));
    assert!(matches!(take(&mut file, &create, &window), Step::Append(_)));
    assert!(matches!(take(&mut file, &last, &window), Step::Known(_)));
}

#[test]
fn the_event_of_the_position_joins_where_nothing_is_known() {
    let window = Window::new();
    let (sync, behind, new) = (sync("a", 99 * MINUTE, 100 * MINUTE), seen("a", 100), seen("b", 100));
    let to = |position: &Event, last| {
        Join::new(Ask::Time { from_us: 98 * MINUTE, last }, None).behind(Some(EventId::of(position)))
    };
    let mut join = to(&sync, false);
    assert_eq!(take(&mut join, &new, &window), Step::Held);
    assert_eq!(take(&mut join, &sync, &window), Step::Joined { held: vec![with_id(&new)], known: with_id(&sync) });
    let salted = (behind.clone().into(), EventId::of(&behind).behind(EventId::of(&sync)));
    for last in [false, true] {
        let mut join = to(&behind, last);
        assert_eq!(take(&mut join, &sync, &window), Step::Held);
        let joined = Step::Joined { held: vec![with_id(&sync)], known: salted.clone() };
        // It may be told again behind a later sync, and the host's clock be behind.
        assert_eq!(take(&mut join, &behind, &window), if last { joined } else { Step::Held });
    }
    let mut last = Event { cursor: Some(9), ..behind };
    let ask = Ask::Sequence(9, EventId::of(&last));
    assert_eq!(take(&mut Join::new(ask, None), &last, &window), Step::Joined { held: vec![], known: with_id(&last) });
    last.cursor = Some(8);
    assert_eq!(take(&mut Join::new(ask, None), &last, &window), Step::NotJoined);
}
