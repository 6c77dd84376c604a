//! Faults on demand. Each is one that a real network has shown, or that its protocol does not rule out.

mod kind;
mod order;
mod schedule;
#[cfg(test)]
mod tests;

pub use kind::{Kind, UnknownKind};
pub(crate) use order::{Odd, Order};
pub use schedule::{Planned, Schedule};

use std::fmt;
use std::time::Duration;

/// Something that goes wrong on one host. "All connections" are those that are open at that moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// All connections are dropped, without a close frame.
    Cut {
        /// In the middle of a frame.
        mid_frame: bool,
    },
    /// All connections send no events for so long; pings are answered.
    Stall {
        /// How long.
        lasts: Duration,
    },
    /// All connections fall silent for good: no event, no pong, and no end either.
    HalfOpen,
    /// The last events come again.
    Duplicate {
        /// How many.
        last: usize,
        /// Stored again, under new sequences; or only sent again on the open connections, under their own.
        new_sequences: bool,
    },
    /// All connections are dropped, and what is sent from then on has DIDs interleaved in another way. As that gives
    /// events other sequences, it is a restart with new ones too.
    Reorder {
        /// How far events move at most.
        within: Duration,
        /// The first of the new sequences.
        base: u64,
    },
    /// A frame that cannot be read.
    Garbage {
        /// What is in it.
        what: Garbage,
        /// In place of the next event, which this connection does not send; or besides.
        instead: bool,
    },
    /// A frame that is too large, of a type that nobody knows. Compressed, it is small.
    Oversized {
        /// Bytes of the message before compression.
        bytes: usize,
    },
    /// A binary frame that no zstd decoder can read.
    CorruptZstd {
        /// In place of the next event, which this connection does not send; or besides.
        instead: bool,
    },
    /// All connections are dropped, and subscriptions meet 503 for so long, while the health page says yes.
    Loading {
        /// How long.
        lasts: Duration,
    },
    /// All connections are dropped, and sequences start anew: old ones mean other events, or none.
    NewSequences {
        /// The first of the new sequences.
        base: u64,
    },
    /// All connections are dropped, and nothing listens for so long.
    Down {
        /// How long.
        lasts: Duration,
    },
    /// All connections are dropped, and requests meet 429 for so long.
    TooManyRequests {
        /// How long.
        lasts: Duration,
    },
    /// All connections are dropped for being slow: v2 says so in an error frame.
    TooSlow,
    /// The v2 dictionary gets another number: connections with the old one go on, new ones with it meet 400.
    NewDictionary,
}

/// Frames that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Text that is no JSON.
    NotJson,
    /// JSON that ends too soon.
    Truncated,
    /// JSON of another shape.
    OtherShape,
    /// An array, a number, a string: JSON that is no object.
    NoObject,
    /// A binary frame with bytes that are no UTF-8.
    Bytes,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Kind::of(self))?;
        match self {
            Self::Cut { mid_frame } => write!(f, " mid_frame={mid_frame}"),
            Self::Stall { lasts }
            | Self::Loading { lasts }
            | Self::Down { lasts }
            | Self::TooManyRequests { lasts } => write!(f, " for {lasts:?}"),
            Self::Duplicate { last, new_sequences } => write!(f, " last={last} new_sequences={new_sequences}"),
            Self::Reorder { within, base } => write!(f, " within {within:?} base={base}"),
            Self::Garbage { what, instead } => write!(f, " {what:?} instead={instead}"),
            Self::Oversized { bytes } => write!(f, " bytes={bytes}"),
            Self::CorruptZstd { instead } => write!(f, " instead={instead}"),
            Self::NewSequences { base } => write!(f, " base={base}"),
            Self::HalfOpen | Self::TooSlow | Self::NewDictionary => Ok(()),
        }
    }
}
