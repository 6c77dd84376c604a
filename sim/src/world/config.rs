//! What makes one world differ from another.

/// 2026-07-01T00:00:00Z: when a world begins that was not told when.
pub const DEFAULT_START_US: i64 = 1_782_864_000_000_000;

/// A world. Equal configurations give equal happenings, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub struct WorldConfig {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many accounts there are.
    pub accounts: u32,
    /// How unequal they are: the exponent of Zipf's law; 0 makes all equally busy.
    pub skew: f64,
    /// Events per second of world time, on average.
    pub rate: f64,
    /// True time of the beginning, in microseconds since the Unix epoch.
    pub start_us: i64,
    /// Share of acts whose records are hard to digest; 0 for benchmarks.
    pub nasty: f64,
    /// Share of acts that replace a repository upstream.
    pub resyncs: f64,
    /// Share of acts that delete an account.
    pub removals: f64,
    /// How often accounts change their handle, or are away for a while: 1 as in the network, 0 never. What is known of such an
    /// account has to be asked for anew: in a small world of few accounts that is much of all.
    pub unrest: f64,
    /// A repository with more records than this is never replaced, since its records are not all remembered.
    pub whole: usize,
    /// How many records may be remembered in all.
    pub remembered: usize,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            accounts: 20_000,
            skew: 0.75,
            rate: 500.0,
            start_us: DEFAULT_START_US,
            nasty: 0.002,
            resyncs: 0.000_4,
            removals: 0.000_2,
            unrest: 1.0,
            whole: 48,
            remembered: 100_000,
        }
    }
}

impl WorldConfig {
    /// The default world of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}
