//! A resumed stream must be seen to join what is in the log.
//!
//! - The host that gave the last position is asked for its sequence number, which is inclusive: the first event must
//!   bear it (or, where one commit gives several events, a higher one) and must be in the window. If not, the host has
//!   new sequences and is asked like any other.
//! - Any other host can only be asked for a time, and clocks of hosts differ: it is asked for at least
//!   [`FIRST_REWIND_US`] before the last source time. What it sends from before the time asked for is dropped. Until
//!   the first event that is in the window, what was made before the oldest event in the window is dropped, and what is
//!   new is held back: it is released, in order, when the join is seen, and was never appended if it is not.
//! - No known event in time, or a host that has nothing so old, means: not joined; rewind twice as far, never beyond
//!   the window. At that limit a gap is counted, and the stream goes on from there.

use crate::event::Event;
use crate::id::EventId;
use crate::position::SourcePosition;
use crate::window::{SPAN_US, Window};

/// How far before the last source time another host is asked for at first, in microseconds.
pub const FIRST_REWIND_US: i64 = 2 * 60 * 1_000_000;
/// How much may be held back before the join is seen.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// What a host is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// What happens from now on: a pipeline without a position.
    Tip,
    /// The cursor that the spec gives to a pipeline without a position.
    Given(u64),
    /// A sequence number of this host, inclusive.
    Sequence(u64),
    /// Events from this time on, in microseconds.
    Time {
        /// The time.
        from_us: i64,
        /// Whether a further rewind would reach beyond the window.
        last: bool,
    },
}

/// What a host is asked for, after `rewinds` attempts by time that did not join. `sequences` is false once the host's
/// sequences proved to be new ones. `clock_us` is the reader's clock: a source time ahead of it is not believed.
#[must_use]
pub fn ask(position: &SourcePosition, host: &str, sequences: bool, rewinds: u32, clock_us: i64) -> Ask {
    match position.cursor {
        Some(cursor) if sequences && position.host == host => Ask::Sequence(cursor),
        _ => {
            let rewind_us = (FIRST_REWIND_US << rewinds.min(16)).min(SPAN_US);
            Ask::Time { from_us: position.time_us.min(clock_us) - rewind_us, last: rewind_us == SPAN_US }
        }
    }
}

/// What becomes of an event that was received.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// It is new: append it.
    Append(Box<Event>),
    /// It is in the window already.
    Known(Box<Event>),
    /// It is from before the time asked for, or was made before the window: dropped.
    Dropped,
    /// It is new, but the join is not seen yet: held back.
    Held,
    /// The join is seen at this known event: append what was held back, in this order.
    Joined {
        /// What was held back.
        held: Vec<Box<Event>>,
        /// The known event.
        known: Box<Event>,
    },
    /// The stream does not join: ask anew.
    NotJoined,
}

/// Watches one connection until its stream joins.
#[derive(Debug)]
pub struct Join {
    ask: Ask,
    joined: bool,
    held: Vec<Box<Event>>,
    held_bytes: usize,
}

impl Join {
    /// A connection that was asked for `ask`.
    #[must_use]
    pub fn new(ask: Ask) -> Self {
        let joined = matches!(ask, Ask::Tip | Ask::Given(_));
        Self { ask, joined, held: Vec::new(), held_bytes: 0 }
    }

    /// Whether the join was seen.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// Takes the next event of the connection.
    pub fn take(&mut self, event: Box<Event>, id: EventId, window: &Window) -> Step {
        if self.joined {
            return if window.contains(id) { Step::Known(event) } else { Step::Append(event) };
        }
        match self.ask {
            Ask::Time { from_us, .. } => self.by_time(event, id, window, from_us),
            Ask::Sequence(cursor) => {
                self.joined = window.contains(id) && event.cursor.is_some_and(|c| c >= cursor);
                if self.joined { Step::Joined { held: Vec::new(), known: event } } else { Step::NotJoined }
            }
            Ask::Tip | Ask::Given(_) => Step::Append(event),
        }
    }

    fn by_time(&mut self, event: Box<Event>, id: EventId, window: &Window, from_us: i64) -> Step {
        if event.time_us < from_us {
            return Step::Dropped;
        }
        if window.contains(id) {
            self.joined = true;
            return Step::Joined { held: std::mem::take(&mut self.held), known: event };
        }
        let older = |oldest| event.made_us().is_some_and(|made| made < oldest);
        if window.oldest_made_us().is_some_and(older) {
            return Step::Dropped;
        }
        self.held_bytes += event.bytes.len();
        if self.held_bytes > MAX_HELD_BYTES {
            return Step::NotJoined;
        }
        self.held.push(event);
        Step::Held
    }

    /// No known event came in time. `Some` at the limit of the window: there is a gap, and the stream goes on with
    /// what was held back. `None`: not joined, ask anew.
    pub fn give_up(&mut self) -> Option<Vec<Box<Event>>> {
        let limit = matches!(self.ask, Ask::Time { last: true, .. });
        limit.then(|| {
            self.joined = true;
            std::mem::take(&mut self.held)
        })
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
