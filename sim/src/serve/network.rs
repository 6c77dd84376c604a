//! A running network, and what a test may ask of it.

use super::dictionaries::Dictionaries;
use super::pace::Driver;
use crate::appview::{AppView, AppViewStats, Mood};
use crate::host::Host;
use crate::host::clock::Clock;
use crate::source::Source;
use crate::truth::Truth;
use crate::wire::Wire;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long connections have to end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running network. It ends when it is dropped.
#[derive(Debug)]
pub struct Network {
    pub(super) hosts: Arc<[Arc<Host>]>,
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) appview: Option<(Arc<AppView>, SocketAddr)>,
    pub(super) dictionaries: Arc<Dictionaries>,
    pub(super) source: Source,
    pub(super) happened: Arc<AtomicU64>,
    pub(super) clock: Arc<Clock>,
    /// Present where time stands.
    pub(super) driver: Option<Mutex<Driver>>,
    /// Present where time passes.
    pub(super) passing: Option<JoinHandle<()>>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) runtime: Option<Runtime>,
}

/// What a host has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStats {
    /// TCP connections that were taken.
    pub connections: u64,
    /// Subscriptions that began.
    pub subscriptions: u64,
    /// Rows that subscriptions passed, filtered ones included.
    pub rows: u64,
    /// The next sequence number that it will give.
    pub next_seq: u64,
}

impl Network {
    /// How many hosts there are.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Where a host listens, also while a fault keeps it down.
    ///
    /// # Panics
    /// Where there is no such host.
    #[must_use]
    pub fn addr(&self, host: usize) -> SocketAddr {
        self.addrs[host]
    }

    /// `ws://127.0.0.1:1234` of a host, without a path.
    ///
    /// # Panics
    /// Where there is no such host.
    #[must_use]
    pub fn url(&self, host: usize) -> String {
        format!("ws://{}", self.addr(host))
    }

    /// `http://127.0.0.1:1234` of the AppView, where there is one.
    #[must_use]
    pub fn appview_url(&self) -> Option<String> {
        self.appview.as_ref().map(|(_, address)| format!("http://{address}"))
    }

    /// For so long the AppView has these manners.
    pub fn appview_mood(&self, mood: Mood, lasts: Duration) {
        self.appview.iter().for_each(|(appview, _)| appview.mood(mood, lasts));
    }

    /// All tokens that the AppView has given count no more.
    pub fn forget_sessions(&self) {
        self.appview.iter().for_each(|(appview, _)| appview.forget_sessions());
    }

    /// What the AppView has seen so far.
    #[must_use]
    pub fn appview_stats(&self) -> AppViewStats {
        self.appview.as_ref().map(|(appview, _)| appview.stats()).unwrap_or_default()
    }

    /// How many things have happened. Hosts with delays see the last of them a little later.
    #[must_use]
    pub fn happened(&self) -> u64 {
        self.happened.load(Ordering::Acquire)
    }

    /// True time in the world, in microseconds since the Unix epoch.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    /// Lets `count` more things happen, which all hosts see at once. Where time passes by itself, nothing happens.
    pub fn step(&self, count: u64) {
        if let Some(driver) = &self.driver {
            let mut driver = driver.lock().unwrap_or_else(PoisonError::into_inner);
            driver.step(count);
            driver.settle();
        }
    }

    /// Waits until this many things have happened and every host has seen them; says whether it came so far.
    #[must_use]
    pub fn wait_for(&self, events: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if self.happened() >= events && self.hosts.iter().all(|host| host.is_settled()) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The truth of all that has happened. It is made anew each time, from the beginning.
    #[must_use]
    pub fn truth(&self) -> Truth {
        self.source.truth(self.happened())
    }

    /// The truth of the first `events` happenings.
    #[must_use]
    pub fn truth_of(&self, events: u64) -> Truth {
        self.source.truth(events)
    }

    /// The zstd dictionary of v1, for clients.
    ///
    /// # Errors
    /// Where it cannot be trained, as with too few events.
    pub fn v1_dictionary(&self) -> io::Result<Vec<u8>> {
        self.dictionaries.v1().map(|dictionary| dictionary.bytes.clone())
    }

    /// The zstd dictionary of v2 on a host, with its number.
    ///
    /// # Errors
    /// Where it cannot be trained, as with too few events.
    pub fn v2_dictionary(&self, host: usize) -> io::Result<(u32, Vec<u8>)> {
        self.dictionaries.v2(host).map(|dictionary| (dictionary.id, dictionary.bytes.clone()))
    }

    /// Encodes all that a host has, so that the first reader does not wait for it. Of use with [`Pace::Full`] only.
    ///
    /// # Errors
    /// Where compression fails.
    pub fn prepare(&self, host: usize, wire: Wire) -> io::Result<()> {
        let dictionary = match wire {
            Wire::V1Zstd => Some(self.dictionaries.v1()?),
            Wire::V2Zstd => Some(self.dictionaries.v2(host)?),
            Wire::V1 | Wire::V2 => None,
        };
        self.hosts[host].prepare(wire, dictionary.as_deref())
    }

    /// What a host has done so far.
    ///
    /// # Panics
    /// Where there is no such host.
    #[must_use]
    pub fn stats(&self, host: usize) -> HostStats {
        let host = &self.hosts[host];
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &host.counts;
        HostStats {
            connections: load(&counts.connections),
            subscriptions: load(&counts.subscriptions),
            rows: load(&counts.rows),
            next_seq: host.next_seq(),
        }
    }

    /// Ends all connections as a server that shuts down does, and everything else.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
        let (Some(runtime), tasks) = (self.runtime.take(), self.tasks.clone()) else { return };
        // Inside of another runtime nothing may block on this one, so that waits on a thread of its own.
        let waiting = std::thread::spawn(move || {
            let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, tasks.wait()).await });
            runtime.shutdown_timeout(PATIENCE);
        });
        let _ = waiting.join();
        let _ = self.passing.take().map(JoinHandle::join);
    }
}
