//! The holder: claims what the plan gives it, reads and commits it, and releases what the plan takes away.
//!
//! Invariants:
//! - an entry is committed under the claim under which it was read, and the next one after it: at a doubt the row is read
//!   again, and what it covers already is left out;
//! - what was read under a connection before this one is committed only while the log still has it ([`super::reread`]);
//! - a shard is released between two commits, never in one;
//! - a claim or a release whose answer was lost is carried to its end, so that no row names a worker that does not hold it.

use super::ahead::{Ahead, Batch, ahead};
use super::claiming::Claiming;
use super::covered::Sinks;
use super::keeper::Announcements;
use super::members::View;
use super::outbox::Outbox;
use crate::hydration::hydrator::Hydrator;
use crate::live::Live;
use crate::log::nats::{Error as LogError, Log, Message, Next};
use crate::sinks::feed::SinkHandle;
use crate::sinks::postgres::{Committer, Database, Wanted, answered};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slices};

/// Messages on their way from the readers, and their bytes until the commit.
const AHEAD: usize = 4096;
const AHEAD_BYTES: usize = 32 << 20;
/// A larger message counts as this much, so that it fits.
pub(super) const LARGEST: u32 = 16 << 20;
/// How long the database may take to answer before it counts as away: it may be gone without a word.
pub(super) const ANSWER: Duration = Duration::from_secs(60);
/// Entries in a commit at most.
const MAX_ENTRIES: usize = 2048;
/// How often the plan is looked at, and a claim that was not to be had is tried again.
const AGAIN: Duration = Duration::from_millis(250);
/// How often the rows are read of shards that have nothing to commit: another claim shows there only.
const LOOK: Duration = Duration::from_secs(3);

/// What a reader read, under which claim. Its bytes count until the commit.
pub(super) struct Read {
    pub(super) shard: Shard,
    pub(super) epoch: u64,
    /// The connection under which it was read.
    pub(super) connection: u64,
    /// `None`: what could not be read is there no more.
    pub(super) next: Result<Option<Next>, LogError>,
    pub(super) ahead: Ahead,
    pub(super) _room: OwnedSemaphorePermit,
}

impl Read {
    /// The message, if it is one.
    pub(super) fn message(&self) -> Option<&Message> {
        match &self.next {
            Ok(Some(Next::Message(message))) => Some(message),
            _ => None,
        }
    }
}

/// What a holder works with.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// The slices.
    pub slices: Arc<Slices>,
    /// The catalog, and the rows.
    pub database: Database,
    /// Commits to the database.
    pub committer: Committer,
    /// Who puts beside entries what is known, where any slice asks for that.
    pub hydrator: Option<Hydrator>,
    /// Where the epochs of what is owned are told.
    pub epochs: watch::Sender<BTreeMap<Shard, u64>>,
    /// The sinks beside it, as the catalog knows them.
    pub wanted: Wanted,
    /// Who is told where the catalog went back.
    pub went_back: Arc<Notify>,
    /// The same, running.
    pub sinks: Vec<SinkHandle>,
    /// This worker.
    pub me: WorkerId,
    /// Who is told.
    pub live: Arc<Live>,
    /// What is announced of the shards.
    pub announcements: Announcements,
}

/// Holds shards for one worker.
pub struct Holder {
    pub(super) parts: Parts,
    pub(super) owned: BTreeMap<Shard, Owned>,
    pub(super) readers: BTreeMap<Shard, AbortOnDropHandle<()>>,
    /// What shards had of the source: a log that was begun anew brings it again.
    pub(super) covered: BTreeMap<Shard, Sinks>,
    /// The highest epoch of each shard that was ours.
    pub(super) epochs: BTreeMap<Shard, u64>,
    /// The position that was ours of shards whose rows were found below it, until they are claimed anew.
    pub(super) went_back: BTreeMap<Shard, u64>,
    /// Messages that a shard's log has lost, until the next one is committed.
    pub(super) missing: BTreeMap<Shard, Vec<(u64, u64)>>,
    /// Where the log went back behind what was committed, until it is written down.
    pub(super) turned: Vec<(Shard, String)>,
    /// Shards that are given up, while their sinks finish; each says whether its row was freed.
    pub(super) releasing: JoinSet<(Shard, bool)>,
    pub(super) given_up: BTreeSet<Shard>,
    /// Claims and releases without an answer.
    pub(super) unsure: BTreeSet<Shard>,
    pub(super) to: mpsc::Sender<Read>,
    pub(super) room: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    pub(super) outbox: Outbox,
    from: mpsc::Receiver<Batch>,
    /// Who gives them on from the readers.
    ahead: AbortOnDropHandle<()>,
}

impl Holder {
    /// A holder that has nothing yet. `stop` ends it.
    #[must_use]
    pub fn new(mut parts: Parts, stop: CancellationToken) -> Self {
        let (to, from) = mpsc::channel(AHEAD);
        let (from, ahead) = ahead(from, MAX_ENTRIES, parts.hydrator.clone());
        let outbox = Outbox::new(std::mem::take(&mut parts.sinks), parts.live.clone());
        Self {
            parts,
            owned: BTreeMap::new(),
            readers: BTreeMap::new(),
            covered: BTreeMap::new(),
            epochs: BTreeMap::new(),
            went_back: BTreeMap::new(),
            missing: BTreeMap::new(),
            turned: Vec::new(),
            releasing: JoinSet::new(),
            given_up: BTreeSet::new(),
            unsure: BTreeSet::new(),
            to,
            room: Arc::new(Semaphore::new(AHEAD_BYTES)),
            stop,
            outbox,
            from,
            ahead,
        }
    }

