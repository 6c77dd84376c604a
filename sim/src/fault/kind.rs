//! Faults by name.

use super::{Fault, Garbage};
use crate::world::Dice;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A fault without its figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is described at the fault of its name")]
pub enum Kind {
    Cut,
    Stall,
    HalfOpen,
    Duplicate,
    Reorder,
    Garbage,
    Oversized,
    CorruptZstd,
    Loading,
    NewSequences,
    Down,
    TooManyRequests,
    TooSlow,
    NewDictionary,
}

const NAMES: [(Kind, &str); 14] = [
    (Kind::Cut, "cut"),
    (Kind::Stall, "stall"),
    (Kind::HalfOpen, "half-open"),
    (Kind::Duplicate, "duplicate"),
    (Kind::Reorder, "reorder"),
    (Kind::Garbage, "garbage"),
    (Kind::Oversized, "oversized"),
    (Kind::CorruptZstd, "corrupt-zstd"),
    (Kind::Loading, "loading"),
    (Kind::NewSequences, "new-sequences"),
    (Kind::Down, "down"),
    (Kind::TooManyRequests, "too-many-requests"),
    (Kind::TooSlow, "too-slow"),
    (Kind::NewDictionary, "new-dictionary"),
];

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = {
        let mut all = [Self::Cut; 14];
        let mut at = 0;
        while at < all.len() {
            all[at] = NAMES[at].0;
            at += 1;
        }
        all
    };

    /// Those that lose nothing for a reader who takes up where it stopped, and leave no frame that means nothing:
    /// all but garbage, oversized frames and corrupt ones.
    #[must_use]
    pub fn clean() -> Vec<Self> {
        let odd = [Self::Garbage, Self::Oversized, Self::CorruptZstd];
        Self::ALL.into_iter().filter(|kind| !odd.contains(kind)).collect()
    }

    /// The kind of a fault.
    #[must_use]
    pub fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Cut { .. } => Self::Cut,
            Fault::Stall { .. } => Self::Stall,
            Fault::HalfOpen => Self::HalfOpen,
            Fault::Duplicate { .. } => Self::Duplicate,
            Fault::Reorder { .. } => Self::Reorder,
            Fault::Garbage { .. } => Self::Garbage,
            Fault::Oversized { .. } => Self::Oversized,
            Fault::CorruptZstd { .. } => Self::CorruptZstd,
            Fault::Loading { .. } => Self::Loading,
            Fault::NewSequences { .. } => Self::NewSequences,
            Fault::Down { .. } => Self::Down,
            Fault::TooManyRequests { .. } => Self::TooManyRequests,
            Fault::TooSlow => Self::TooSlow,
            Fault::NewDictionary => Self::NewDictionary,
        }
    }

    /// A fault of this kind with figures by chance; times are about `unit` long.
    pub(crate) fn draw(self, dice: &mut Dice, unit: Duration) -> Fault {
        let lasts = unit.mul_f64(0.2 + dice.unit());
        // Small bases make old sequences mean nothing yet, large ones make them too old; those between other events.
        let digits = dice.between(1, 7) as u32;
        let base = dice.between(1, 10_i64.pow(digits)) as u64;
        match self {
            Self::Cut => Fault::Cut { mid_frame: dice.chance(0.5) },
            Self::Stall => Fault::Stall { lasts },
            Self::HalfOpen => Fault::HalfOpen,
            Self::Duplicate => Fault::Duplicate { last: 1 + dice.below(50), new_sequences: dice.chance(0.5) },
            Self::Reorder => Fault::Reorder { within: lasts, base },
            Self::Garbage => Fault::Garbage { what: dice.pick(&GARBAGE), instead: dice.chance(0.5) },
            Self::Oversized => Fault::Oversized { bytes: 40 << 20 },
            Self::CorruptZstd => Fault::CorruptZstd { instead: dice.chance(0.5) },
            Self::Loading => Fault::Loading { lasts },
            Self::NewSequences => Fault::NewSequences { base },
            Self::Down => Fault::Down { lasts },
            Self::TooManyRequests => Fault::TooManyRequests { lasts },
            Self::TooSlow => Fault::TooSlow,
            Self::NewDictionary => Fault::NewDictionary,
        }
    }
}

const GARBAGE: [Garbage; 5] =
    [Garbage::NotJson, Garbage::Truncated, Garbage::OtherShape, Garbage::NoObject, Garbage::Bytes];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name))
    }
}

/// No fault has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fault is named {0:?}")]
pub struct UnknownKind(String);

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let found = NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(kind, _)| *kind).ok_or_else(|| UnknownKind(text.into()))
    }
}
