//! World time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Tells how late it is in the world.
#[derive(Debug)]
pub(crate) enum Clock {
    /// Goes on with wall time, `speed` times as fast.
    Runs { began: Instant, from_us: i64, speed: f64 },
    /// Stands until it is set.
    Stands(AtomicI64),
}

impl Clock {
    pub(crate) fn now_us(&self) -> i64 {
        match self {
            Self::Runs { began, from_us, speed } => from_us + (began.elapsed().as_micros() as f64 * speed) as i64,
            Self::Stands(now_us) => now_us.load(Ordering::Acquire),
        }
    }

    /// Up to when hosts have seen what happened: everything, where time stands.
    pub(crate) fn seen_until_us(&self) -> i64 {
        match self {
            Self::Runs { .. } => self.now_us(),
            Self::Stands(_) => i64::MAX,
        }
    }

    /// Moves time on where it stands.
    pub(crate) fn set(&self, us: i64) {
        if let Self::Stands(now_us) = self {
            now_us.fetch_max(us, Ordering::AcqRel);
        }
    }

    /// Wall time until a world time; zero where time stands.
    pub(crate) fn wait(&self, until_us: i64) -> Duration {
        match self {
            Self::Runs { speed, .. } => {
                let world_us = until_us.saturating_sub(self.now_us()).max(0);
                Duration::from_micros((world_us as f64 / speed.max(1e-9)) as u64)
            }
            Self::Stands(_) => Duration::ZERO,
        }
    }
}
