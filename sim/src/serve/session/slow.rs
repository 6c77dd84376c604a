//! When a client is too slow (jetstream `internal/subscribe/slowdetect.go`): it is measured by its place in the log,
//! so that a narrow filter never counts.

use crate::host::Slow;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Watch {
    limits: Slow,
    /// Since when it is behind, and where it was then.
    behind: Option<(Instant, u64)>,
}

impl Watch {
    pub(super) fn new(limits: Slow) -> Self {
        Self { limits, behind: None }
    }

    /// Whether a client at `position` is too slow, with the tip at `tip`.
    pub(super) fn is_too_slow(&mut self, now: Instant, position: u64, tip: u64) -> bool {
        if tip.saturating_sub(position) <= self.limits.lag {
            self.behind = None;
            return false;
        }
        let (since, from) = *self.behind.get_or_insert((now, position));
        let lasted = now.duration_since(since);
        if lasted < self.limits.window {
            return false;
        }
        let rate = position.saturating_sub(from) as f64 / lasted.as_secs_f64().max(1e-9);
        // A client that keeps the floor rate gets a new window.
        self.behind = Some((now, position));
        rate < self.limits.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_a_long_lag_at_a_low_rate_counts() {
        let mut watch = Watch::new(Slow { lag: 100, window: Duration::from_secs(10), rate: 5.0 });
        let start = Instant::now();
        let mut at = |seconds, position, tip| watch.is_too_slow(start + Duration::from_secs(seconds), position, tip);
        assert!(!at(0, 0, 100));
        assert!(!at(1, 0, 1000));
        assert!(!at(10, 0, 1000), "not long enough");
        assert!(!at(11, 60, 1000), "quick enough");
        assert!(!at(20, 61, 1000));
        assert!(at(21, 70, 1000), "one in a second");
    }
}
