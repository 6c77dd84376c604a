//! The planner: the worker that holds the lease writes the plan.

use super::{Board, LEASE, PLAN};
use crate::log::nats::{Error, Lease, Log};
use async_nats::jetstream::kv::{CreateErrorKind, UpdateErrorKind};
use std::collections::BTreeMap;
use std::time::Duration;
use turbo_core::plan::{WorkerId, plan};
use turbo_core::shard::Shard;

/// Plans while it holds the lease.
pub struct Planner {
    log: Log,
    lease: Lease,
}

impl Planner {
    /// A planner that is `me`, with a lease of this term.
    #[must_use]
    pub fn new(log: Log, me: &WorkerId, term: Duration) -> Self {
        let lease = Lease::new(log.clone(), LEASE, me.as_str(), term);
        Self { log, lease }
    }

    /// Writes the plan where it has to change and the lease is ours. `shards` are all shards with their weights. To be
    /// called several times in a term. Returns whether the lease is ours.
    ///
    /// # Errors
    /// No answer.
    pub async fn step(&mut self, board: &Board, shards: &BTreeMap<Shard, u64>) -> Result<bool, Error> {
        if !self.lease.keep().await? {
            return Ok(false);
        }
        let Some(live) = board.live() else { return Ok(true) };
        let (previous, revision) = board.plan();
        let next = plan(previous, &live, shards);
        // A bucket that was made anew does not have the plan.
        if next != *previous || revision == 0 {
            let json = serde_json::to_vec(&next).map_err(|error| Error::request("the plan")(&error))?;
            self.write(json, revision).await?;
        }
        for (key, revision) in board.stale() {
            // It came back where this fails.
            let _ = self.log.bucket.delete_expect_revision(key, Some(revision)).await;
        }
        Ok(true)
    }

    /// Writes over this revision only; another planner's plan is seen at the next look.
    async fn write(&self, json: Vec<u8>, revision: u64) -> Result<(), Error> {
        if revision == 0 {
            match self.log.bucket.create(PLAN, json.into()).await {
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(()),
                made => made.map(|_| ()).map_err(|error| Error::request("the plan")(&error)),
            }
        } else {
            match self.log.bucket.update(PLAN, json.into(), revision).await {
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(()),
                made => made.map(|_| ()).map_err(|error| Error::request("the plan")(&error)),
            }
        }
    }

    /// Gives the lease back.
    ///
    /// # Errors
    /// No answer.
    pub async fn release(&mut self) -> Result<(), Error> {
        self.lease.release().await
    }
}
