use super::passed::PRUNE;
use super::*;
use crate::testing::{account, commit, sync};

const MINUTE: i64 = 60_000_000;

/// Takes an event on a stream that has passed everything; says whether it was new.
fn take(window: &mut Window, event: &Event) -> bool {
    take_on(window, event, &mut Passed::new(true))
}

fn take_on(window: &mut Window, event: &Event, passed: &mut Passed) -> bool {
    let id = window.id(event, EventId::of(event), passed);
    let new = !window.contains(id);
    if new {
        window.pass_until(event);
        window.take(event, id, i64::MAX);
    }
    new
}

impl Window {
    /// Time passes until shortly before the event, as if others had come.
    pub(crate) fn pass_until(&mut self, event: &Event) {
        self.now_us = self.now_us.max(event.time_us + self.offset_us - STEP_US);
    }
}

#[test]
fn what_was_taken_is_known_until_it_is_older_than_the_span() {
    let mut window = Window::new();
    let first = commit("a", 1, "r1", MINUTE);
    assert!(take(&mut window, &first));
    assert!(!take(&mut window, &first));
    assert!(take(&mut window, &commit("a", 2, "r2", 16 * MINUTE)));
    assert!(!take(&mut window, &first));
    assert!(take(&mut window, &commit("a", 3, "r3", 16 * MINUTE + 1)));
    assert!(take(&mut window, &first));
}

#[test]
fn the_last_event_stays_however_old() {
    let mut window = Window::new();
    let event = account("a", true, MINUTE);
    take(&mut window, &event);
    window.put(Mark { id: EventId(7), key: 0, rev: 0, time_us: 1000 * MINUTE });
    assert!(window.contains(EventId(7)));
    assert_eq!(window.len(), 1);
}

#[test]
fn a_time_ahead_of_the_clock_does_not_flush_the_window() {
    let mut window = Window::new();
    let first = commit("a", 1, "r1", MINUTE);
    window.take(&first, EventId::of(&first), MINUTE);
    let ahead = commit("b", 2, "r2", 10_000 * MINUTE);
    window.take(&ahead, EventId::of(&ahead), MINUTE + 5);
    assert!(window.contains(EventId::of(&first)));
    assert_eq!(window.span_us(), 5);
}

/// A reader that is an hour behind its clock, and a host that gives a hundred events wrong times.
#[test]
fn wrong_times_do_not_flush_the_window_of_a_reader_that_is_behind() {
    let mut window = Window::new();
    let first = commit("a", 1, "r1", MINUTE);
    window.take(&first, EventId::of(&first), 61 * MINUTE);
    for n in 0..100 {
        let wrong = commit("b", n, "r", 10_000 * MINUTE + n);
        window.take(&wrong, EventId::of(&wrong), 61 * MINUTE);
    }
    assert!(window.contains(EventId::of(&first)));
    assert_eq!(window.span_us(), 100 * STEP_US);
    for n in 0..1000 {
        let right = commit("c", n, "r", 21 * MINUTE + n);
        window.take(&right, EventId::of(&right), 61 * MINUTE);
    }
    assert!(!window.contains(EventId::of(&first)), "it is 15 minutes later");
}

/// A commit, a sync at its own revision, and the same commit behind it, and one behind that.
fn resynced() -> [Event; 4] {
    [commit("a", 5, "x", 1), sync("a", 5, 2), commit("a", 5, "x", 3), commit("a", 6, "y", 4)]
}

#[test]
fn the_create_behind_a_sync_may_bear_the_id_of_the_one_before() {
    let mut window = Window::new();
    for event in &resynced() {
        assert!(take(&mut window, event), "{event:?}");
    }
    for event in &resynced()[1..] {
        assert!(!take(&mut window, event), "again, behind all syncs: {event:?}");
    }
}

#[test]
fn a_rewound_stream_sends_both_sides_of_a_sync_again() {
    let mut window = Window::new();
    for event in &resynced() {
        take(&mut window, event);
    }
    // From each place on, with or without the sync in it; twice, as of two hosts.
    for (round, from) in [0, 1, 2, 3, 0, 1, 2, 3].into_iter().enumerate() {
        let mut passed = Passed::new(false);
        for event in &resynced()[from..] {
            assert!(!take_on(&mut window, event, &mut passed), "from {from}: {event:?}");
        }
        let new = commit("a", 7 + round as i64, "z", 5);
        assert!(take_on(&mut window, &new, &mut passed));
    }
}

#[test]
fn a_stream_cut_behind_a_sync_goes_on_with_its_creates() {
    let mut window = Window::new();
    let [before, replaced, create, later] = resynced();
    take(&mut window, &before);
    take(&mut window, &replaced);
    // Exactly behind the sync.
    assert!(take_on(&mut window, &create, &mut Passed::new(true)));
    // From before it: the commit before is known, the one behind is known, and what comes then is new.
    let mut passed = Passed::new(false);
    assert!(!take_on(&mut window, &before, &mut passed));
    assert!(!take_on(&mut window, &replaced, &mut passed));
    assert!(!take_on(&mut window, &create, &mut passed));
    assert!(take_on(&mut window, &later, &mut passed));
}

