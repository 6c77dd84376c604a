//! What makes one host differ from another.

use std::time::Duration;

/// One server's view of the world, and its manners.
#[derive(Clone, Debug, PartialEq)]
pub struct HostConfig {
    /// For logs.
    pub name: String,
    /// Which implementation it is.
    pub flavour: Flavour,
    /// How far its clock is ahead of the truth, in microseconds; negative where it lags.
    pub clock_offset_us: i64,
    /// The first sequence number that it gives.
    pub sequence_base: u64,
    /// Share of rows after which some numbers are given to nothing, as after a crash or a compaction; 0 makes
    /// sequences contiguous.
    pub vacancies: f64,
    /// It sees each DID's events with a delay of its own, constant and up to this; so hosts interleave DIDs
    /// differently, and the order within each DID is the same everywhere.
    pub skew_us: i64,
    /// How far back cursors reach, by its own clock. 0: cursors are ignored.
    pub lookback_us: i64,
    /// How many events it keeps at most, in whole segments; 0 for no limit but the lookback.
    pub keep: usize,
    /// How much time a segment holds, in microseconds.
    pub segment_us: i64,
    /// Where a cursor that is a time begins.
    pub time_cursors: TimeCursors,
    /// v2 commits and others with `witnessedAt`, as newer lexicons have it.
    pub witnessed_at: bool,
    /// v2 tells `#info FutureCursor` for a sequence beyond the next one, as newer servers do.
    pub future_cursor: bool,
    /// How it treats its clients.
    pub manners: Manners,
}

/// The implementations that speak v1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// The server of 2026: v1 (with `cursor`) and v2.
    #[default]
    New,
    /// The server before it: v1 only, cursors are times only.
    Old,
}

/// Where a cursor that is a time begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeCursors {
    /// At the start of the segment that holds the time, as seen on the public network.
    #[default]
    SegmentStart,
    /// At the first event that is not older.
    Exact,
}

/// Times and limits towards clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Manners {
    /// Time between pings.
    pub ping_every: Duration,
    /// A pong must come within this. Nothing is sent meanwhile. (`Flavour::Old` does not wait for it.)
    pub pong_within: Duration,
    /// A client that takes nothing for so long is dropped.
    pub write_within: Duration,
    /// When a client is too slow.
    pub slow: Slow,
    /// Size of the socket's send buffer; none leaves it to the system.
    pub send_buffer: Option<u32>,
}

/// A client is too slow when it is behind by more than `lag` sequences for all of `window`, and took fewer than
/// `rate` sequences per second meanwhile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// Sequences behind the tip.
    pub lag: u64,
    /// For how long.
    pub window: Duration,
    /// Sequences per second.
    pub rate: f64,
}

impl Default for HostConfig {
    /// The figures of jetstream's `config.go`: 36 hours of lookback.
    fn default() -> Self {
        Self {
            name: String::from("sim"),
            flavour: Flavour::New,
            clock_offset_us: 0,
            sequence_base: 1,
            vacancies: 0.0,
            skew_us: 0,
            lookback_us: 36 * 3_600 * 1_000_000,
            keep: 0,
            segment_us: 180 * 1_000_000,
            time_cursors: TimeCursors::SegmentStart,
            witnessed_at: false,
            future_cursor: false,
            manners: Manners::default(),
        }
    }
}

impl HostConfig {
    /// So many hosts like this one, each with a name, a sequence base (a million apart) and a clock of its own: the
    /// second one's lags by `spread`, the third one's leads by as much, the fourth one's lags by twice that, …
    #[must_use]
    pub fn several(&self, count: usize, spread: Duration) -> Vec<Self> {
        let spread_us = spread.as_micros() as i64;
        let host = |number: i64| Self {
            name: format!("{}-{number}", self.name),
            clock_offset_us: self.clock_offset_us
                + (number + 1) / 2 * if number % 2 == 0 { spread_us } else { -spread_us },
            sequence_base: self.sequence_base + number as u64 * 1_000_000,
            ..self.clone()
        };
        (0..count as i64).map(host).collect()
    }
}

impl Default for Manners {
    /// The figures of jetstream's `handler.go` and `config.go`.
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(30),
            pong_within: Duration::from_secs(5),
            write_within: Duration::from_secs(5),
            slow: Slow { lag: 100_000, window: Duration::from_secs(60), rate: 5.0 },
            send_buffer: None,
        }
    }
}
