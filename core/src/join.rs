//! A resumed stream must be seen to join what is in the log.
//!
//! - The host that gave the last position is asked for its sequence number, which is inclusive: the first event must
//!   bear it and must be the very event of the position. That it is in the window is not enough: a host that numbers
//!   anew, in another order, gives the number to another known event, with unknown ones before it. If it is not the
//!   event, the host has new sequences and is asked like any other. By chance it may be the event all the same: behind
//!   what was appended last everything has to be new for a while ([`CONFIRM_US`]), or the sequences are others.
//! - A host that was joined by time sends for a while what another one has sent before, and may be cut off in the middle of
//!   it: that it is asked for its sequence then does not say that it is behind every sync in the window. So a resumed stream
//!   has [`Passed`] what the connection before it has; where that is not known, it is behind every sync only when that while
//!   is over.
//! - Any other host can only be asked for a time, and clocks of hosts differ: it is asked for at least
//!   [`FIRST_REWIND_US`] before the last source time. What it sends from before the time asked for is dropped. Until
//!   the first events that are surely in the window, what was made before the oldest event in the window, or has no higher
//!   revision than one that the window has of its repository and this stream has not shown yet, is dropped, and what is
//!   new is held back: it is released, in order, when the join is seen, and was never appended if it is not. A sync is not
//!   surely in it (it is kept for longer than the window reaches), and neither is a commit that is known behind a sync which
//!   this stream has not shown: it may be the same one from before that sync.
//! - One known event is not enough for that: a sync brings some again much later. Several have to stand beside each other in the
//!   window as they do in the stream ([`agreed`]).
//! - Of a log that was lost nothing is known but the event of the position ([`Join::behind`]). That one joins, and is new to the
//!   log that has begun anew, like what is held back before it: its place there is behind them. It may be told again behind a
//!   sync, so there it joins only at the limit of what can be rewound.
//! - The clock of a host may be behind by about as much as was rewound: then the time that it is asked for is hardly before the
//!   end of what was appended, or behind it. A known event shows that: where the rewind was in truth less than twice what
//!   orders of hosts differ by, it is no join. Where the clock of the host before was behind, the next one may be asked for a time
//!   before the window: the known event shows that too, and what is held back from before the window is dropped with it.
//! - A log that has just begun has a beginning, and what was sent before that is not wanted. A stream that begins before it shows
//!   the whole log: so what it shows of a repository before the last event that the log has of it ([`Newest`]) is from before
//!   the log, also a little behind the join, for as long as orders of hosts differ by.
//! - No known event in time, or a host that has nothing so old, means: not joined; rewind twice as far, never beyond
//!   the window. At that limit a gap is counted with the first that is held back, and the stream goes on from there; what was
//!   dropped since may have been new, and belongs to the gap. For as long as a host has sent nothing new, there is none to tell.

mod agreed;
mod ask;

pub use ask::{Ask, FIRST_REWIND_US, ask};

use crate::event::{Body, Commit, Event};
use crate::id::{EventId, key_hash};
use crate::tid;
use crate::window::{Newest, ORDER_US, Passed, Window};
use agreed::{Agreed, ENOUGH};
use std::collections::HashMap;

/// For how long, in microseconds of source time, a stream that was joined by its sequence behind the last event shows
/// nothing known. A host that stores events twice shows some too: then what it has sent is looked through once more.
pub const CONFIRM_US: i64 = 60 * 1_000_000;
/// How much may be held back before the join is seen.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// An event with its id in the window.
pub type Identified = (Box<Event>, EventId);

/// An event that waits for the join.
#[derive(Debug)]
struct Held {
    event: Identified,
    /// Whether the window has an event of its repository that the stream had not shown then.
    is_before_known: bool,
}

/// What becomes of an event that was received.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It is new: append it.
    Append(Identified),
    /// It is in the window already.
    Known(Identified),
    /// It is from before the time asked for, or was made before the window: dropped.
    Dropped,
    /// It is new, but the join is not seen yet: held back.
    Held,
    /// The join is seen at this known event: append what was held back, in this order, and then it, where the window does not
    /// have it.
    Joined {
        /// What was held back.
        held: Vec<Identified>,
        /// The known event.
        known: Identified,
    },
    /// The stream does not join: ask anew.
    NotJoined,
    /// It does not join at the limit of the window either, and no more can be held back: [`Join::give_up`].
    Full,
}