/// A window, and what is stored of it: only the marks that are young enough.
struct Stored {
    window: Window,
    batches: Vec<Vec<u8>>,
}

impl Stored {
    fn take(&mut self, event: &Event, passed: &mut Passed) -> bool {
        let id = self.window.id(event, EventId::of(event), passed);
        if self.window.contains(id) {
            return false;
        }
        let mut stored = Vec::new();
        self.window.pass_until(event);
        self.window.take(event, id, i64::MAX).iter().for_each(|mark| mark.write(&mut stored));
        self.batches.push(stored);
        true
    }

    /// The process starts anew.
    fn reload(&mut self) {
        let marks = self.batches.iter().map(|batch| Mark::read(batch).unwrap());
        let young = |batch: &Vec<Mark>| batch.last().is_some_and(|mark| mark.time_us >= self.window.oldest_us());
        let mut window = Window::new();
        window.restore(marks.filter(young).flatten());
        self.window = window;
    }
}

#[test]
fn a_sync_salts_for_as_long_as_what_is_behind_it_stays() {
    for restarts in [false, true] {
        let mut stored = Stored { window: Window::new(), batches: Vec::new() };
        let mut live = Passed::new(true);
        let late = commit("a", 6, "x", 14 * MINUTE);
        assert!(stored.take(&sync("a", 5, 0), &mut live));
        assert!(stored.take(&late, &mut live));
        assert!(stored.take(&commit("b", 7, "x", 20 * MINUTE), &mut live));
        if restarts {
            stored.reload();
        }
        assert!(!stored.take(&late, &mut Passed::new(false)), "rewound to behind the sync");
        assert!(!stored.take(&late, &mut live), "again on the same stream");
        assert!(stored.take(&commit("b", 8, "x", 40 * MINUTE), &mut live));
        // The sync is too old now, also for the stream that has seen it.
        let later = commit("a", 9, "x", 41 * MINUTE);
        assert!(stored.take(&later, &mut live));
        assert!(!stored.take(&later, &mut live));
        if restarts {
            stored.reload();
        }
        assert!(!stored.take(&later, &mut Passed::new(false)));
        assert!(!stored.take(&later, &mut Passed::new(true)));
    }
}

#[test]
fn many_syncs_of_one_account_cost_two_marks_an_event_at_most() {
    let mut stored = Stored { window: Window::new(), batches: Vec::new() };
    let mut live = Passed::new(true);
    for n in 0..500 {
        assert!(stored.take(&sync("a", 10 * n, n), &mut live));
        assert!(stored.take(&commit("a", 10 * n + 1, "x", n), &mut live));
    }
    let marks: usize = stored.batches.iter().map(|batch| batch.len() / mark::LEN).sum();
    assert_eq!(marks, 500 * 3, "a sync stores its own mark, a commit behind it both");
    stored.reload();
    let mut again = Passed::new(false);
    for n in 0..500 {
        assert!(!stored.take(&sync("a", 10 * n, n), &mut again));
        assert!(!stored.take(&commit("a", 10 * n + 1, "x", n), &mut again));
    }
}

#[test]
fn syncs_keep_their_order_when_an_earlier_one_is_used_again() {
    let mut stored = Stored { window: Window::new(), batches: Vec::new() };
    let mut live = Passed::new(true);
    assert!(stored.take(&sync("a", 5, 0), &mut live));
    assert!(stored.take(&sync("a", 9, 10 * MINUTE), &mut live));
    // A rewound stream has passed the first sync only, and shows a commit that the other host left out.
    let mut rewound = Passed::new(false);
    assert!(!stored.take(&sync("a", 5, 0), &mut rewound));
    assert!(stored.take(&commit("a", 6, "left out", 12 * MINUTE), &mut rewound));
    assert!(stored.take(&commit("b", 7, "x", 20 * MINUTE), &mut live));
    stored.reload();
    let later = commit("a", 10, "behind both", 21 * MINUTE);
    assert!(stored.take(&later, &mut Passed::new(true)));
    let mut again = Passed::new(false);
    stored.take(&sync("a", 9, 10 * MINUTE), &mut again);
    assert!(!stored.take(&later, &mut again), "it was taken behind the second sync, not behind the first");
}

