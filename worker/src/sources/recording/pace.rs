//! When the events of a recording are due, at the pace at which it was recorded.

use std::time::{Duration, Instant};

/// No pause between two events is longer, in microseconds: a wrong time must not stop the reading.
const MAX_PAUSE_US: i64 = 60_000_000;

/// When the events of a recording are due: as far apart as their times are, within [`MAX_PAUSE_US`].
#[derive(Default)]
pub(super) struct Pace {
    last: Option<(i64, Instant)>,
    /// What events are due before the last one, where times go backwards.
    behind_us: i64,
}

impl Pace {
    /// When an event of this time is due.
    pub(super) fn due(&mut self, time_us: i64) -> Instant {
        let (last_us, last) = self.last.unwrap_or_else(|| (time_us, Instant::now()));
        self.behind_us -= time_us.saturating_sub(last_us).clamp(-MAX_PAUSE_US, MAX_PAUSE_US);
        let due = last + Duration::from_micros(u64::try_from(-self.behind_us).unwrap_or(0));
        self.behind_us = self.behind_us.max(0);
        self.last = Some((time_us, due));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_as_far_apart_as_their_times() {
        let mut pace = Pace::default();
        let first = pace.due(1_000_000);
        let after = |due: Instant| due.duration_since(first).as_secs_f64();
        assert_eq!(after(pace.due(3_000_000)), 2.0);
        assert_eq!(after(pace.due(2_000_000)), 2.0, "times that go backwards are due at once");
        assert_eq!(after(pace.due(3_500_000)), 2.5, "and are not made up for");
    }

    #[test]
    fn a_wrong_time_delays_a_minute_at_most() {
        for wrong in [i64::MAX, i64::MIN] {
            let mut pace = Pace::default();
            let first = pace.due(1_000_000);
            for time_us in [wrong, 1_000_000, 2_000_000] {
                let due = pace.due(time_us).duration_since(first).as_secs();
                assert!(due <= 61, "{wrong}: {due} s");
            }
            assert!(pace.due(5_000_000).duration_since(first) <= Duration::from_secs(64));
        }
    }
}
