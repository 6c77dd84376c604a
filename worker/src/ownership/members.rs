//! The task of a member: it beats, looks, and plans where the lease is its own, whatever the commits wait for.

use super::{Board, Planner, catalog};
use crate::hydration::pacer::Shared;
use crate::log::nats::{Error, Log};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use turbo_core::plan::{Plan, WorkerId};
use turbo_core::shard::Shard;

/// What a worker has to know of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The plan.
    pub plan: Plan,
    /// The workers that live.
    pub live: BTreeSet<WorkerId>,
    /// Whether the others were watched for long enough to tell who is gone.
    pub settled: bool,
    /// The catalog that has taken the place of this worker's: the worker is to end.
    pub replaced_by: Option<String>,
}

impl View {
    /// Whether a worker's claims no longer count.
    #[must_use]
    pub fn gone(&self, worker: &WorkerId) -> bool {
        self.settled && !self.live.contains(worker)
    }
}

/// A member of a pipeline.
pub struct Member {
    log: Log,
    board: Board,
    planner: Planner,
    shards: BTreeMap<Shard, u64>,
    catalog: String,
    limit: Duration,
    report: Box<dyn Fn() -> Bytes + Send>,
    share: Option<Shared>,
}

impl Member {
    /// A member `me`, over all these shards, with this `catalog`. A worker is gone `limit` after its last heartbeat; each heartbeat carries what
    /// `report` says of it.
    #[must_use]
    pub fn new(
        log: &Log,
        me: &WorkerId,
        shards: BTreeMap<Shard, u64>,
        catalog: &str,
        limit: Duration,
        report: Box<dyn Fn() -> Bytes + Send>,
    ) -> Self {
        let board = Board::new(log.clone(), me.clone(), limit);
        let (planner, catalog) = (Planner::new(log.clone(), me, limit), catalog.to_owned());
        Self { log: log.clone(), board, planner, shards, catalog, limit, report, share: None }
    }

    /// The same, which keeps its share of the budget as the plans say.
    #[must_use]
    pub fn with_share(self, share: Option<Shared>) -> Self {
        Self { share, ..self }
    }

    /// Runs until the token fires, then leaves. Tells what it sees.
    pub async fn run(mut self, view: watch::Sender<View>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.limit / 8);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => break,
            }
            if let Err(error) = self.step().await {
                tracing::debug!(%error, "the other workers are not seen for now");
                // A server may have lost the bucket with its storage. Where it is there, this changes nothing.
                let _ = self.log.keep_bucket().await;
            }
            self.keep_share();
            let next = self.view();
            view.send_if_modified(|now| {
                let changed = *now != next;
                *now = next;
                changed
            });
        }
        for left in [self.planner.release().await, self.board.leave().await] {
            if let Err(error) = left {
                tracing::debug!(%error, "the others find out by themselves that this worker has left");
            }
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        // Where no heartbeat gets through, none is heard either: that time does not count against the others.
        self.board.beat((self.report)()).await?;
        self.board.look().await?;
        if self.board.live().is_some() && self.board.catalog().is_none() {
            // The bucket was lost with its server, and is made anew.
            catalog::write(&self.log, &self.catalog).await?;
        }
        self.planner.step(&self.board, &self.shards).await?;
        Ok(())
    }

    /// Tells the share of the budget which plan counts, and up to when every plan was seen.
    fn keep_share(&self) {
        let Some(share) = &self.share else { return };
        let Some(known) = self.board.known() else { return share.change(|share, _| share.forget()) };
        let (plan, _) = self.board.plan();
        let is_in_it = plan.shards_of(self.board.me()).is_some();
        let among = is_in_it.then(|| u32::try_from(plan.workers().count()).unwrap_or(u32::MAX));
        let known = share.at(known.into());
        share.change(|share, now| {
            share.planned(plan.number(), among, now);
            share.knows(known);
        });
    }

    fn view(&self) -> View {
        let (plan, _) = self.board.plan();
        let (live, settled) = (self.board.live().unwrap_or_default(), self.board.settled());
        let replaced_by = self.board.catalog().filter(|catalog| *catalog != self.catalog).map(str::to_owned);
        View { plan: plan.clone(), live, settled, replaced_by }
    }
}
