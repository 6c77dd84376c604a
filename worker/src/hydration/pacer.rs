//! When the next call may be sent: within this worker's share of the pipeline's rate, within what the server says of its
//! limits, and not to a server that does not answer.
//!
//! Invariants:
//! - between two calls there is at least the time that the share gives to one: no burst, so that in any stretch of time no
//!   worker sends more than its share and one call;
//! - what the server says wins where it is less than what the file says; it never raises it;
//! - a server that fails again and again is left alone for a while that grows, then one call tries it ([`Breaker`]).

use super::limits::Limits;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::backoff::Backoff;
use turbo_core::budget::Share;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 3;
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Between looks at a share that gives nothing for now.
const LOOK: Duration = Duration::from_millis(250);

/// This worker's share, kept by whoever sees the plans.
#[derive(Clone, Debug)]
pub struct Shared {
    share: Arc<Mutex<Share>>,
    /// What the share's times count from.
    began: Instant,
}

impl Shared {
    /// A share whose times begin now.
    #[must_use]
    pub fn new(share: Share) -> Self {
        Self { share: Arc::new(Mutex::new(share)), began: Instant::now() }
    }

    /// Changes it; the time is now, or that of a moment before.
    pub fn change(&self, change: impl FnOnce(&mut Share, Duration)) {
        change(&mut self.share.lock().unwrap_or_else(PoisonError::into_inner), self.began.elapsed());
    }

    /// A moment as the share counts it.
    #[must_use]
    pub fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.began)
    }

    fn now(&self) -> Option<u32> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner).at(self.began.elapsed())
    }
}

/// Paces the calls of one worker.
#[derive(Debug)]
pub struct Pacer {
    /// Calls in a second for the whole pipeline.
    rate: f64,
    share: Shared,
    /// When the last call was sent.
    last: Option<Instant>,
    /// What the server says, and when it said so.
    said: Option<(Instant, Limits)>,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    breaker: Breaker,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, or a refusal of what was asked.
    Answered,
    /// The server wants to be left alone for so long.
    Busy(Duration),
    /// The server fails, or is not there.
    Failed,
}

impl Pacer {
    /// For a pipeline with this many calls in a second, of which `share` is this worker's.
    #[must_use]
    pub fn new(rate: f64, share: Shared) -> Self {
        Self { rate, share, last: None, said: None, not_before: None, breaker: Breaker::default() }
    }

    /// Waits until the next call may be sent, and counts it as sent.
    pub async fn turn(&mut self) {
        loop {
            match self.due() {
                Some(due) if due <= Instant::now() => break,
                Some(due) => tokio::time::sleep_until(due.min(Instant::now() + LOOK)).await,
                None => tokio::time::sleep(LOOK).await,
            }
        }
        self.last = Some(Instant::now());
        self.breaker.sent();
    }

    /// When the next call may be sent, as things are; `None` while nothing may.
    fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let among = self.share.now()?;
        let rate = self.rate_of(now) / f64::from(among);
        let gap = Duration::try_from_secs_f64(1.0 / rate).ok()?;
        let paced = self.last.map_or(now, |last| last + gap);
        self.breaker
            .may_send()
            .then(|| paced.max(self.not_before.unwrap_or(now)).max(self.breaker.not_before.unwrap_or(now)))
    }

    /// The whole pipeline's rate: what the file says, or less where the server says so.
    fn rate_of(&self, now: Instant) -> f64 {
        let Some((at, limits)) = self.said else { return self.rate };
        let left = limits.reset.saturating_sub(now.saturating_duration_since(at));
        if left.is_zero() {
            // A new window has begun; what the last one was like is the best guess.
            let whole = limits.window.map(|window| f64::from(limits.limit) / window.as_secs_f64());
            // One that allows nothing at all would never be asked whether it still does.
            return whole.filter(|whole| *whole > 0.0).map_or(self.rate, |whole| self.rate.min(whole));
        }
        self.rate.min(f64::from(limits.remaining) / limits.reset.as_secs_f64())
    }

    /// What became of a call, and what the server said with it.
    pub fn ended(&mut self, outcome: Outcome, limits: Option<Limits>) {
        let now = Instant::now();
        if let Some(limits) = limits {
            self.said = Some((now, limits));
        }
        match outcome {
            Outcome::Answered => self.breaker.closed(),
            Outcome::Busy(wait) => {
                self.breaker.closed();
                self.not_before = self.not_before.max(Some(now + wait));
            }
            Outcome::Failed => self.breaker.failed(now),
        }
    }

    /// Whether the server is left alone because it fails.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }
}