    /// Follows the plan until the token fires, then releases everything, and ends the sinks.
    pub async fn run(mut self, mut view: watch::Receiver<View>) {
        let mut again = tokio::time::interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = Instant::now();
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                // What was given up on the way out is a hole, behind which nothing may be committed or handed on.
                biased;
                () = stop.cancelled() => break,
                Some(released) = self.releasing.join_next() => self.released(released),
                _ = again.tick() => {
                    self.end_with_who_failed().await;
                    let now = view.borrow_and_update().clone();
                    let look = looked.elapsed() >= LOOK;
                    if look {
                        looked = Instant::now();
                        self.release_dropped();
                        self.release_claimed_otherwise().await;
                    }
                    self.follow(&now, look).await;
                    self.tell_epochs();
                    if look {
                        self.redrive().await;
                    }
                }
                () = self.outbox.hand_on() => {}
                // While a sink holds, nothing more is read; shards come and go all the same.
                Some(batch) = self.from.recv(), if !self.outbox.waits() => self.commit(batch).await,
            }
        }
        self.release(self.owned.keys().copied().collect());
        loop {
            tokio::select! {
                released = self.releasing.join_next() => match released {
                    Some(released) => self.released(released),
                    None => break,
                },
                () = self.outbox.hand_on() => {}
            }
        }
        self.outbox.end().await;
    }

    /// Releases what the plan does not give this worker, and claims what it does. `look`: also at the rows of what is
    /// owned.
    async fn follow(&mut self, view: &View, look: bool) {
        let wanted = view.plan.shards_of(&self.parts.me).cloned().unwrap_or_default();
        self.parts.live.planned(wanted.len());
        self.release_surplus(&wanted);
        let missing: BTreeSet<Shard> = wanted.iter().filter(|shard| !self.owned.contains_key(shard)).copied().collect();
        if missing.is_empty() && self.unsure.is_empty() && !look {
            return;
        }
        let rows = match answered(ANSWER, self.parts.database.rows(&self.parts.slices)).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "the rows of the shards are not to be had");
                return;
            }
        };
        self.drop_lost(&rows);
        // Nobody else may take a shard while its row names this worker: what is not sure, and what a catalog that went back
        // says is its own, is claimed, wanted or not.
        let named = rows.iter().filter(|(_, row)| row.owner.as_ref() == Some(&self.parts.me)).map(|(shard, _)| shard);
        let claims: BTreeSet<Shard> = missing.iter().chain(&self.unsure).chain(named).copied().collect();
        let held = |shard: &Shard| self.owned.contains_key(shard) || self.given_up.contains(shard);
        let claims: Vec<Shard> = claims.into_iter().filter(|shard| !held(shard)).collect();
        for shard in claims {
            if self.stop.is_cancelled() || self.claim(shard, &rows, view).await == Claiming::NoAnswer {
                break;
            }
        }
        self.release_surplus(&wanted);
    }

    /// What has failed of the reading would leave shards unread.
    async fn end_with_who_failed(&mut self) {
        for reading in self.readers.values_mut().chain([&mut self.ahead]).filter(|reading| reading.is_finished()) {
            if let Err(failed) = reading.await
                && failed.is_panic()
            {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
    }

    fn tell_epochs(&self) {
        let now: BTreeMap<Shard, u64> = self.owned.iter().map(|(shard, owned)| (*shard, owned.epoch())).collect();
        self.parts.epochs.send_if_modified(|told| {
            let changed = *told != now;
            *told = now;
            changed
        });
    }

    /// Releases what a sink has dropped by itself: the next claim reads it again from where the sink is.
    fn release_dropped(&mut self) {
        let dropped: Vec<(Shard, u64)> = self.outbox.sinks().flat_map(|sink| sink.report.take_dropped()).collect();
        let held = |(shard, epoch): &(Shard, u64)| self.owned.get(shard).is_some_and(|owned| owned.epoch() == *epoch);
        let dropped: BTreeSet<Shard> = dropped.into_iter().filter(held).map(|(shard, _)| shard).collect();
        self.release(dropped.into_iter().collect());
    }

    /// Releases what was claimed while a list of sinks was the newest that is not this worker's, and is again: the next claim
    /// gives them the sinks.
    async fn release_claimed_otherwise(&mut self) {
        let Parts { database, slices, me, wanted, .. } = &mut self.parts;
        let Ok(shards) = answered(ANSWER, database.claimed_otherwise(slices, me, wanted)).await else { return };
        let shards: Vec<Shard> = shards.into_iter().filter(|shard| self.owned.contains_key(shard)).collect();
        if !shards.is_empty() {
            tracing::warn!(
                shards = shards.len(),
                "shards were claimed while another list of sinks was the newest: they are claimed again, and sinks that they \
                 did not have begin there"
            );
            self.release(shards);
        }
    }

    fn release_surplus(&mut self, wanted: &BTreeSet<Shard>) {
        let surplus = self.owned.keys().filter(|shard| !wanted.contains(shard)).copied().collect();
        self.release(surplus);
    }

    /// Drops what another worker has claimed, and what a catalog that went back no longer says is ours.
    fn drop_lost(&mut self, rows: &BTreeMap<Shard, Row>) {
        let owned: Vec<Shard> = self.owned.keys().copied().collect();
        for shard in owned {
            if let Some(row) = rows.get(&shard) {
                self.lose_or_go_on(shard, row);
            }
        }
    }
}
