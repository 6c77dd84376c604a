//! Rates over the last seconds, and how far behind the source is.

use super::stats::{Rates, Source};
use std::collections::VecDeque;
use std::time::Instant;

/// Samples over which rates are taken; one comes each second.
const SAMPLES: usize = 10;

/// The last samples: when, events read, entries committed.
#[derive(Default)]
pub(super) struct Samples(VecDeque<(Instant, u64, u64)>);

impl Samples {
    /// Takes a sample of two counters that only grow.
    pub(super) fn take(&mut self, read: u64, committed: u64) {
        self.0.push_back((Instant::now(), read, committed));
        if self.0.len() > SAMPLES {
            self.0.pop_front();
        }
    }

    /// What they grew by in a second.
    pub(super) fn rates(&self) -> Rates {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else { return Rates::default() };
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        if seconds <= 0.0 {
            return Rates::default();
        }
        Rates { read: (last.1 - first.1) as f64 / seconds, committed: (last.2 - first.2) as f64 / seconds }
    }
}

impl Source {
    /// The age of the last event in seconds, by this machine's clock.
    pub(super) fn lag(&self) -> Option<f64> {
        let now_us = jiff::Timestamp::now().as_microsecond();
        self.time_us.map(|time_us| now_us.saturating_sub(time_us).max(0) as f64 / 1e6)
    }
}
