//! The gate: lets batches into the log while less waits for the workers than the high-water mark.
//!
//! Invariants: what is not known holds; a log that has lost what the writer wrote opens the gate, since the workers can not
//! get on with it, and the next batch is refused.

use super::open::Setting;
use crate::live::Live;
use crate::log::nats::{Announced, Log, Told, Watch, depth};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use turbo_core::position::generation;
use turbo_core::shard::{Shard, Slices};

/// How often the announcements and the log's end are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the gate goes by.
#[derive(Default)]
struct Seen {
    /// The number of each shard's last message, and the stream's last sequence, as the writer knows them.
    numbers: HashMap<Shard, u64>,
    last_seq: u64,
    /// What owners announce.
    announced: BTreeMap<Shard, Announced>,
    /// The stream is gone, or ends before what was written.
    lost: bool,
}

/// The gate before the log.
pub(super) struct Gate {
    high_water: u64,
    seen: Mutex<Seen>,
    changed: Notify,
    live: Arc<Live>,
}

impl Gate {
    pub(super) fn new(setting: &Setting, live: Arc<Live>) -> Self {
        let nats = setting.spec.log.as_ref().and_then(|log| log.nats.as_ref());
        let high_water = nats.map_or(u64::MAX, |nats| nats.stream.high_water);
        Self { high_water, seen: Mutex::default(), changed: Notify::new(), live }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch may pass; tells what waits.
    fn is_open(&self) -> bool {
        let (waiting, lost) = {
            let seen = self.seen();
            (seen.waiting(), seen.lost)
        };
        self.live.depth(waiting, self.high_water);
        if waiting.is_some_and(|waiting| waiting > self.high_water) {
            self.live.log_held("the workers are slower than the source");
        }
        lost || waiting.is_some_and(|waiting| waiting <= self.high_water)
    }
}

impl Seen {
    /// How many messages wait, where that is known.
    fn waiting(&self) -> Option<u64> {
        let current = generation(self.last_seq);
        let waiting = |(shard, last): (&Shard, &u64)| depth(*last, current, self.announced.get(shard).copied()).waiting;
        self.numbers.iter().map(waiting).sum()
    }
}

impl Watch for Gate {
    async fn pass(&self, numbers: &HashMap<Shard, u64>, last_seq: u64) {
        {
            let mut seen = self.seen();
            seen.numbers.clone_from(numbers);
            seen.last_seq = last_seq;
        }
        loop {
            let changed = self.changed.notified();
            if self.is_open() {
                return;
            }
            changed.await;
        }
    }

    fn told(&self, told: Told<'_>) {
        match told {
            Told::Stored { entries, bytes } => self.live.stored(entries, bytes),
            Told::Held(why) => {
                tracing::warn!("held: {why}");
                self.live.log_held(why);
            }
        }
    }
}

/// Looks at what the owners announce, and at the log's end.
pub(super) async fn watch(gate: Arc<Gate>, log: Log, slices: Arc<Slices>) {
    loop {
        // The end is taken first: what is written behind it is no loss.
        let written = gate.seen().last_seq;
        match (log.end().await, log.all_announced(&slices).await) {
            (Ok(end), Ok(announced)) => {
                if announced.len() < slices.shards().count()
                    && let Err(error) = log.announce_beginnings(&slices).await
                {
                    tracing::debug!(%error, "what is committed of some shards is not known");
                }
                let mut seen = gate.seen();
                seen.announced = announced;
                seen.lost = end.is_none_or(|end| end < written);
            }
            (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "what waits in the log is not known"),
        }
        gate.changed.notify_waiters();
        gate.is_open();
        tokio::time::sleep(LOOK).await;
    }
}
