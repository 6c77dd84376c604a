//! The dedup window: which events were taken lately, whichever host sent them.
//!
//! Invariants:
//! - every event that was appended to the log is in the window until it is older than the span, measured in window
//!   time: source time that never runs ahead of the reader's clock and never backwards, that goes on evenly when another
//!   host with another clock takes over ([`Window::align`]), and that no event moves on by more than a second: a few wrong
//!   times among many do not flush it, also where the reader is far behind its clock;
//! - the last event taken is always in it, however old: a resumed stream is recognised by it;
//! - a commit behind a sync of its repository is another event than the same one before it: the creates that follow a
//!   sync may bear ids that were there before, and a rewound stream sends both again. So a commit's id in the window is
//!   salted with the sync that its stream has [`Passed`];
//! - a sync that salts an id in the window is known to the window.

mod mark;
mod passed;

pub use mark::Mark;
pub use passed::Passed;

use crate::event::{Body, Event};
use crate::id::{EventId, key_hash};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

/// How far back the window reaches, in microseconds of source time.
pub const SPAN_US: i64 = 15 * 60 * 1_000_000;
/// How much of the window's beginning is no place to join: hosts differ a little in their order, and what one sends behind
/// an event of the very edge may have been forgotten already.
pub const EDGE_US: i64 = 60 * 1_000_000;
/// By how much an event moves window time on at most, in microseconds.
const STEP_US: i64 = 1_000_000;
/// By how much, in microseconds, the orders of hosts may differ, and an event that one has not sent yet is behind the
/// beginning of a window all the same.
pub(crate) const ORDER_US: i64 = 15 * 1_000_000;
/// How many events it holds at most; above that it reaches less far back, and says so by [`Window::span_us`].
pub const MAX_EVENTS: usize = 500_000;

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

/// A sync in the window.
#[derive(Clone, Copy, Debug)]
struct Sync {
    id: EventId,
    /// Window time of the last event that may be salted with it.
    used_us: i64,
}

/// Where an event stands in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Window time, in microseconds.
    pub time_us: i64,
    /// How many events stand behind it.
    pub before_end: usize,
    /// The hash of its key and its revision; what has no revision is one of its own.
    pub revision: (u64, u64),
    /// How many different revisions there are from it on, as far as was counted.
    pub behind: usize,
    /// The same of all of the window.
    pub all: usize,
}

/// What the window has of a repository. Every host shows what it has of one in the same order: until a stream has shown the
/// last event, what is not known is from before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its last event that is no sync.
    pub last: EventId,
    /// The highest revision behind the last sync, zero where there is none; what has a higher one is new. `None` where only
    /// the account is known.
    pub rev: Option<u64>,
}

/// The events taken lately.
#[derive(Default)]
pub struct Window {
    ids: HashSet<u128, BuildHasherDefault<Unhashed>>,
    order: VecDeque<Mark>,
    /// By key, in the order in which they were taken, or remembered again.
    syncs: HashMap<u64, Vec<Sync>>,
    now_us: i64,
    /// Window time less the time of the host that is read.
    offset_us: i64,
    /// Whether it began in the middle of what was taken lately.
    cut: bool,
    /// The oldest time when syncs were looked through last.
    swept_us: i64,
}

impl Window {
    /// An empty window.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts stored marks in again, in the order in which they were taken.
    pub fn restore(&mut self, marks: impl IntoIterator<Item = Mark>) {
        marks.into_iter().for_each(|mark| self.put(mark));
    }

    /// What was restored is not all that was taken lately: of what is older, nothing is known.
    pub fn cut(&mut self) {
        self.cut = true;
    }

    /// The id that the event has in the window, on a stream that has passed these syncs; a sync is passed hereby.
    /// [`Window::contains`] says whether the event was taken before.
    pub fn id(&self, event: &Event, id: EventId, passed: &mut Passed) -> EventId {
        match &event.body {
            Body::Sync { .. } => {
                passed.prune(|key, sync| {
                    self.syncs.get(&key).is_some_and(|known| known.iter().any(|one| one.id == sync))
                });
                passed.last.insert(key_hash(&event.key), id);
                id
            }
            Body::Commit(_) if !self.syncs.is_empty() || !passed.last.is_empty() => {
                self.salted(key_hash(&event.key), id, passed)
            }
            _ => id,
        }
    }

