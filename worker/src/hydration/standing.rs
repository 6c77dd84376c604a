//! How one host stands: what it says of its limits, and whether it is left alone.
//!
//! Invariants:
//! - what the host says wins where it is less than what the pipeline file says; it never raises it;
//! - a host that fails, or is busy, is left alone for a while that grows with each time that it does so anew: calls that were
//!   on their way together count once;
//! - one that has failed several times in a row is tried by one call at a time ([`Standing::is_open`]);
//! - nothing that it says leaves it alone for longer than [`LONGEST`].

use super::limits::{LONGEST, Limits};
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::backoff::Backoff;

/// Failures in a row from which on one call at a time tries it.
pub(super) const FAILURES: u32 = 3;
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer, or a refusal of what was asked.
    Answered,
    /// The host wants to be left alone for so long.
    Busy(Duration),
    /// The host fails, or is not there.
    Failed,
}

/// How a host stands.
#[derive(Debug)]
pub(super) struct Standing {
    /// When it was asked last.
    last: Option<Instant>,
    /// What it says of its limits, and when it said so.
    said: Option<(Instant, Limits)>,
    backoff: Backoff,
    /// Failures since it answered last.
    failures: u32,
    /// When it failed, or was busy, anew.
    failed: Option<Instant>,
    /// It is not asked before.
    not_before: Option<Instant>,
    /// When the call that tries it was sent, while it is on its way.
    trying: Option<Instant>,
}

impl Default for Standing {
    fn default() -> Self {
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        Self { last: None, said: None, backoff, failures: 0, failed: None, not_before: None, trying: None }
    }
}

impl Standing {
    /// When one of `among` workers may ask it next; `None` while a call tries it.
    pub(super) fn due(&self, now: Instant, among: u32) -> Option<Instant> {
        let due = now + self.rests(now, among);
        (!self.is_open() || self.trying.is_none()).then_some(due)
    }

    /// For how long it is not asked; where a call tries it, that is not known, and nothing.
    pub(super) fn rests(&self, now: Instant, among: u32) -> Duration {
        self.limited(now, among).max(self.not_before.unwrap_or(now)).saturating_duration_since(now)
    }

    /// When its own limits allow the next call.
    fn limited(&self, now: Instant, among: u32) -> Instant {
        let Some((at, limits)) = self.said else { return now };
        let left = limits.reset.saturating_sub(now.saturating_duration_since(at));
        let rate = match (left.is_zero(), limits.remaining, limits.window) {
            (false, 0, _) => return at + limits.reset,
            (false, remaining, _) => f64::from(remaining) / limits.reset.as_secs_f64(),
            // A new window has begun; what the last one was like is the best guess.
            (true, _, Some(window)) => f64::from(limits.limit) / window.as_secs_f64(),
            (true, _, None) => return now,
        };
        // One that allows nothing at all would never be asked whether it still does.
        let gap = Duration::try_from_secs_f64(f64::from(among) / rate).unwrap_or(LONGEST).min(LONGEST);
        self.last.map_or(now, |last| last + gap)
    }

    /// A call goes to it.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last = Some(now);
        self.trying = self.is_open().then_some(now);
    }

    /// What became of a call that was sent then, and what the host said with it.
    pub(super) fn ended(&mut self, sent: Instant, outcome: Outcome, limits: Option<Limits>) {
        let now = Instant::now();
        self.said = limits.map(|limits| (now, limits)).or(self.said);
        let is_new = self.failed.is_none_or(|failed| sent >= failed);
        if self.trying.is_some_and(|trying| sent >= trying) {
            self.trying = None;
        }
        match outcome {
            // What was sent before it failed says nothing of what it is like since.
            Outcome::Answered if is_new => {
                self.backoff.reset();
                (self.failures, self.not_before) = (0, None);
            }
            Outcome::Answered => {}
            Outcome::Busy(wait) => {
                self.failures = 0;
                self.leave(is_new, now, wait);
                // What is answered to calls before this one does not end its wait.
                self.failed = Some(now);
            }
            Outcome::Failed => {
                self.failures = self.failures.saturating_add(1);
                self.leave(is_new, now, Duration::ZERO);
            }
        }
    }

    fn leave(&mut self, is_new: bool, now: Instant, least: Duration) {
        let mut wait = least;
        if is_new {
            // At least half of the wait: a host that has just come up is not to be met by all workers at once.
            wait = wait.max(self.backoff.next(0.5 + rand::random::<f64>() / 2.0));
            self.failed = Some(now);
        }
        self.not_before = self.not_before.max(Some(now + wait));
    }

    /// Whether it has failed several times in a row, and is tried by one call at a time.
    pub(super) fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }
}