/// Leaves a server that fails alone.
#[derive(Debug)]
struct Breaker {
    backoff: Backoff,
    not_before: Option<Instant>,
    /// Whether a call that tries it is on its way.
    trying: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { backoff: Backoff::new(BACKOFF.0, BACKOFF.1), not_before: None, trying: false }
    }
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.backoff.failures() >= FAILURES
    }

    /// While it is open, one call at a time.
    fn may_send(&self) -> bool {
        !(self.is_open() && self.trying)
    }

    fn sent(&mut self) {
        self.trying = self.is_open();
    }

    fn closed(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: Instant) {
        // At least half of the wait: a server that has just come up is not to be met by all workers at once.
        let wait = self.backoff.next(0.5 + rand::random::<f64>() / 2.0);
        self.not_before = Some(now + wait);
        self.trying = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacer(rate: f64) -> Pacer {
        Pacer::new(rate, Shared::new(Share::whole()))
    }

    /// The calls of the next minute, each answered at once.
    async fn in_a_minute(pacer: &mut Pacer) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let mut calls = 0;
        while tokio::time::timeout_at(end, pacer.turn()).await.is_ok() {
            calls += 1;
        }
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_as_far_apart_as_the_share_says() {
        let calls = in_a_minute(&mut pacer(10.0)).await;
        assert!((595..=601).contains(&calls), "{calls}");
        let mut share = Share::default();
        share.planned(1, Some(4), Duration::ZERO);
        let shared = Shared::new(share);
        shared.change(|share, _| share.knows(Duration::from_secs(1000)));
        let calls = in_a_minute(&mut Pacer::new(10.0, shared)).await;
        assert!((120..=126).contains(&calls), "nothing for ten seconds, then a quarter: {calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_says_is_kept_where_it_is_less() {
        let limits = |remaining| Limits {
            limit: 300,
            remaining,
            reset: Duration::from_secs(60),
            window: Some(Duration::from_secs(60)),
        };
        let mut pacer = pacer(10.0);
        pacer.ended(Outcome::Answered, Some(limits(60)));
        let calls = in_a_minute(&mut pacer).await;
        assert!((55..=62).contains(&calls), "{calls}");
        let calls = in_a_minute(&mut pacer).await;
        assert!((280..=305).contains(&calls), "a new window: {calls}");
        pacer.ended(Outcome::Answered, Some(limits(0)));
        assert!(in_a_minute(&mut pacer).await <= 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_server_is_left_alone_for_as_long_as_it_wants() {
        let mut pacer = pacer(10.0);
        pacer.ended(Outcome::Busy(Duration::from_secs(30)), None);
        let began = Instant::now();
        pacer.turn().await;
        assert!(began.elapsed() >= Duration::from_secs(30));
        assert!(!pacer.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_is_tried_by_one_call_at_a_time_and_ever_later() {
        let mut pacer = pacer(10.0);
        for _ in 0..FAILURES {
            pacer.turn().await;
            pacer.ended(Outcome::Failed, None);
        }
        assert!(pacer.is_open());
        pacer.turn().await;
        assert_eq!(in_a_minute(&mut pacer).await, 0, "one is on its way");
        let mut tries = 0;
        let end = Instant::now() + Duration::from_secs(600);
        pacer.ended(Outcome::Failed, None);
        while tokio::time::timeout_at(end, pacer.turn()).await.is_ok() {
            tries += 1;
            pacer.ended(Outcome::Failed, None);
        }
        assert!((8..=30).contains(&tries), "{tries}");
        pacer.ended(Outcome::Answered, None);
        assert!(!pacer.is_open());
        assert!(in_a_minute(&mut pacer).await >= 595);
    }
}