    fn salted(&self, key: u64, id: EventId, passed: &Passed) -> EventId {
        let syncs = self.syncs.get(&key).map_or(&[][..], Vec::as_slice);
        // One that was taken and is not here was so long ago that it no longer salts, nor does it what was taken since.
        let salts = |sync: &&EventId| !passed.taken || syncs.iter().rev().any(|known| known.id == **sync);
        if let Some(sync) = passed.last.get(&key).filter(salts) {
            return id.behind(*sync);
        }
        let newest = syncs.last().map_or(id, |sync| id.behind(sync.id));
        if passed.all {
            return newest;
        }
        let mut newest_first = syncs.iter().rev().map(|sync| id.behind(sync.id)).chain([id]);
        newest_first.find(|id| self.contains(*id)).unwrap_or(newest)
    }

    /// Whether the event of this id is one of the oldest, behind which events may have been forgotten; never in a window that
    /// still has everything.
    #[must_use]
    pub fn is_at_edge(&self, id: EventId) -> bool {
        let edge_us = self.oldest_us().saturating_add(EDGE_US);
        self.is_cut() && self.order.iter().take_while(|mark| mark.time_us < edge_us).any(|mark| mark.id == id)
    }

    /// Whether the window may have forgotten something.
    fn is_cut(&self) -> bool {
        self.cut || self.span_us() >= SPAN_US - EDGE_US || self.order.len() >= MAX_EVENTS
    }

    /// How far back a stream may begin and everything that was taken is known of it, in microseconds of source time.
    #[must_use]
    pub fn reach_us(&self) -> i64 {
        if self.is_cut() { (self.span_us() - EDGE_US).max(0) } else { SPAN_US }
    }

    /// Whether this is what was appended last.
    #[must_use]
    pub fn is_last(&self, id: EventId) -> bool {
        self.order.back().is_some_and(|mark| mark.id == id)
    }

    /// Where the event of this id stands; of revisions only so many are counted.
    #[must_use]
    pub fn place(&self, id: EventId, most: usize) -> Option<Place> {
        let (mut revisions, mut found) = (HashSet::new(), None);
        for (before_end, mark) in self.order.iter().rev().enumerate().filter(|(_, mark)| mark.rev != Mark::SYNC) {
            if revisions.len() < most {
                revisions.insert(mark.revision());
            }
            if mark.id == id {
                found = Some((mark, before_end, revisions.len()));
            }
            if found.is_some() && revisions.len() == most {
                break;
            }
        }
        let (mark, before_end, behind) = found?;
        Some(Place { time_us: mark.time_us, before_end, revision: mark.revision(), behind, all: revisions.len() })
    }

    /// Whether an event of this id was taken before.
    #[must_use]
    pub fn contains(&self, id: EventId) -> bool {
        self.ids.contains(&id.0)
    }

    /// Takes an event that is not in the window, and returns what has to be stored for it. `id` is that of
    /// [`Window::id`], `clock_us` is the reader's clock.
    pub fn take(&mut self, event: &Event, id: EventId, clock_us: i64) -> Vec<Mark> {
        let most_us = if self.is_empty() { clock_us } else { clock_us.min(self.now_us.saturating_add(STEP_US)) };
        let time_us = self.now_us.max(event.time_us.saturating_add(self.offset_us).min(most_us));
        let rev = match &event.body {
            Body::Commit(commit) => crate::tid::bits(&commit.rev).unwrap_or(0),
            Body::Sync { .. } => Mark::SYNC,
            Body::Identity { .. } | Body::Account { .. } => 0,
        };
        let key = key_hash(&event.key);
        // What is stored of a sync would be too old one day, while events that are salted with it are still here.
        let syncs = self.salts(event, id, key).into_iter().map(|id| Mark { id, key, rev: Mark::SYNC, time_us });
        let marks: Vec<Mark> = syncs.chain([Mark { id, key, rev, time_us }]).collect();
        self.restore(marks.iter().copied());
        marks
    }

