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
//!   revision than one that the window has of its repository (a stream shows what it repeats of a repository before what
//!   is new of it), is dropped, and what is new is held back: it is released, in order, when
//!   the join is seen, and was never appended if it is not. A sync is not surely in it (it is kept for longer than the window
//!   reaches), and neither is a commit that is known behind a sync which this stream has not shown: it may be the same one
//!   from before that sync.
//! - One known event is not enough for that: a sync brings some again much later. Several have to stand beside each other in the
//!   window as they do in the stream ([`agreed`]).
//! - Of a log that was lost nothing is known but the event of the position ([`Join::behind`]). That one joins, and is new to the
//!   log that has begun anew, like what is held back before it: its place there is behind them. It may be told again behind a
//!   sync, so there it joins only at the limit of what can be rewound.
//! - The clock of a host may be behind by about as much as was rewound: then the time that it is asked for is hardly before the
//!   end of what was appended, or behind it. A known event shows that: where the rewind was in truth less than twice what
//!   orders of hosts differ by, it is no join. Where the clock of the host before was behind, the next one may be asked for a time
//!   before the window: the known event shows that too, and what is held back from before the window is dropped with it.
//! - No known event in time, or a host that has nothing so old, means: not joined; rewind twice as far, never beyond
//!   the window. At that limit a gap is counted with the first that is held back, and the stream goes on from there; what was
//!   dropped since may have been new, and belongs to the gap. For as long as a host has sent nothing new, there is none to tell.

mod agreed;

use crate::event::{Body, Commit, Event};
use crate::id::{EventId, key_hash};
use crate::position::SourcePosition;
use crate::tid;
use crate::window::{ORDER_US, Passed, Window};
use agreed::{Agreed, ENOUGH};
use std::collections::HashMap;
use std::fmt;

/// How far before the last source time another host is asked for at first, in microseconds.
pub const FIRST_REWIND_US: i64 = 2 * 60 * 1_000_000;
/// For how long, in microseconds of source time, a stream that was joined by its sequence behind the last event shows
/// nothing known. A host that stores events twice shows some too: then what it has sent is looked through once more.
pub const CONFIRM_US: i64 = 60 * 1_000_000;
/// A cursor that the spec gives is a time in microseconds from here on, and a sequence below.
const TIMES_FROM: u64 = 1_000_000_000_000_000;
/// How much may be held back before the join is seen.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// What a host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What happens from now on: a pipeline without a position.
    Tip,
    /// The cursor that the spec gives to a pipeline without a position.
    Given(u64),
    /// A sequence number of this host, inclusive, and the event that has to come first.
    Sequence(u64, EventId),
    /// Events from this time on, in microseconds.
    Time {
        /// The time.
        from_us: i64,
        /// Whether a further rewind would reach beyond the window.
        last: bool,
    },
}

impl Ask {
    /// The time from which on events were asked for, in microseconds; a host may begin before it.
    fn since_us(self) -> Option<i64> {
        match self {
            Self::Time { from_us, .. } => Some(from_us),
            Self::Given(cursor) if cursor >= TIMES_FROM => i64::try_from(cursor).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tip => f.write_str("no position yet"),
            Self::Given(cursor) => write!(f, "cursor {cursor}"),
            Self::Sequence(cursor, _) => write!(f, "sequence {cursor}"),
            Self::Time { from_us, .. } => match jiff::Timestamp::from_microsecond(*from_us) {
                Ok(from) => write!(f, "time {from}"),
                Err(_) => write!(f, "time {from_us} us"),
            },
        }
    }
}

/// What a host is asked for, after `rewinds` attempts by time that did not join. `sequences` is false once the host's
/// sequences proved to be new ones. `newest_us` is a time that the last source time is not believed to be after: the
/// reader's clock, or when the newest events were made, if that is earlier (a host whose clock leads by more than the
/// window would make the next one be asked for its future). `reach_us` is how far the window reaches back.
#[must_use]
pub fn ask(position: &SourcePosition, host: &str, sequences: bool, rewinds: u32, newest_us: i64, reach_us: i64) -> Ask {
    match position.cursor {
        Some(cursor) if sequences && position.host == host => Ask::Sequence(cursor, position.id),
        _ => {
            let rewind_us = (FIRST_REWIND_US << rewinds.min(16)).min(reach_us);
            Ask::Time {
                from_us: position.time_us.min(newest_us).saturating_sub(rewind_us),
                last: rewind_us == reach_us,
            }
        }
    }
}

/// An event with its id in the window.
pub type Identified = (Box<Event>, EventId);

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
    passed: Passed,
    held: Vec<Identified>,
    held_bytes: usize,
    /// The source time of the first that is held back, or of the last that was dropped since for being older.
    to_us: Option<i64>,
    /// The window's [`Window::highest`], until the join.
    highest: Option<HashMap<u64, u64>>,
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
        let (held, held_bytes, to_us, highest, agreed) = (Vec::new(), 0, None, None, None);
        let (position, new_until_us, repeats) = (None, i64::MIN, false);
        let from_us = ask.since_us();
        Self { ask, joined, from_us, position, passed, held, held_bytes, to_us, highest, agreed, new_until_us, repeats }
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
            (self.from_us, self.highest, self.agreed) = (None, None, None);
        }
        step
    }

    fn step(&mut self, event: Box<Event>, id: EventId, window: &Window) -> Step {
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
        match self.ask {
            _ if self.joined && known && event.0.time_us <= self.new_until_us => Step::NotJoined,
            _ if self.joined && known => Step::Known(event),
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
                Step::Joined { held: std::mem::take(&mut self.held), known: event }
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
            return Step::Joined { held: self.of_the_window(&event, window), known: event };
        }
        if let Some(agreed) = &mut self.agreed {
            agreed.misses();
        }
        if self.is_older(&event.0, window) {
            if matches!(event.0.body, Body::Sync { .. }) {
                self.passed.is_old(&event.0.key);
            }
            self.to_us = self.to_us.map(|to_us| to_us.max(event.0.time_us));
            return Step::Dropped;
        }
        self.to_us.get_or_insert(event.0.time_us);
        self.held_bytes += event.0.bytes.len();
        self.held.push(event);
        if self.held_bytes <= MAX_HELD_BYTES {
            Step::Held
        } else if self.is_last() {
            Step::Full
        } else {
            Step::NotJoined
        }
    }

    /// What is held back, without what is from before the window by the clock of this host, which a known event tells: another
    /// clock may have made it be asked for a time before it.
    fn of_the_window(&mut self, (known, id): &Identified, window: &Window) -> Vec<Identified> {
        let mut held = std::mem::take(&mut self.held);
        if let Some(from_us) = window.begins_us(*id, known.time_us) {
            held.retain(|(event, _)| event.time_us >= from_us);
        }
        held
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
    fn is_older(&mut self, event: &Event, window: &Window) -> bool {
        if event.made_us().zip(window.join_from_us()).is_some_and(|(made, from)| made < from) {
            return true;
        }
        let rev = match &event.body {
            // Behind a sync that is held back revisions begin anew.
            Body::Commit(Commit { rev, .. }) if !self.passed.is_behind(&event.key) => rev,
            Body::Sync { rev, .. } => rev,
            _ => return false,
        };
        let highest = self.highest.get_or_insert_with(|| window.highest()).get(&key_hash(&event.key));
        highest.zip(tid::bits(rev)).is_some_and(|(highest, rev)| rev <= *highest)
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
        GivenUp::Gap { held: std::mem::take(&mut self.held), to_us: self.to_us }
    }
}

#[cfg(test)]
#[path = "join_lag_tests.rs"]
mod lag_tests;
#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
