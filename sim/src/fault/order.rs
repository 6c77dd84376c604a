//! What a host tells its open sessions.

use super::{Fault, Garbage};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) enum Order {
    Cut {
        mid_frame: bool,
    },
    Stall(Duration),
    HalfOpen,
    /// Send the last events again.
    Again(usize),
    /// Send this frame; in place of the next event, or besides.
    Odd {
        frame: Odd,
        instead: bool,
    },
    TooSlow,
}

/// A frame that no server should send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Odd {
    Garbage(Garbage),
    Oversized(usize),
    CorruptZstd,
}

impl Order {
    /// What a fault means for sessions; `None` where it is not about them.
    pub(crate) fn of(fault: &Fault) -> Option<Self> {
        Some(match *fault {
            Fault::Cut { mid_frame } => Self::Cut { mid_frame },
            Fault::Stall { lasts } => Self::Stall(lasts),
            Fault::HalfOpen => Self::HalfOpen,
            Fault::Duplicate { last, new_sequences: false } => Self::Again(last),
            Fault::Duplicate { .. } | Fault::NewDictionary => return None,
            Fault::Garbage { what, instead } => Self::Odd { frame: Odd::Garbage(what), instead },
            Fault::Oversized { bytes } => Self::Odd { frame: Odd::Oversized(bytes), instead: false },
            Fault::CorruptZstd { instead } => Self::Odd { frame: Odd::CorruptZstd, instead },
            Fault::TooSlow => Self::TooSlow,
            Fault::Reorder { .. }
            | Fault::Loading { .. }
            | Fault::NewSequences { .. }
            | Fault::Down { .. }
            | Fault::TooManyRequests { .. } => Self::Cut { mid_frame: false },
        })
    }
}