#[test]
fn it_loads_as_it_was_stored() {
    let (mut window, mut stored) = (Window::new(), Vec::new());
    let mut passed = Passed::default();
    for event in &resynced() {
        let id = window.id(event, EventId::of(event), &mut passed);
        window.take(event, id, i64::MAX).iter().for_each(|mark| mark.write(&mut stored));
    }
    let mut loaded = Window::new();
    loaded.restore(Mark::read(&stored).unwrap());
    assert_eq!(loaded.order, window.order);
    assert_eq!(loaded.len(), 4);
    for event in &resynced()[1..] {
        assert!(!take(&mut loaded, event));
    }
    assert!(Mark::read(&stored[1..]).is_none());
}

#[test]
fn a_host_with_another_clock_neither_flushes_nor_freezes_the_window() {
    for clock in [-20 * MINUTE, 20 * MINUTE] {
        let mut window = Window::new();
        let (old, last) = (commit("a", 1, "x", 30 * MINUTE), commit("b", 2, "x", 40 * MINUTE));
        take(&mut window, &old);
        take(&mut window, &last);
        window.align(EventId::of(&last), 40 * MINUTE + clock);
        take(&mut window, &commit("c", 3, "x", 44 * MINUTE + clock));
        assert!(window.contains(EventId::of(&old)));
        assert_eq!(window.span_us(), 14 * MINUTE);
        take(&mut window, &commit("d", 4, "x", 46 * MINUTE + clock));
        assert!(!window.contains(EventId::of(&old)));
    }
}

#[test]
fn one_wrong_clock_does_not_move_the_oldest() {
    let mut window = Window::new();
    assert_eq!(window.join_from_us(), None);
    for minute in [1, 100, 101, 102, 103] {
        take(&mut window, &commit("a", minute * MINUTE, "x", minute * MINUTE));
    }
    let joins = window.join_from_us().unwrap();
    assert_eq!((joins, window.newest_made_us()), (100 * MINUTE - ORDER_US, Some(101 * MINUTE)));
    window.cut();
    assert_eq!(window.join_from_us(), Some(102 * MINUTE), "behind its edge, the middle");
}

#[test]
fn a_window_of_a_part_says_where_all_is_known() {
    let mut window = Window::new();
    assert_eq!(window.reach_us(), SPAN_US, "nothing was taken before it");
    let (leftover, last) = (commit("a", 1, "x", MINUTE), commit("b", 2, "x", 5 * MINUTE));
    take(&mut window, &leftover);
    take(&mut window, &last);
    assert!(!window.is_at_edge(EventId::of(&leftover)));
    window.cut();
    assert_eq!(window.reach_us(), 3 * MINUTE);
    assert!(window.is_at_edge(EventId::of(&leftover)) && !window.is_at_edge(EventId::of(&last)));
}

#[test]
fn syncs_are_forgotten_with_what_they_salt_also_where_the_number_of_events_is_the_limit() {
    let mut window = Window::new();
    let mut passed = Passed::new(true);
    let span = MAX_EVENTS as u64 + 2 * PRUNE as u64;
    let id = |n: u64| EventId(u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    // 500 events of each time: all of them reach back for far less than the span.
    for n in 0..span {
        let time_us = 10 * MINUTE + (n / 500 * 200_000) as i64;
        if n < 2 * PRUNE as u64 {
            take_on(&mut window, &sync(&format!("k{n}"), 5, time_us), &mut passed);
        } else {
            window.put(Mark { id: id(n), key: n, rev: 0, time_us });
        }
    }
    assert_eq!(passed.last.len(), 2 * PRUNE);
    for n in span..2 * span {
        let time_us = 10 * MINUTE + (n / 500 * 200_000) as i64;
        window.put(Mark { id: id(n), key: n, rev: 0, time_us });
    }
    assert!(window.span_us() < SPAN_US && window.syncs.is_empty());
    take_on(&mut window, &sync("last", 5, 20 * MINUTE), &mut passed);
    assert_eq!(passed.last.len(), 1, "what the window has forgotten, the stream need not remember");
}

#[test]
fn a_sync_that_the_window_has_forgotten_salts_nothing_new_on_the_stream_that_showed_it() {
    let mut stored = Stored { window: Window::new(), batches: Vec::new() };
    // A stream that has joined shows a sync that is known, and goes on for longer than it stays.
    assert!(stored.take(&sync("a", 5, 0), &mut Passed::new(true)));
    assert!(stored.take(&commit("b", 6, "x", 14 * MINUTE), &mut Passed::new(true)));
    let mut live = Passed::new(false);
    live.join();
    assert!(!stored.take(&sync("a", 5, 0), &mut live));
    assert!(stored.take(&commit("b", 7, "x", 16 * MINUTE), &mut live));
    let late = commit("a", 8, "x", 17 * MINUTE);
    assert!(stored.take(&late, &mut live));
    assert!(!stored.take(&late, &mut Passed::new(false)), "another host");
    stored.reload();
    assert!(!stored.take(&late, &mut Passed::new(false)), "another process");
}