/// What becomes of a stream that shows no known event in time.
#[derive(Debug, PartialEq)]
pub enum GivenUp {
    /// It does not join: ask anew.
    NotJoined,
    /// At the limit of the window nothing new has come either: whether anything is missing is not known yet.
    Waits,
    /// At the limit of the window: there is a gap, and the stream goes on with what was held back.
    Gap {
        /// What was held back.
        held: Vec<Identified>,
        /// Up to this source time, in microseconds, something may be missing: what was dropped since the first that was held
        /// back may have been new.
        to_us: Option<i64>,
    },
}

/// Watches one connection until its stream joins.
#[derive(Debug)]
pub struct Join {
    ask: Ask,
    joined: bool,
    /// What is from before this time, in microseconds, was not asked for: until the stream joins, or has begun.
    from_us: Option<i64>,
    /// The event of the position.
    position: Option<EventId>,
    /// The time of the first event, in microseconds.
    began_us: Option<i64>,
    passed: Passed,
    held: Vec<Held>,
    held_bytes: usize,
    /// The source time of the first that is held back, or of the last that was dropped since for being older.
    to_us: Option<i64>,
    /// The window's [`Window::newest`] of which this stream has not shown the last event, until a little behind the join.
    unshown: Option<HashMap<u64, Newest>>,
    /// That is until this source time, in microseconds.
    unshown_until_us: i64,
    /// Known events that stand beside each other, until the join.
    agreed: Option<Agreed>,
    /// Up to this source time nothing is known: the stream was joined behind what was appended last.
    new_until_us: i64,
    /// Whether the stream may show an event twice.
    repeats: bool,
}

impl Join {
    /// A connection that was asked for `ask`. `before`: what was passed up to the position, where that is known.
    #[must_use]
    pub fn new(ask: Ask, before: Option<&Passed>) -> Self {
        let joined = matches!(ask, Ask::Tip | Ask::Given(_));
        let passed = match (ask, before) {
            (Ask::Sequence(..), Some(before)) => before.clone(),
            _ => Passed::new(joined),
        };
        Self {
            ask,
            joined,
            from_us: ask.since_us(),
            position: None,
            began_us: None,
            passed,
            held: Vec::new(),
            held_bytes: 0,
            to_us: None,
            unshown: None,
            unshown_until_us: i64::MIN,
            agreed: None,
            new_until_us: i64::MIN,
            repeats: false,
        }
    }

    /// The same, of a pipeline whose source was read to this event: by it a stream joins where the window knows nothing.
    #[must_use]
    pub fn behind(self, position: Option<EventId>) -> Self {
        Self { position, ..self }
    }

    /// The same for a stream whose numbers are sure and whose events may be there twice: a file.
    #[must_use]
    pub fn of_a_file(self) -> Self {
        Self { repeats: true, passed: Passed::new(true), ..self }
    }

    /// What the stream has passed up to the position, once it has joined.
    #[must_use]
    pub fn passed(&self) -> Option<&Passed> {
        self.joined.then_some(&self.passed)
    }

    /// Whether the join was seen.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// Whether the host was asked for a time, and so may be any.
    #[must_use]
    pub fn is_by_time(&self) -> bool {
        matches!(self.ask, Ask::Time { .. })
    }

    /// Takes the next event of the connection; `id` is the event's own.
    pub fn take(&mut self, event: Box<Event>, id: EventId, window: &Window) -> Step {
        let step = self.step(event, id, window);
        if self.joined && step != Step::Dropped {
            self.passed.join();
            (self.from_us, self.agreed) = (None, None);
        }
        step
    }

