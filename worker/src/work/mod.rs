//! The worker: takes what waits in the log, and commits it.
//!
//! Invariants: batches are committed in log order, one at a time; a failed commit is tried again until it holds, and
//! nothing is taken from the log meanwhile; room in the log is given back after the commit only; an archive that does
//! not keep up holds the commits back, before what waits for it fills the disk.

use crate::hydration::hydrator::Hydrator;
use crate::live::Live;
use crate::log::Batch;
use crate::log::embedded::Reader;
use crate::sinks::intents::Handle;
use crate::sinks::sqlite::rotation::Rotation;
use crate::sinks::sqlite::{Committer, Error};
use crate::telemetry::events;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use turbo_core::backoff::Backoff;

/// Entries in a commit at most.
const MAX_ENTRIES: usize = 2048;
/// When it is calm, a commit waits this long for company: fewer, larger commits cost less, and nobody notices.
const LINGER: Duration = Duration::from_millis(10);
/// From this size on a batch does not wait.
const ENOUGH: usize = 256;
/// Closed segments that may wait for their object, or as many for each shard as [`INTENTS_EACH`]: what waits is bounded by
/// these times the size of a segment.
const MAX_INTENTS: i64 = 64;
/// An hour's end closes the segments of all shards at once, and the next may come before all of them are made.
const INTENTS_EACH: i64 = 2;
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The committing loop.
pub struct Worker {
    /// Where entries come from.
    pub log: Reader,
    /// Who puts beside them what is known, where any slice asks for that.
    pub hydrator: Option<Hydrator>,
    /// Where they go.
    pub committer: Committer,
    /// Who makes the archive's objects, if there is one.
    pub archiver: Option<Handle>,
    /// Who cuts windows off the file, if that is asked for.
    pub rotation: Option<Rotation>,
    /// Who is told.
    pub live: Arc<Live>,
}

impl Worker {
    /// Commits until the log has ended, then closes the archive's segments and waits for their objects.
    ///
    /// # Errors
    /// Another process has claimed a shard.
    pub async fn run(mut self) -> Result<(), Error> {
        let mut due = tokio::time::interval(Duration::from_secs(1));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = false;
        if let Some(hydrator) = self.hydrator.clone() {
            self.log = self.log.ahead(move |entry| entry.hydrate(&hydrator, true));
        }
        loop {
            tokio::select! {
                next = self.log.next(MAX_ENTRIES), if !held => {
                    let Some((mut batch, room)) = next else { break };
                    let calm = batch.entries.len() < ENOUGH;
                    if self.commit(&mut batch).await? {
                        held = self.archive_is_behind().await;
                    }
                    if self.rotation.as_ref().is_some_and(Rotation::is_full) {
                        self.rotate().await;
                    }
                    drop((batch, room));
                    if calm {
                        tokio::time::sleep(LINGER).await;
                    }
                }
                _ = due.tick() => {
                    self.close_segments(false).await;
                    self.rotate().await;
                    held = self.archive_is_behind().await;
                }
            }
        }
        self.close_segments(true).await;
        if let Some(archiver) = self.archiver.take() {
            archiver.finish().await;
        }
        if let Some(rotation) = self.rotation.take() {
            rotation.finish().await;
        }
        Ok(())
    }

    /// Whether too many closed segments wait for their object.
    async fn archive_is_behind(&self) -> bool {
        let limit = MAX_INTENTS.max(INTENTS_EACH * self.committer.shards() as i64);
        let behind = self.committer.intents().await.is_ok_and(|intents| intents > limit);
        self.live.held_by(behind.then_some("archive"));
        behind
    }

    /// Commits a batch; waits out every error but a lost claim. Returns whether a segment was closed.
    async fn commit(&mut self, batch: &mut Batch) -> Result<bool, Error> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        if let Some(hydrator) = &self.hydrator {
            let now = tokio::time::Instant::now();
            batch.entries.iter_mut().for_each(|entry| entry.refresh(hydrator, now));
        }
        loop {
            let began = Instant::now();
            match self.committer.commit(batch).await {
                Ok(committed) => {
                    self.live.committed(batch, &committed, began.elapsed());
                    if committed.closed_segments {
                        self.wake_archiver();
                    }
                    if let Some(rotation) = &mut self.rotation {
                        rotation.grown(committed.written.bytes);
                    }
                    return Ok(committed.closed_segments);
                }
                Err(lost @ Error::InUse(_)) => return Err(lost),
                Err(error) => {
                    let wait = backoff.next(rand::random());
                    self.live.commit_failed(&error.to_string());
                    events::CommitFailed { error: &error.to_string(), entries: batch.entries.len(), wait }.emit();
                    tokio::time::sleep(wait).await;
                    if let Some(hydrator) = &self.hydrator {
                        batch.entries.iter_mut().for_each(|entry| entry.hydrate_again(hydrator));
                    }
                }
            }
        }
    }

    async fn close_segments(&mut self, all: bool) {
        if self.archiver.is_none() {
            return;
        }
        match self.committer.close_segments(all).await {
            Ok(true) => self.wake_archiver(),
            Ok(false) => {}
            // It is tried again in a second; what is not closed now waits in SQLite.
            Err(error) => self.live.commit_failed(&error.to_string()),
        }
    }

    async fn rotate(&mut self) {
        if let Some(rotation) = &mut self.rotation
            && let Err(error) = rotation.cut_if_due().await
        {
            self.live.commit_failed(&error.to_string());
        }
    }

    fn wake_archiver(&self) {
        if let Some(archiver) = &self.archiver {
            archiver.wake();
        }
    }
}
