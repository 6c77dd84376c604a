//! The dedup window: which events were taken lately, whichever host sent them.
//!
//! Invariants:
//! - every event that was appended to the log is in the window until it is older than the span, measured in source
//!   time that never runs ahead of the reader's clock and never backwards;
//! - the last event taken is always in it, however old: a resumed stream is recognised by it;
//! - a sync that is taken clears the commits of its key at its own revision or a higher one, since the creates that
//!   follow a sync may bear an id that was there before. A sync that was seen before clears nothing.

use crate::event::{Body, Event};
use crate::id::{EventId, key_hash};
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How far back the window reaches, in microseconds of source time.
pub const SPAN_US: i64 = 15 * 60 * 1_000_000;
/// How many events it holds at most; above that it reaches less far back, and says so by [`Window::span_us`].
pub const MAX_EVENTS: usize = 500_000;
/// The size of a stored [`Mark`].
const MARK_LEN: usize = 40;

/// What the window remembers of one event, or that commits were cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event's id; zero for a clearing.
    pub id: EventId,
    /// Hash of the event's key.
    pub key: u64,
    /// The bits of a commit's revision (a TID), zero for other kinds; for a clearing the lowest revision that goes.
    pub rev: u64,
    /// Window time in microseconds.
    pub time_us: i64,
}

impl Mark {
    const CLEARING: EventId = EventId(0);

    /// Appends the mark's 40 bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.id.0.to_le_bytes());
        to.extend_from_slice(&self.key.to_le_bytes());
        to.extend_from_slice(&self.rev.to_le_bytes());
        to.extend_from_slice(&self.time_us.to_le_bytes());
    }

    /// Reads marks back, `None` where the length is not a whole number of marks.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Vec<Self>> {
        let (marks, rest) = bytes.as_chunks::<MARK_LEN>();
        rest.is_empty().then(|| marks.iter().map(Self::of_bytes).collect())
    }

    fn of_bytes(bytes: &[u8; MARK_LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            id: EventId(u128::from(word(0)) | u128::from(word(8)) << 64),
            key: word(16),
            rev: word(24),
            time_us: word(32) as i64,
        }
    }
}

/// The ids themselves are hashes.
#[derive(Default)]
struct Unhashed(u64);

impl Hasher for Unhashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        debug_assert_eq!(bytes.len(), 16, "only ids are kept here");
        for (byte, shift) in bytes.iter().take(8).zip((0..64).step_by(8)) {
            self.0 |= u64::from(*byte) << shift;
        }
    }
    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }
}

/// The events taken lately.
#[derive(Default)]
pub struct Window {
    ids: HashSet<u128, BuildHasherDefault<Unhashed>>,
    order: VecDeque<Mark>,
    now_us: i64,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A window from stored marks, in the order in which they were taken.
    #[must_use]
    pub fn load(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut window = Self::new();
        for mark in marks {
            window.put(mark);
        }
        window
    }

    /// Whether the event was taken before.
    #[must_use]
    pub fn contains(&self, id: EventId) -> bool {
        self.ids.contains(&id.0)
    }

    /// Takes an event that is not in the window, and appends what has to be stored for it to `marks`. `clock_us` is
    /// the reader's clock.
    pub fn take(&mut self, event: &Event, id: EventId, clock_us: i64, marks: &mut Vec<u8>) {
        let key = key_hash(&event.key);
        let time_us = self.now_us.max(event.time_us.min(clock_us));
        let mut put = |mark: Mark| {
            mark.write(marks);
            self.put(mark);
        };
        let bits = |rev: &str| crate::tid::bits(rev).unwrap_or(0);
        let rev = match &event.body {
            Body::Sync { rev, .. } => {
                put(Mark { id: Mark::CLEARING, key, rev: bits(rev), time_us });
                0
            }
            Body::Commit(commit) => bits(&commit.rev),
            Body::Identity { .. } | Body::Account { .. } => 0,
        };
        put(Mark { id, key, rev, time_us });
    }

    /// Takes bytes that are no event.
    pub fn take_unreadable(&mut self, id: EventId, marks: &mut Vec<u8>) {
        let mark = Mark { id, key: 0, rev: 0, time_us: self.now_us };
        mark.write(marks);
        self.put(mark);
    }

