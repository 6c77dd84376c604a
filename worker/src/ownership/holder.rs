//! The holder: claims what the plan gives it, reads and commits it, and releases what the plan takes away.
//!
//! Invariants:
//! - an entry is committed under the claim under which it was read, and the next one after it: at a doubt the row is read
//!   again, and what it covers already is left out;
//! - a shard is released between two commits, never in one;
//! - a claim or a release whose answer was lost is carried to its end, so that no row names a worker that does not hold it.

use super::members::View;
use crate::log::nats::{Behind, Error as LogError, Log, Message, Next};
use crate::log::{Entry, Numbered};
use crate::sinks::postgres::{Claimed, CommitError, Committer, Database, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::backoff::Backoff;
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slices};

/// Messages on their way from the readers to the commit.
const AHEAD: usize = 4096;
/// Entries in a commit at most.
const MAX_ENTRIES: usize = 2048;
/// How often a claim that was not to be had is tried again.
const AGAIN: Duration = Duration::from_millis(250);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What a reader read, under which claim.
struct Read {
    shard: Shard,
    epoch: u64,
    next: Result<Next, LogError>,
}

/// Holds shards for one worker.
pub struct Holder {
    log: Log,
    slices: Arc<Slices>,
    database: Database,
    committer: Committer,
    me: WorkerId,
    owned: BTreeMap<Shard, Owned>,
    readers: BTreeMap<Shard, AbortOnDropHandle<()>>,
    /// Claims and releases without an answer.
    unsure: BTreeSet<Shard>,
    to: mpsc::Sender<Read>,
    from: mpsc::Receiver<Read>,
}

impl Holder {
    /// A holder that has nothing yet.
    #[must_use]
    pub fn new(log: Log, slices: Arc<Slices>, database: Database, me: WorkerId) -> Self {
        let (to, from) = mpsc::channel(AHEAD);
        let committer = Committer::new(database.clone(), slices.clone());
        let (owned, readers, unsure) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { log, slices, database, committer, me, owned, readers, unsure, to, from }
    }

    /// Follows the plan until the token fires, then releases everything.
    pub async fn run(mut self, mut view: watch::Receiver<View>, stop: CancellationToken) {
        let mut again = tokio::time::interval(AGAIN);
        let mut read = Vec::new();
        loop {
            tokio::select! {
                count = self.from.recv_many(&mut read, MAX_ENTRIES) => {
                    debug_assert!(count > 0, "the holder has a sender of its own");
                    self.commit(std::mem::take(&mut read)).await;
                }
                _ = again.tick() => {
                    let now = view.borrow_and_update().clone();
                    self.follow(&now).await;
                }
                () = stop.cancelled() => break,
            }
        }
        self.follow(&View::default()).await;
    }

    /// Releases what the plan does not give this worker, and claims what it does.
    async fn follow(&mut self, view: &View) {
        let wanted = view.plan.shards_of(&self.me).cloned().unwrap_or_default();
        let surplus: Vec<Shard> = self.owned.keys().filter(|shard| !wanted.contains(shard)).copied().collect();
        for shard in surplus {
            self.release(shard).await;
        }
        for shard in self.unsure.clone() {
            // Nobody else may take it while its row names this worker.
            if self.claim(shard, view).await && !wanted.contains(&shard) {
                self.release(shard).await;
            }
        }
        for shard in wanted {
            if !self.owned.contains_key(&shard) {
                self.claim(shard, view).await;
            }
        }
    }

