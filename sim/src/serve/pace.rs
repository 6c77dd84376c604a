//! Time passing: the one place where happenings are made and handed to the hosts.

use crate::appview::AppView;
use crate::host::Host;
use crate::host::clock::Clock;
use crate::source::Source;
use crate::world::Happening;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Happenings that are handed over at once.
const BATCH: usize = 4096;
/// Delays end at any time, so hosts are looked after at least so often.
const TICK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Driver {
    source: Source,
    hosts: Arc<[Arc<Host>]>,
    appview: Option<Arc<AppView>>,
    clock: Arc<Clock>,
    /// How many happenings have happened, which others may look at.
    happened: Arc<AtomicU64>,
    limit: u64,
    /// The one that was made and whose time has not come.
    next: Option<Happening>,
}

impl Driver {
    pub(crate) fn new(
        source: Source,
        hosts: Arc<[Arc<Host>]>,
        appview: Option<Arc<AppView>>,
        clock: Arc<Clock>,
        happened: Arc<AtomicU64>,
        limit: Option<u64>,
    ) -> Self {
        Self { source, hosts, appview, clock, happened, limit: limit.unwrap_or(u64::MAX), next: None }
    }

    /// Lets `count` more things happen, at their own times.
    pub(crate) fn step(&mut self, count: u64) {
        let mut left = count;
        while left > 0 {
            let batch: Vec<_> =
                std::iter::from_fn(|| self.take(i64::MAX)).take(left.min(BATCH as u64) as usize).collect();
            let Some(last) = batch.last() else { break };
            left -= batch.len() as u64;
            let until_us = last.at_us;
            self.tell(&batch);
            self.clock.set(until_us);
            // What is on its way still comes after what it overtakes.
            self.hosts.iter().for_each(|host| host.see(until_us));
        }
    }

    /// Lets hosts see everything that has happened.
    pub(crate) fn settle(&self) {
        self.hosts.iter().for_each(|host| host.see(i64::MAX));
        let slowest = self.hosts.iter().map(|host| host.config.skew_us).max().unwrap_or(0);
        self.clock.set(self.clock.now_us().saturating_add(slowest + 1));
    }

    /// Lets everything happen up to now.
    pub(crate) fn catch_up(&mut self) {
        let now_us = self.clock.now_us();
        loop {
            let batch: Vec<_> = std::iter::from_fn(|| self.take(now_us)).take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.tell(&batch);
        }
        self.hosts.iter().for_each(|host| host.see(now_us));
    }

    /// Goes on with wall time until it is stopped.
    pub(crate) fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.catch_up();
            let wait = self.next.as_ref().map_or(TICK, |next| self.clock.wait(next.at_us));
            std::thread::sleep(wait.clamp(Duration::from_micros(200), TICK));
        }
    }

    fn take(&mut self, until_us: i64) -> Option<Arc<Happening>> {
        if self.happened.load(Ordering::Acquire) >= self.limit {
            return None;
        }
        let next = match self.next.take() {
            Some(next) => next,
            None => self.source.next()?,
        };
        if next.at_us > until_us {
            self.next = Some(next);
            return None;
        }
        self.happened.fetch_add(1, Ordering::AcqRel);
        Some(Arc::new(next))
    }

    fn tell(&self, batch: &[Arc<Happening>]) {
        // The AppView first: a reader that asks about what it has read is to be answered.
        self.appview.iter().for_each(|appview| appview.tell(batch));
        self.hosts.iter().for_each(|host| host.tell(batch));
    }
}