    fn step(&mut self, event: Box<Event>, id: EventId, window: &Window) -> Step {
        self.began_us.get_or_insert(event.time_us);
        if self.from_us.is_some_and(|from_us| event.time_us < from_us) {
            return Step::Dropped;
        }
        if self.new_until_us != i64::MIN && event.time_us > self.new_until_us {
            self.new_until_us = i64::MIN;
            self.passed.confirm();
        }
        let own = id;
        let id = window.id(&event, own, &mut self.passed);
        // One that stands behind a sync in the window may be its copy from before that sync, from long ago, where the stream
        // has not shown the sync.
        let exact = id == own || self.passed.is_behind(&event.key);
        let (known, event) = (window.contains(id), (event, id));
        if self.joined && event.0.time_us > self.unshown_until_us {
            self.unshown = None;
        }
        if known && exact {
            self.shows(&event, window);
        }
        match self.ask {
            _ if self.joined && known && event.0.time_us <= self.new_until_us => Step::NotJoined,
            _ if self.joined && known => Step::Known(event),
            _ if self.joined && self.is_before_known(&event.0) => self.drops(&event.0),
            _ if self.joined => Step::Append(event),
            Ask::Sequence(cursor, last) => {
                self.joined = (known || window.is_empty()) && own == last && event.0.cursor == Some(cursor);
                if self.joined && !self.repeats && window.is_last(event.1) {
                    self.new_until_us = event.0.time_us.saturating_add(CONFIRM_US);
                }
                if self.joined { Step::Joined { held: Vec::new(), known: event } } else { Step::NotJoined }
            }
            _ if self.is_position(&event, own, window) => {
                self.joined = true;
                Step::Joined { held: self.release(|_| true), known: event }
            }
            _ => self.by_time(event, known, exact, window),
        }
    }

    /// Whether this is the event of the position, and nothing else is known.
    fn is_position(&self, event: &Identified, own: EventId, window: &Window) -> bool {
        let may_be_told_again = matches!(event.0.body, Body::Commit(_)) && self.passed.is_behind(&event.0.key);
        let is_it = window.is_empty() && self.position == Some(own) && (self.is_last() || !may_be_told_again);
        is_it && !self.is_late(event, window)
    }

    fn by_time(&mut self, event: Identified, known: bool, exact: bool, window: &Window) -> Step {
        // The window remembers a sync again with each commit behind it, for as long as its repository is busy: that one is
        // known does not say that the stream is at the window yet. Neither does a commit that may be an older one.
        if known && (!exact || matches!(event.0.body, Body::Sync { .. }) || window.is_at_edge(event.1)) {
            return Step::Dropped;
        }
        if known && !self.agrees(event.1, window) {
            return Step::Dropped;
        }
        if known && self.is_late(&event, window) {
            return if self.is_last() { Step::Dropped } else { Step::NotJoined };
        }
        if known {
            self.joined = true;
            self.unshown_until_us = event.0.time_us.saturating_add(ORDER_US);
            return Step::Joined { held: self.of_the_window(&event, window), known: event };
        }
        if let Some(agreed) = &mut self.agreed {
            agreed.misses();
        }
        self.unshown.get_or_insert_with(|| window.newest());
        if self.is_older(&event.0, window) {
            self.to_us = self.to_us.map(|to_us| to_us.max(event.0.time_us));
            return self.drops(&event.0);
        }
        self.to_us.get_or_insert(event.0.time_us);
        self.held_bytes += event.0.bytes.len();
        let is_before_known = self.is_before_known(&event.0);
        self.held.push(Held { event, is_before_known });
        if self.held_bytes <= MAX_HELD_BYTES {
            Step::Held
        } else if self.is_last() {
            Step::Full
        } else {
            Step::NotJoined
        }
    }

    /// What is held back, without what is from before the window, or before the log: a known event tells where they begin by the
    /// clock of this host. Another clock may have made it be asked for a time before the window.
    fn of_the_window(&mut self, (known, id): &Identified, window: &Window) -> Vec<Identified> {
        let Some(begins_us) = window.begins_us(*id, known.time_us) else { return self.release(|_| true) };
        let shows_all = self.began_us.is_some_and(|began_us| began_us <= begins_us);
        if !shows_all {
            self.unshown = None;
        }
        self.release(|held| held.event.0.time_us >= begins_us && !(shows_all && held.is_before_known))
    }

