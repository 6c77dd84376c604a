//! What a host is asked for.

use crate::id::EventId;
use crate::position::SourcePosition;
use std::fmt;

/// How far before the last source time another host is asked for at first, in microseconds.
pub const FIRST_REWIND_US: i64 = 2 * 60 * 1_000_000;
/// A cursor that the spec gives is a time in microseconds from here on, and a sequence below.
pub(super) const TIMES_FROM: u64 = 1_000_000_000_000_000;

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
    pub(super) fn since_us(self) -> Option<i64> {
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
