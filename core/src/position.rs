//! Where a source was read to.

use crate::id::EventId;
use std::fmt;

/// Log sequences of one generation: a log that takes the place of one that was lost begins at the next multiple of this.
pub const GENERATION: u64 = 1 << 40;

/// The generation of a log sequence.
#[must_use]
pub fn generation(seq: u64) -> u64 {
    seq / GENERATION
}

/// The first sequence of the generation behind that of `highest`.
#[must_use]
pub fn next_generation(highest: u64) -> u64 {
    (generation(highest) + 1) * GENERATION
}

/// A place in a source. Sequence numbers belong to one host; times are understood by every host, give or take its
/// clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// Whose cursor it is: a host with its port, or the identity of a recording.
    pub host: String,
    /// Sequence number at that host, or line number of a recording; `None` where the host gives none.
    pub cursor: Option<u64>,
    /// The source time of the last event, in microseconds.
    pub time_us: i64,
    /// The last event: a host that numbers anew gives its sequence number to another one.
    pub id: EventId,
}

impl fmt::Display for SourcePosition {
    /// `<host>|<cursor>`, as it stands in headers and in the status; the time where there is no cursor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cursor {
            Some(cursor) => write!(f, "{}|{cursor}", self.host),
            None => write!(f, "{}|{}", self.host, self.time_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_only_grow() {
        for highest in [0, 1, GENERATION - 1, GENERATION, 7 * GENERATION + 3] {
            let first = next_generation(highest);
            assert!(
                first > highest && first.is_multiple_of(GENERATION) && generation(first) == generation(highest) + 1
            );
        }
    }
}
