//! The limit on requests, as `@atproto/xrpc-server` keeps it: so many in a window that begins with the first of them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Arrivals that are remembered.
const REMEMBERED: usize = 1_000_000;

/// What an AppView has seen so far.
#[derive(Clone, Debug, Default)]
pub struct AppViewStats {
    /// Requests that came, refused ones included.
    pub requests: u64,
    /// Names that were asked for in requests that were answered.
    pub names: u64,
    /// Requests beyond the limit.
    pub over: u64,
    /// Sessions made by password.
    pub sessions: u64,
    /// Sessions refreshed.
    pub refreshes: u64,
    /// When requests came, since the first of them.
    pub arrivals: Vec<Duration>,
}

impl AppViewStats {
    /// The most requests that came within any stretch of this length.
    #[must_use]
    pub fn most_within(&self, length: Duration) -> usize {
        let mut first = 0;
        let counts = self.arrivals.iter().enumerate().map(|(last, at)| {
            while self.arrivals[first] + length <= *at {
                first += 1;
            }
            last + 1 - first
        });
        counts.max().unwrap_or(0)
    }
}

#[derive(Debug)]
pub(crate) struct Limit {
    limit: u32,
    window: Duration,
    began: Option<Instant>,
    used: u32,
    first: Option<Instant>,
    stats: AppViewStats,
}

/// What a request is told of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// When the window ends, in seconds since the Unix epoch.
    pub(crate) reset: u64,
    pub(crate) window: Duration,
    pub(crate) over: bool,
}

impl Limit {
    pub(crate) fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window, began: None, used: 0, first: None, stats: AppViewStats::default() }
    }

    pub(crate) fn request(&mut self) -> Told {
        let now = Instant::now();
        let first = *self.first.get_or_insert(now);
        self.stats.requests += 1;
        if self.stats.arrivals.len() < REMEMBERED {
            self.stats.arrivals.push(now - first);
        }
        let began = match self.began {
            Some(began) if now < began + self.window => began,
            _ => {
                self.used = 0;
                *self.began.insert(now)
            }
        };
        self.used = self.used.saturating_add(1);
        let over = self.used > self.limit;
        self.stats.over += u64::from(over);
        let left = (began + self.window).saturating_duration_since(now);
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + left;
        let remaining = self.limit.saturating_sub(self.used);
        Told { limit: self.limit, remaining, reset: reset.as_secs_f64().ceil() as u64, window: self.window, over }
    }

    pub(crate) fn named(&mut self, names: usize) {
        self.stats.names += names as u64;
    }

    pub(crate) fn stats(&self) -> AppViewStats {
        self.stats.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_the_limit_are_told_until_the_window_ends() {
        let mut limit = Limit::new(2, Duration::from_millis(200));
        let told: Vec<_> = (0..3).map(|_| limit.request()).map(|told| (told.remaining, told.over)).collect();
        assert_eq!(told, [(1, false), (0, false), (0, true)]);
        std::thread::sleep(Duration::from_millis(201));
        assert!(!limit.request().over);
        let stats = limit.stats();
        assert_eq!((stats.requests, stats.over, stats.most_within(Duration::from_millis(200))), (4, 1, 3));
    }
}
