//! The keeper: announces the shards of this worker, and purges what every sink has.
//!
//! It works beside the commits, so that a bucket that does not answer holds none of them. Invariants: only what the
//! catalog says is in every sink is purged; the message at the lowest position stays, and so does the dedup window.

use super::holder::ANSWER;
use crate::log::nats::{Announced, Log};
use crate::sinks::postgres::{Database, answered};
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::{Shard, Slices};

/// How often announcements are put at most.
const ANNOUNCE: Duration = Duration::from_secs(1);
/// How often the log is purged.
const PURGE: Duration = Duration::from_secs(10);
/// How often everything is announced that is owned, so that what was lost in the bucket comes back.
const AGAIN: Duration = Duration::from_secs(30);

/// What is to be announced of shards, and whether they are still owned; filled by the holder.
#[derive(Clone, Debug, Default)]
pub struct Announcements(Arc<Mutex<BTreeMap<Shard, (Announced, bool)>>>);

impl Announcements {
    /// What is to be announced of a shard now. Up to where it was purged is told once, by the claim, and stays.
    pub(super) fn set(&self, shard: Shard, announced: Announced) {
        let mut all = self.all();
        let purged = all.get(&shard).map_or(0, |(before, _)| before.purged).max(announced.purged);
        all.insert(shard, (Announced { purged, ..announced }, true));
    }

    /// The shard is no longer owned: what was set last is announced, and then no more.
    pub(super) fn forget(&self, shard: Shard) {
        if let Some((_, owned)) = self.all().get_mut(&shard) {
            *owned = false;
        }
    }

    fn announced(&self, shard: Shard) {
        let mut all = self.all();
        if all.get(&shard).is_some_and(|(_, owned)| !owned) {
            all.remove(&shard);
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Shard, (Announced, bool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what the shards of one worker leave in NATS.
pub struct Keeper {
    log: Log,
    slices: Arc<Slices>,
    database: Database,
    announcements: Announcements,
    put: BTreeMap<Shard, Announced>,
    purged: BTreeMap<Shard, u64>,
}

impl Keeper {
    /// A keeper of what the holder announces.
    #[must_use]
    pub fn new(log: Log, slices: Arc<Slices>, database: Database, announcements: Announcements) -> Self {
        Self { log, slices, database, announcements, put: BTreeMap::new(), purged: BTreeMap::new() }
    }

    /// Runs until the token fires; then it announces once more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(ANNOUNCE);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut purged, mut again) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            if again.elapsed() >= AGAIN {
                again = Instant::now();
                self.put.clear();
            }
            self.announce().await;
            if purged.elapsed() >= PURGE {
                purged = Instant::now();
                self.purge().await;
            }
        }
        self.announce().await;
    }

    async fn announce(&mut self) {
        let all = self.announcements.all().clone();
        for (shard, (announced, _)) in all {
            // What earlier owners have purged is gone as well as what this one has.
            let purged = self.purged.entry(shard).or_default();
            *purged = (*purged).max(announced.purged);
            let announced = Announced { purged: *purged, ..announced };
            if self.put.get(&shard) == Some(&announced) {
                self.announcements.announced(shard);
                continue;
            }
            match self.log.announce(&self.slices, shard, announced).await {
                // What a later owner announces stands.
                Ok(_) => {
                    self.put.insert(shard, announced);
                    self.announcements.announced(shard);
                }
                Err(error) => {
                    tracing::debug!(%error, ?shard, "the announcement waits");
                    return;
                }
            }
        }
    }

    /// Purges what this worker owns. One that has just lost a shard may purge it once more: the catalog says up to where.
    async fn purge(&mut self) {
        let lowest = match answered(ANSWER, self.database.lowest(&self.slices)).await {
            Ok(lowest) => lowest,
            Err(error) => return tracing::debug!(%error, "the purge waits for the catalog"),
        };
        let window = match self.log.window_begins().await {
            Ok(window) => window,
            Err(error) => return tracing::debug!(%error, "the purge waits for the log"),
        };
        let owned: Vec<Shard> = self.announcements.all().keys().copied().collect();
        for shard in owned {
            let below = lowest.get(&shard).copied().unwrap_or(0).min(window);
            if below <= self.purged.get(&shard).copied().unwrap_or(0) {
                continue;
            }
            match self.log.purge(&self.slices, shard, below).await {
                Ok(count) => {
                    self.purged.insert(shard, below);
                    events::LogPurged { count }.emit();
                }
                Err(error) => return tracing::debug!(%error, ?shard, "the purge waits"),
            }
        }
    }
}
