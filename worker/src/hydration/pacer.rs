//! When the next call may be sent, and to which host: within this worker's share of the pipeline's rate, within what the host
//! says of its limits, and not to one that does not answer.
//!
//! Invariants:
//! - between two calls there is at least the time that the share gives to one, whoever is asked: no burst, so that in any
//!   stretch of time no worker sends more than its share and one call. A process that has just started waits for that time;
//! - the first host of the list that may be asked is; one that is left alone, or that has no room, holds up no other
//!   ([`Standing`]).

use super::limits::Limits;
use super::standing::{Outcome, Standing};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::budget::Share;

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

/// A wait for hosts that is worth a word.
const LONG: Duration = Duration::from_secs(2);

/// Paces the calls of one worker.
#[derive(Debug)]
pub struct Pacer {
    /// Calls in a second for the whole pipeline.
    rate: f64,
    share: Shared,
    /// When the last call was sent.
    last: Instant,
    hosts: Vec<Standing>,
}

impl Pacer {
    /// For a pipeline with this many calls in a second, of which `share` is this worker's, and so many hosts.
    #[must_use]
    pub fn new(rate: f64, share: Shared, hosts: usize) -> Self {
        let hosts = std::iter::repeat_with(Standing::default).take(hosts).collect();
        Self { rate, share, last: Instant::now(), hosts }
    }

    /// Waits until the next call may be sent, and counts it as sent to this host. No host `waits`, where another call to it does
    /// so already: for what it can not be asked without.
    pub async fn turn(&mut self, waits: impl Fn(usize) -> bool) -> usize {
        let host = loop {
            match self.due(&waits) {
                Some((due, host)) if due <= Instant::now() => break host,
                Some((due, _)) => tokio::time::sleep_until(due.min(Instant::now() + LOOK)).await,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        self.last = Instant::now();
        self.hosts[host].sent(self.last);
        host
    }

    /// When the next call may be sent, as things are, and to whom; `None` while nothing may.
    fn due(&self, waits: impl Fn(usize) -> bool) -> Option<(Instant, usize)> {
        let (now, among) = (Instant::now(), self.share.now()?);
        let paced = self.last + Duration::try_from_secs_f64(f64::from(among) / self.rate).ok()?;
        let hosts = self.hosts.iter().zip(0..).filter(|(_, at)| !waits(*at));
        let of_hosts = hosts.filter_map(|(host, at)| Some((host.due(now, among)?.max(paced), at)));
        of_hosts.min()
    }

    /// What became of a call that was sent to this host then, and what the host said with it.
    pub fn ended(&mut self, host: usize, sent: Instant, outcome: Outcome, limits: Option<Limits>) {
        self.hosts[host].ended(sent, outcome, limits);
    }

    /// For how long each host is not asked.
    pub fn rests(&self) -> impl Iterator<Item = Duration> {
        let (now, among) = (Instant::now(), self.share.now().unwrap_or(1));
        self.hosts.iter().map(move |host| host.rests(now, among))
    }

    /// Why nobody is asked for a while, where that is so.
    #[must_use]
    pub fn held(&self) -> Option<String> {
        if self.share.now().is_none() {
            return Some("this worker has no part of the rate: it waits for a plan that gives it one".to_owned());
        }
        let rests = self.rests().min()?;
        (rests > LONG).then(|| {
            format!(
                "every host fails, is busy, or its limit is used up: none is asked for {:.0} s",
                rests.as_secs_f64()
            )
        })
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;
