//! When a host sees what happens.

use crate::world::Happening;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A constant delay for each DID: the order within a DID stays, that between DIDs is the host's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) seed: u64,
    pub(crate) skew_us: i64,
}

impl Delays {
    pub(crate) fn of(&self, did: &str) -> i64 {
        match self.skew_us {
            ..=0 => 0,
            skew => (xxh3_64_with_seed(did.as_bytes(), self.seed) % (skew as u64 + 1)) as i64,
        }
    }
}

/// What has happened and was not seen yet.
#[derive(Debug, Default)]
pub(crate) struct OnTheWay(BinaryHeap<Reverse<(i64, u64, Seen)>>);

#[derive(Debug)]
struct Seen(Arc<Happening>);

impl OnTheWay {
    pub(crate) fn push(&mut self, happening: Arc<Happening>, delays: Delays) {
        let seen_us = happening.at_us + delays.of(&happening.did);
        self.0.push(Reverse((seen_us, happening.index, Seen(happening))));
    }

    /// What is seen up to a true time, in order.
    pub(crate) fn seen(&mut self, until_us: i64) -> Vec<(i64, Arc<Happening>)> {
        let mut seen = Vec::new();
        while self.is_due(until_us) {
            if let Some(Reverse((seen_us, _, Seen(happening)))) = self.0.pop() {
                seen.push((seen_us, happening));
            }
        }
        seen
    }

    /// Whether there is something to see up to a true time.
    pub(crate) fn is_due(&self, until_us: i64) -> bool {
        self.0.peek().is_some_and(|Reverse((seen_us, ..))| *seen_us <= until_us)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out everything.
    pub(crate) fn drain(&mut self) -> Vec<Arc<Happening>> {
        self.0.drain().map(|Reverse((.., Seen(happening)))| happening).collect()
    }
}

// The number of a happening is its own, so its content is never compared.
impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Seen {}

impl PartialOrd for Seen {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Seen {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
