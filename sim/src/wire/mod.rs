//! How a happening is told: JSON of v1 and v2, zstd, and WebSocket frames.

pub(crate) mod dictionary;
pub(crate) mod frame;
pub(crate) mod frames;
pub(crate) mod v1;
pub(crate) mod v2;

use crate::world::Happening;
use std::sync::Arc;

/// The ways in which a host can send its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// `/subscribe`, text.
    V1,
    /// `/subscribe?compress=true`.
    V1Zstd,
    /// `subscribeEvents`, text.
    V2,
    /// `subscribeEvents?zstdDictionary=…`.
    V2Zstd,
}

impl Wire {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V1, Self::V1Zstd, Self::V2, Self::V2Zstd];

    /// Whether it is the second version.
    #[must_use]
    pub fn is_v2(self) -> bool {
        matches!(self, Self::V2 | Self::V2Zstd)
    }

    /// Whether its frames are compressed.
    #[must_use]
    pub fn is_zstd(self) -> bool {
        matches!(self, Self::V1Zstd | Self::V2Zstd)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

/// A happening with the number and the time that a host gave it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    /// When the host saw it, by its own clock, in microseconds since the Unix epoch.
    pub(crate) time_us: i64,
    pub(crate) happening: Arc<Happening>,
}

/// What differs between hosts that speak one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// v1 with `cursor`, as the new server sends it.
    pub(crate) v1_cursor: bool,
    /// v2 with `witnessedAt`, as newer lexicons have it.
    pub(crate) witnessed_at: bool,
}