    fn put(&mut self, mark: Mark) {
        if mark.id == Mark::CLEARING {
            self.clear(mark.key, mark.rev);
            return;
        }
        self.now_us = self.now_us.max(mark.time_us);
        if self.ids.insert(mark.id.0) {
            self.order.push_back(mark);
        }
        while self.order.len() > MAX_EVENTS
            || self.order.front().is_some_and(|m| m.time_us < self.now_us - SPAN_US && self.order.len() > 1)
        {
            if let Some(old) = self.order.pop_front() {
                self.ids.remove(&old.id.0);
            }
        }
        debug_assert_eq!(self.ids.len(), self.order.len());
    }

    fn clear(&mut self, key: u64, from_rev: u64) {
        let ids = &mut self.ids;
        self.order.retain(|mark| {
            let stays = mark.key != key || mark.rev == 0 || mark.rev < from_rev;
            if !stays {
                ids.remove(&mark.id.0);
            }
            stays
        });
    }

    /// Events in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing was taken yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How far back the window reaches now, in microseconds of source time.
    #[must_use]
    pub fn span_us(&self) -> i64 {
        self.order.front().map_or(0, |oldest| self.now_us - oldest.time_us)
    }

    /// Stored marks with a time below this are no longer needed.
    #[must_use]
    pub fn oldest_us(&self) -> i64 {
        self.order.front().map_or(i64::MIN, |oldest| oldest.time_us)
    }

    /// When the oldest commits in the window were made, by the clocks of their makers: the middle of the 65 oldest,
    /// so that no single wrong clock moves it. `None` without commits.
    #[must_use]
    pub fn oldest_made_us(&self) -> Option<i64> {
        let mut revs: Vec<u64> = self.order.iter().map(|mark| mark.rev).filter(|rev| *rev != 0).take(65).collect();
        revs.sort_unstable();
        revs.get(revs.len().saturating_sub(1) / 2).map(|bits| (bits >> 10) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{account, commit, sync};

    const MINUTE: i64 = 60_000_000;

    fn take(window: &mut Window, event: &Event) -> bool {
        let id = EventId::of(event);
        let new = !window.contains(id);
        if new {
            window.take(event, id, i64::MAX, &mut Vec::new());
        }
        new
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
        window.take(&first, EventId::of(&first), MINUTE, &mut Vec::new());
        let ahead = commit("b", 2, "r2", 10_000 * MINUTE);
        window.take(&ahead, EventId::of(&ahead), 2 * MINUTE, &mut Vec::new());
        assert!(window.contains(EventId::of(&first)));
        assert_eq!(window.span_us(), MINUTE);
    }

    #[test]
    fn a_sync_clears_commits_of_its_key_from_its_revision_on() {
        let mut window = Window::new();
        let (old, own, other) = (commit("a", 1, "x", 1), commit("a", 5, "x", 2), commit("b", 5, "x", 3));
        let state = account("a", true, 4);
        for event in [&old, &own, &other, &state] {
            take(&mut window, event);
        }
        let replaced = sync("a", 5, 5);
        assert!(take(&mut window, &replaced));
        assert!(take(&mut window, &own), "the create after the sync bears the id of the one before");
        assert!(!take(&mut window, &replaced), "the same sync again is known and clears nothing");
        for event in [&old, &own, &other, &state] {
            assert!(!take(&mut window, event));
        }
    }

    #[test]
    fn it_loads_as_it_was_stored() {
        let (mut window, mut stored) = (Window::new(), Vec::new());
        for event in [commit("a", 1, "x", 1), commit("a", 5, "x", 2), sync("a", 5, 3), commit("b", 6, "x", 4)] {
            window.take(&event, EventId::of(&event), i64::MAX, &mut stored);
        }
        let loaded = Window::load(Mark::read(&stored).unwrap());
        assert_eq!(loaded.order, window.order);
        assert_eq!(loaded.len(), 3);
        assert!(Mark::read(&stored[1..]).is_none());
    }

    #[test]
    fn one_wrong_clock_does_not_move_the_oldest() {
        let mut window = Window::new();
        assert_eq!(window.oldest_made_us(), None);
        for rev in [1, 100, 101, 102, 103] {
            take(&mut window, &commit("a", rev, "x", rev));
        }
        assert_eq!(window.oldest_made_us(), Some(101));
        assert_eq!(window.len(), 5);
    }
}