    /// Claims a shard and begins to read it. Returns whether it is held now.
    async fn claim(&mut self, shard: Shard, view: &View) -> bool {
        let claimed = match self.try_claim(shard, view).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::debug!(%error, ?shard, "the claim has no answer");
                self.unsure.insert(shard);
                return false;
            }
        };
        self.unsure.remove(&shard);
        let Some(claimed) = claimed else { return false };
        let behind = Behind { seq: claimed.owned.position(), number: Some(claimed.number) };
        let mut reader = self.log.shard(&self.slices, shard, behind);
        let (to, epoch) = (self.to.clone(), claimed.owned.epoch());
        let reading = tokio::spawn(async move {
            loop {
                let next = reader.next().await;
                let ended = next.is_err();
                if to.send(Read { shard, epoch, next }).await.is_err() || ended {
                    return;
                }
            }
        });
        self.readers.insert(shard, AbortOnDropHandle::new(reading));
        self.owned.insert(shard, claimed.owned);
        true
    }

    /// Claims a shard whose owner has released it or is gone.
    async fn try_claim(&self, shard: Shard, view: &View) -> Result<Option<Claimed>, Error> {
        let row = self.database.row(&self.slices, shard).await?;
        let gone: Vec<WorkerId> = row.owner.into_iter().filter(|owner| view.gone(owner)).collect();
        self.database.claim(&self.slices, shard, &self.me, 0, &gone).await
    }

    async fn release(&mut self, shard: Shard) {
        let Some(owned) = self.lose(shard) else { return };
        if let Err(error) = self.database.release(&self.slices, owned).await {
            tracing::debug!(%error, ?shard, "the release has no answer");
            self.unsure.insert(shard);
        }
    }

    /// Stops the reading of a shard.
    fn lose(&mut self, shard: Shard) -> Option<Owned> {
        self.readers.remove(&shard);
        self.owned.remove(&shard)
    }

    /// Commits what was read, as far as it is still held.
    async fn commit(&mut self, read: Vec<Read>) {
        let mut entries: Vec<Numbered> = read.into_iter().filter_map(|read| self.entry(read)).collect();
        // Readers interleave as they like; slices share the table of accounts, where the highest sequence counts.
        entries.sort_unstable_by_key(|entry| entry.entry.seq);
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        while !entries.is_empty() {
            match self.committer.commit(&self.owned, &entries).await {
                Ok(committed) => {
                    for (shard, totals) in committed.shards {
                        self.go_on(shard, totals.position);
                    }
                    return;
                }
                Err(CommitError::Fenced(shards)) => {
                    for shard in shards {
                        let _ = self.look_again(shard, &mut entries).await;
                    }
                }
                Err(CommitError::Outage(error)) => {
                    let wait = backoff.next(rand::random());
                    tracing::warn!(entries = entries.len(), wait_ms = wait.as_millis() as u64, "held: {error}");
                    tokio::time::sleep(wait).await;
                    // It may have landed all the same.
                    let shards: BTreeSet<Shard> = entries.iter().map(|entry| entry.entry.shard).collect();
                    for shard in shards {
                        let _ = self.look_again(shard, &mut entries).await;
                    }
                }
            }
        }
    }

    /// What was read, if it was read under the claim that is held now.
    fn entry(&self, Read { shard, epoch, next }: Read) -> Option<Numbered> {
        if self.owned.get(&shard).is_none_or(|owned| owned.epoch() != epoch) {
            return None;
        }
        match next {
            Ok(Next::Message(Message { seq, number, item, .. })) => {
                let entry = Entry { seq, shard, item: Arc::new(item?) };
                Some(Numbered { entry, number })
            }
            Ok(Next::Missing { from, to }) => {
                tracing::error!(?shard, from, to, "a gap in the log: it no longer has these messages");
                None
            }
            Err(error) => {
                tracing::error!(?shard, %error, "the shard can not be read on");
                None
            }
        }
    }

    fn go_on(&mut self, shard: Shard, position: u64) {
        let Some(owned) = self.owned.remove(&shard) else { return };
        let row = Row { epoch: owned.epoch(), owner: None, position };
        if let Ok(owned) = owned.go_on(&row) {
            self.owned.insert(shard, owned);
        }
    }

    /// Reads the shard's row again, and drops of the entries what it covers; all of them where the claim is lost.
    async fn look_again(&mut self, shard: Shard, entries: &mut Vec<Numbered>) -> Result<(), Error> {
        let row = self.database.row(&self.slices, shard).await?;
        let position = self.lose_or_go_on(shard, &row).unwrap_or(u64::MAX);
        entries.retain(|entry| entry.entry.shard != shard || entry.entry.seq > position);
        Ok(())
    }

    fn lose_or_go_on(&mut self, shard: Shard, row: &Row) -> Option<u64> {
        match self.owned.remove(&shard)?.go_on(row) {
            Ok(owned) => {
                let position = owned.position();
                self.owned.insert(shard, owned);
                Some(position)
            }
            Err(lost) => {
                tracing::info!(?shard, %lost, "the shard is dropped");
                self.lose(shard);
                None
            }
        }
    }
}