    /// The sync that the id is salted with, and those behind it, so that their order stays; nearly always it alone.
    fn salts(&self, event: &Event, id: EventId, key: u64) -> Vec<EventId> {
        let Some(syncs) = self.syncs.get(&key).filter(|_| matches!(event.body, Body::Commit(_))) else {
            return Vec::new();
        };
        let own = EventId::of(event);
        let salt = syncs.iter().rposition(|sync| id != own && own.behind(sync.id) == id);
        salt.map_or_else(Vec::new, |salt| syncs[salt..].iter().map(|sync| sync.id).collect())
    }

    /// A stream joined at this known event, which its host gives the time `time_us`: from here on that host's clock
    /// counts. Without this, a host whose clock leads would flush the window, and one whose clock lags would freeze it.
    pub fn align(&mut self, id: EventId, time_us: i64) {
        if let Some(mark) = self.order.iter().rev().find(|mark| mark.id == id) {
            self.offset_us = mark.time_us.saturating_sub(time_us);
        }
    }

    /// Whether the host that is read gives this known event the time that it has: another host's clock gives it another one.
    #[must_use]
    pub fn is_aligned(&self, id: EventId, time_us: i64) -> bool {
        let mark = self.order.iter().rev().find(|mark| mark.id == id);
        mark.is_some_and(|mark| mark.time_us.saturating_sub(time_us) == self.offset_us)
    }

    /// Takes bytes that are no event, and returns what has to be stored for them.
    pub fn take_unreadable(&mut self, id: EventId) -> Vec<Mark> {
        let mark = Mark { id, key: 0, rev: 0, time_us: self.now_us };
        self.put(mark);
        vec![mark]
    }

    fn put(&mut self, mark: Mark) {
        self.now_us = self.now_us.max(mark.time_us);
        if self.ids.insert(mark.id.0) {
            self.order.push_back(mark);
        }
        if mark.rev == Mark::SYNC {
            let syncs = self.syncs.entry(mark.key).or_default();
            if let Some(known) = syncs.iter().rposition(|sync| sync.id == mark.id) {
                syncs.remove(known);
            }
            syncs.push(Sync { id: mark.id, used_us: mark.time_us });
        }
        self.forget();
        debug_assert_eq!(self.ids.len(), self.order.len());
    }

