//! Where a subscription begins (jetstream `internal/subscribe/cursor.go`; `pkg/consumer` for the old server).

use super::config::{Flavour, HostConfig, TimeCursors};
use super::log::Log;
use super::segment::Segment;

/// Numbers from here on are times in microseconds, below it sequences.
pub(crate) const FIRST_TIME: i64 = 1_000_000_000_000_000;

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    Live,
    Seq(u64),
    Time(i64),
}

/// Why a cursor is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("subscribe: invalid cursor: {}", crate::json::quoted(.0))]
    Unreadable(String),
    #[error("subscribe: invalid cursor: negative value {0}")]
    Negative(i64),
    /// The old server's words.
    #[error("invalid cursor: {0}")]
    Old(String),
}

impl Cursor {
    pub(crate) fn parse(text: Option<&str>, flavour: Flavour) -> Result<Self, CursorError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::Live) };
        match (flavour, text.parse::<i64>()) {
            (Flavour::Old, Ok(time)) => Ok(Self::Time(time)),
            (Flavour::Old, Err(_)) => Err(CursorError::Old(text.into())),
            (Flavour::New, Err(_)) => Err(CursorError::Unreadable(text.into())),
            (Flavour::New, Ok(number @ ..0)) => Err(CursorError::Negative(number)),
            (Flavour::New, Ok(number @ FIRST_TIME..)) => Ok(Self::Time(number)),
            (Flavour::New, Ok(number)) => Ok(Self::Seq(number as u64)),
        }
    }
}

/// Where a subscription begins, and what v2 tells about it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) seq: u64,
    pub(crate) notice: Option<Notice>,
}

/// What an `#info` frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A time below the retention floor.
    BelowFloor,
    /// A time before the first event.
    BeforeOldest,
    /// A sequence beyond the next one.
    Future(u64),
}

/// `CursorTooOld`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    pub(crate) cursor: u64,
    pub(crate) floor: u64,
}

impl Log {
    /// Where a cursor points at `now_us` by the host's clock. `clamp`: a sequence below the floor is moved up to it.
    pub(crate) fn resolve(
        &self,
        cursor: Cursor,
        now_us: i64,
        clamp: bool,
        config: &HostConfig,
    ) -> Result<Start, TooOld> {
        let at = |seq| Ok(Start { seq, notice: None });
        match cursor {
            _ if config.lookback_us == 0 => at(self.next_seq()),
            Cursor::Live => at(self.next_seq()),
            Cursor::Seq(cursor) if cursor > self.next_seq() => {
                Ok(Start { seq: self.next_seq(), notice: Some(Notice::Future(cursor)) })
            }
            Cursor::Seq(cursor) => match (cursor.max(1), self.floor(now_us, config)) {
                (cursor, floor) if cursor >= floor => at(cursor),
                (_, floor) if clamp => at(floor),
                (cursor, floor) => Err(TooOld { cursor, floor }),
            },
            Cursor::Time(time) if time > now_us => at(self.next_seq()),
            Cursor::Time(time) => Ok(self.at_time(time, now_us, config)),
        }
    }

    /// First sequence of the first sealed segment that reaches into the lookback; that of the newest sealed one where
    /// none does; 0 without sealed ones (`internal/manifest`).
    fn floor(&self, now_us: i64, config: &HostConfig) -> u64 {
        let oldest_us = now_us.saturating_sub(config.lookback_us);
        let mut sealed = self.segments().iter().take(self.segments().len() - 1);
        let inside = sealed.clone().find(|segment| segment.last_us() >= oldest_us);
        inside.or_else(|| sealed.next_back()).map_or(0, Segment::first_seq)
    }

    fn at_time(&self, time_us: i64, now_us: i64, config: &HostConfig) -> Start {
        let floor = self.floor(now_us, config).max(self.oldest());
        let clamped = |notice| Start { seq: floor, notice: Some(notice) };
        let Some(segment) = self.segments().iter().find(|segment| segment.last_us() >= time_us) else {
            return Start { seq: self.next_seq(), notice: None };
        };
        let row = segment.blocks().iter().find(|block| block.last_us() >= time_us);
        let row = row.and_then(|block| block.rows().iter().find(|row| row.time_us >= time_us));
        let exact = row.map_or(self.next_seq(), |row| row.seq);
        if exact < floor {
            return clamped(Notice::BelowFloor);
        }
        if exact == floor && row.is_some_and(|row| row.time_us > time_us) {
            return clamped(if floor > config.sequence_base.max(1) {
                Notice::BelowFloor
            } else {
                Notice::BeforeOldest
            });
        }
        let whole = config.flavour == Flavour::New && config.time_cursors == TimeCursors::SegmentStart;
        Start { seq: if whole { segment.first_seq().max(floor) } else { exact }, notice: None }
    }
}
