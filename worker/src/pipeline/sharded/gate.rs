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
/// Why the log takes nothing while too much waits.
const SLOWER: &str = "the workers are slower than the source";

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
        match waiting {
            Some(waiting) if waiting > self.high_water => self.live.log_held(SLOWER),
            // Also where the source is quiet, and no batch comes that shows it.
            Some(_) => self.live.log_held_no_more(SLOWER),
            None => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use turbo_core::position::GENERATION;

    const SHARDS: [Shard; 2] = [Shard { slice: 0, partition: 0 }, Shard { slice: 0, partition: 1 }];

    fn gate() -> Gate {
        let live = Arc::new(Live::sharded("test", true, false, 0));
        live.active(None, &turbo_core::window::Window::new());
        Gate { high_water: 100, seen: Mutex::default(), changed: Notify::new(), live }
    }

    fn announce(gate: &Gate, number: u64, of: &[Shard]) {
        let announced = Announced { number, ..Announced::default() };
        gate.seen().announced = of.iter().map(|shard| (*shard, announced)).collect();
        gate.changed.notify_waiters();
    }

    fn written(number: u64) -> HashMap<Shard, u64> {
        SHARDS.map(|shard| (shard, number)).into()
    }

    fn held(gate: &Gate) -> bool {
        gate.live.stats().summary.starts_with("held: the workers are slower than the source")
    }

    #[tokio::test]
    async fn a_batch_waits_until_the_workers_have_caught_up_to_the_mark() {
        let gate = gate();
        announce(&gate, 50, &SHARDS);
        let written = written(101);
        let mut passing = Box::pin(gate.pass(&written, 202));
        assert!((&mut passing).now_or_never().is_none(), "102 wait");
        assert!(held(&gate));
        announce(&gate, 50, &SHARDS);
        assert!((&mut passing).now_or_never().is_none(), "they still do");
        announce(&gate, 51, &SHARDS);
        assert!((&mut passing).now_or_never().is_some(), "a hundred may");
    }

    #[tokio::test]
    async fn what_is_not_known_holds() {
        let gate = gate();
        let written = written(1);
        let mut passing = Box::pin(gate.pass(&written, 2));
        assert!((&mut passing).now_or_never().is_none(), "nothing is announced");
        announce(&gate, 1, &SHARDS[..1]);
        assert!((&mut passing).now_or_never().is_none(), "one shard is not known");
        announce(&gate, 1, &SHARDS);
        assert!((&mut passing).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_log_that_has_lost_what_was_written_holds_nothing() {
        let gate = gate();
        let written = written(101);
        let mut passing = Box::pin(gate.pass(&written, 202));
        assert!((&mut passing).now_or_never().is_none());
        gate.seen().lost = true;
        gate.changed.notify_waiters();
        assert!((&mut passing).now_or_never().is_some());
    }

    #[tokio::test]
    async fn in_a_log_that_was_begun_anew_numbers_of_the_old_one_count_for_nothing() {
        let gate = gate();
        announce(&gate, 1000, &SHARDS);
        let written = written(101);
        assert!(gate.pass(&written, GENERATION + 202).now_or_never().is_none(), "202 wait");
    }

    #[tokio::test]
    async fn it_is_held_no_more_once_they_have_caught_up_though_nothing_comes() {
        let gate = gate();
        announce(&gate, 0, &SHARDS);
        assert!(gate.pass(&written(101), 202).now_or_never().is_none());
        assert!(held(&gate));
        announce(&gate, 101, &SHARDS);
        assert!(gate.is_open() && !held(&gate), "{}", gate.live.stats().summary);
        gate.live.log_held("the log is full");
        assert!(gate.is_open() && gate.live.stats().summary.contains("the log is full"), "that is the writer's to say");
    }
}