    fn release(&mut self, new: impl Fn(&Held) -> bool) -> Vec<Identified> {
        std::mem::take(&mut self.held).into_iter().filter(new).map(|held| held.event).collect()
    }

    fn drops(&mut self, event: &Event) -> Step {
        if matches!(event.body, Body::Sync { .. }) {
            self.passed.is_old(&event.key);
        }
        Step::Dropped
    }

    /// Whether a further rewind would reach beyond the window.
    fn is_last(&self) -> bool {
        matches!(self.ask, Ask::Time { last: true, .. })
    }

    /// Whether this known event and those before it say that the stream is in the window.
    fn agrees(&mut self, id: EventId, window: &Window) -> bool {
        let Some(place) = window.place(id, ENOUGH) else { return false };
        let last = self.is_last();
        let before = self.agreed.take().filter(|agreed| agreed.is_beside(&place));
        let agreed = self.agreed.insert(before.unwrap_or_else(|| Agreed::begin(place, last)));
        agreed.takes(&place);
        agreed.is_enough()
    }

    /// Whether the time that was asked for is, by the clock of this host, too little before the end of what was appended: so a
    /// known event says how far its clock is behind. What it has sent before that time may stand behind the end elsewhere.
    fn is_late(&self, (event, id): &Identified, window: &Window) -> bool {
        let Ask::Time { from_us, .. } = self.ask else { return false };
        let before_us = window.before_end_us(*id, event.made_us());
        let least_us = (2 * ORDER_US).min(window.reach_us() / 2);
        event.time_us.saturating_sub(from_us).saturating_add(before_us) < least_us
    }

    /// Whether an event that is not in the window is from before it.
    fn is_older(&self, event: &Event, window: &Window) -> bool {
        let made_before = event.made_us().zip(window.join_from_us()).is_some_and(|(made, from)| made < from);
        made_before || self.known_revision(event).is_some_and(|(own, highest)| own <= highest)
    }

    /// The revision of an event that is not in the window, and the highest that the window has of its repository, where the
    /// stream has not shown the last event of it.
    fn known_revision(&self, event: &Event) -> Option<(u64, u64)> {
        let rev = match &event.body {
            // Behind a sync that is held back revisions begin anew.
            Body::Commit(Commit { rev, .. }) if !self.passed.is_behind(&event.key) => rev,
            Body::Sync { rev, .. } => rev,
            _ => return None,
        };
        tid::bits(rev).zip(self.newest(event)?.rev)
    }

    /// Whether an event that is not in the window stands before one of its repository that is, on a stream that shows all of
    /// the window. A revision says so by itself.
    fn is_before_known(&self, event: &Event) -> bool {
        match (self.newest(event), self.known_revision(event)) {
            (None, _) => false,
            (_, Some((own, highest))) => own <= highest,
            (Some(newest), None) => {
                newest.rev.is_none() || matches!(event.body, Body::Identity { .. } | Body::Account { .. })
            }
        }
    }

    /// What the window has of the repository, where the stream has not shown the last event of it.
    fn newest(&self, event: &Event) -> Option<&Newest> {
        self.unshown.as_ref()?.get(&key_hash(&event.key))
    }

    /// The stream, which was asked for a time, shows a known event.
    fn shows(&mut self, (event, id): &Identified, window: &Window) {
        if self.joined && self.unshown.is_none() || !self.is_by_time() {
            return;
        }
        let unshown = self.unshown.get_or_insert_with(|| window.newest());
        let key = key_hash(&event.key);
        if unshown.get(&key).is_some_and(|newest| newest.last == *id) {
            unshown.remove(&key);
        }
    }

    /// Events that are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// No known event came in time.
    pub fn give_up(&mut self) -> GivenUp {
        if !self.is_last() {
            return GivenUp::NotJoined;
        }
        if self.held.is_empty() {
            return GivenUp::Waits;
        }
        self.joined = true;
        self.from_us = None;
        self.passed.join();
        GivenUp::Gap { held: self.release(|_| true), to_us: self.to_us }
    }
}

#[cfg(test)]
#[path = "join_begun_tests.rs"]
mod begun_tests;
#[cfg(test)]
#[path = "join_lag_tests.rs"]
mod lag_tests;
#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
