//! How looking up goes, for `/stats` and the metrics.

use crate::telemetry::metrics as m;
use metrics::gauge;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What looking up tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Report(Arc<Mutex<Told>>);

/// How looking up goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Told {
    /// The host that was asked last.
    pub host: String,
    /// Why the last call had no answer, until one has.
    pub error: Option<String>,
    /// All hosts.
    pub hosts: Vec<Host>,
    /// Why nobody is asked, where something is wanted.
    pub held: Option<String>,
    /// Calls since the start of the process.
    pub requests: u64,
    /// Records that wait to be completed.
    pub queue: u64,
    /// For how long the oldest of them has waited, in seconds.
    pub queue_seconds: f64,
    /// Records completed since the start of the process.
    pub completed: u64,
    /// Records that waited too long, or were too many, and stay as they are.
    pub given_up: u64,
    /// Items that are to be looked up for new records.
    pub wanted: usize,
    /// Items that are to be looked up for records that wait.
    pub wanted_for_queue: usize,
    /// Bytes in the cache.
    pub cache_bytes: u64,
    /// Items in it.
    pub cache_items: u64,
}

/// How a host stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Host {
    /// Its address.
    pub host: String,
    /// Why its last call had no answer, until one has.
    pub error: Option<String>,
    /// For how long it is not asked, in seconds: it fails, is busy, or its limit is used up.
    pub rests_seconds: f64,
}

impl Told {
    /// Why records wait longer than they have to, where that is so: nobody is asked, or no host answers.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let none_answers = self.hosts.iter().all(|host| host.error.is_some());
        let error = self.error.clone().filter(|_| none_answers);
        match (self.held.clone(), error) {
            (Some(held), Some(error)) => Some(format!("{held}: {error}")),
            (held, error) => held.or(error),
        }
    }
}

impl Report {
    /// Changes what is told.
    pub fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told());
    }

    /// What is told now.
    #[must_use]
    pub fn now(&self) -> Told {
        self.told().clone()
    }

    /// Sets the gauges.
    pub fn sample(&self) {
        let told = self.now();
        gauge!(m::HYDRATION_QUEUE).set(told.queue as f64);
        gauge!(m::HYDRATION_QUEUE_AGE).set(told.queue_seconds);
        gauge!(m::HYDRATION_CACHE_BYTES).set(told.cache_bytes as f64);
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