    /// Drops what is too old or too much.
    fn forget(&mut self) {
        let from_us = self.now_us - SPAN_US;
        while self.order.len() > MAX_EVENTS
            || self.order.front().is_some_and(|mark| mark.time_us < from_us && self.order.len() > 1)
        {
            let Some(old) = self.order.pop_front() else { return };
            self.ids.remove(&old.id.0);
        }
        let oldest_us = self.oldest_us();
        if oldest_us.saturating_sub(self.swept_us) >= EDGE_US {
            // A sync salts the ids behind it for as long as any of them may be here.
            self.syncs.retain(|_, syncs| {
                syncs.retain(|sync| sync.used_us >= oldest_us);
                !syncs.is_empty()
            });
            self.swept_us = oldest_us;
        }
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

    /// Before this, by the clock of a host that gives this known event the time `time_us`, nothing that is not in the window is
    /// new: it is from before its beginning, or was forgotten; `None` where the event is not known. Near its end that is not
    /// sure, but on the host that was read before: others may have sent what they have in another order.
    #[must_use]
    pub fn begins_us(&self, id: EventId, time_us: i64) -> Option<i64> {
        let known = self.order.iter().rposition(|mark| mark.id == id)?;
        let edge_us = self.oldest_us().saturating_add(if self.is_cut() { EDGE_US } else { 0 });
        let first = self.order.partition_point(|mark| mark.time_us < edge_us).min(known);
        let begins_us = time_us.saturating_sub(self.between_us(first, known));
        if self.is_aligned(id, time_us) {
            return Some(begins_us);
        }
        let end_us = time_us.saturating_add(self.now_us - self.order[known].time_us).saturating_sub(ORDER_US);
        Some(begins_us.min(end_us))
    }

    /// How far one mark stands behind another, in microseconds: by window time, or by when they were made, where that is more and
    /// window time went on by little since events were few.
    fn between_us(&self, first: usize, last: usize) -> i64 {
        let (marks, taken_us) = (last - first, self.order[last].time_us - self.order[first].time_us);
        let between = self.order.range(first..=last).zip(self.order.range(first + 1..=last));
        let held_up = between.filter(|(one, next)| next.time_us - one.time_us == STEP_US).count();
        if 4 * held_up < marks.max(1) {
            return taken_us;
        }
        // Some, so that no single wrong clock counts.
        let most = if marks < 9 { 1 } else { 9 };
        let made = |marks: Vec<i64>| marks.get(middle(&marks)).copied();
        let ends =
            [made(made_us(self.order.range(..=last).rev(), most)), made(made_us(self.order.range(first..), most))];
        let [Some(last_us), Some(first_us)] = ends else { return taken_us };
        taken_us.max(last_us.saturating_sub(first_us))
    }

    /// What was made before this and is not in the window is from before it, by the clocks of the makers; `None` without
    /// commits. Where the window no longer has everything, it is when the oldest commits behind its edge were made: the middle
    /// of 65, so that no single wrong clock moves it. Where it has everything, it may hold less than the hosts' orders differ
    /// by, and nothing is missed for being earlier: it is a little before the oldest of 65, but for an eighth of them.
    #[must_use]
    pub fn join_from_us(&self) -> Option<i64> {
        if self.is_cut() {
            let edge_us = self.oldest_us().saturating_add(EDGE_US);
            return middle_made_us(self.order.iter().skip_while(|mark| mark.time_us < edge_us));
        }
        let made = made_us(self.order.iter(), 65);
        let (oldest, middle) = (made.get(made.len() / 8)?, made.get(middle(&made))?);
        Some((*oldest).max(middle.saturating_sub(EDGE_US)).saturating_sub(ORDER_US))
    }

    /// The last event of each repository that it has, by the hash of its key; nothing where the window may have forgotten
    /// something.
    #[must_use]
    pub fn newest(&self) -> HashMap<u64, Newest> {
        let mut all = HashMap::<u64, Newest>::new();
        if self.is_cut() {
            return all;
        }
        for mark in self.order.iter().filter(|mark| mark.key != 0) {
            if mark.rev == Mark::SYNC {
                all.entry(mark.key).and_modify(|newest| newest.rev = Some(0));
                continue;
            }
            let newest = all.entry(mark.key).or_insert(Newest { last: mark.id, rev: None });
            newest.last = mark.id;
            if mark.rev != 0 {
                newest.rev = newest.rev.max(Some(mark.rev));
            }
        }
        all
    }

    /// How far an event of this id, made then, stands before the last that was taken, in microseconds: by window time, or by
    /// when they were made, where that is more. Window time goes on by little where events are few.
    #[must_use]
    pub fn before_end_us(&self, id: EventId, made_us: Option<i64>) -> i64 {
        let mark = self.order.iter().rev().find(|mark| mark.id == id);
        let taken_us = mark.map_or(0, |mark| self.now_us - mark.time_us);
        // The middle of five, so that no single wrong clock counts.
        let last = self::made_us(self.order.iter().rev(), 5);
        let made_us = last.get(middle(&last)).zip(made_us).map(|(last, made)| last.saturating_sub(made));
        taken_us.max(made_us.unwrap_or(0))
    }

    /// The same of the 65 newest: about the true time, whatever the hosts' clocks say.
    #[must_use]
    pub fn newest_made_us(&self) -> Option<i64> {
        middle_made_us(self.order.iter().rev())
    }
}

/// When the first `most` commits were made, sorted.
fn made_us<'a>(marks: impl Iterator<Item = &'a Mark>, most: usize) -> Vec<i64> {
    let revs = marks.map(|mark| mark.rev).filter(|rev| *rev != 0 && *rev != Mark::SYNC);
    let mut made: Vec<i64> = revs.take(most).map(|bits| (bits >> 10) as i64).collect();
    made.sort_unstable();
    made
}

fn middle(made: &[i64]) -> usize {
    made.len().saturating_sub(1) / 2
}

fn middle_made_us<'a>(marks: impl Iterator<Item = &'a Mark>) -> Option<i64> {
    let made = made_us(marks, 65);
    made.get(middle(&made)).copied()
}

#[cfg(test)]
mod tests;
