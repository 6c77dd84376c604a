//! What a worker sees of the others: heartbeats and the plan, as the bucket tells their changes.

use super::{PLAN, WORKER, catalog};
use crate::log::nats::stream::of_leader;
use crate::log::nats::{Error, Log};
use async_nats::jetstream::kv::{Entry, Operation, Watch};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use turbo_core::ownership::Liveness;
use turbo_core::plan::{Plan, WorkerId};

/// Heartbeats of its own that a watch may leave out: then it stands still.
const UNTOLD: u32 = 4;

/// One worker's view of the bucket, kept up to date by [`Board::look`].
pub struct Board {
    log: Log,
    me: WorkerId,
    began: Instant,
    liveness: Liveness,
    /// Never locked by two: the lock lets a board be shared, which a watch can not be.
    watch: Mutex<Option<Watch>>,
    /// When the bucket was made that is watched: one that takes its place tells nothing to the watch of the old one.
    made: Option<i128>,
    /// Whether everything that was there at the beginning of the watch was seen.
    current: bool,
    beats: BTreeMap<WorkerId, u64>,
    /// The last heartbeat of this worker that the bucket took: its revision, and when it was sent.
    beaten: Option<(u64, Instant)>,
    /// Heartbeats that the bucket took since the watch told of one, or was begun.
    untold: u32,
    /// Every plan that was written before this time was seen.
    known: Option<Instant>,
    plan: Plan,
    revision: u64,
    /// The catalog that the bucket says.
    catalog: Option<String>,
}

impl Board {
    /// A board that knows nothing yet. Another worker is gone `limit` after its last heartbeat. Ids are what a key of
    /// the bucket may bear: letters, digits, `-` and `_`.
    #[must_use]
    pub fn new(log: Log, me: WorkerId, limit: Duration) -> Self {
        let liveness = Liveness::new(limit, Duration::ZERO);
        let (beats, plan) = (BTreeMap::new(), Plan::default());
        Self {
            log,
            me,
            began: Instant::now(),
            liveness,
            watch: Mutex::new(None),
            made: None,
            current: false,
            beats,
            beaten: None,
            untold: 0,
            known: None,
            plan,
            revision: 0,
            catalog: None,
        }
    }

    /// Sends a heartbeat: `report` is what this worker says of itself.
    ///
    /// # Errors
    /// No answer.
    pub async fn beat(&mut self, report: Bytes) -> Result<(), Error> {
        let sent = Instant::now();
        let revision = self.log.put("a heartbeat", key(&self.me), report).await?;
        self.beaten = Some((revision, sent));
        self.untold += 1;
        Ok(())
    }

    /// Takes the heartbeat out: this worker leaves, and nobody has to wait for that to show.
    ///
    /// # Errors
    /// No answer.
    pub async fn leave(&self) -> Result<(), Error> {
        let deleted = self.log.bucket.delete(key(&self.me)).await;
        deleted.map_err(|error| Error::request("leaving")(&error))
    }

    /// Looks at what has changed. To be called at least four times within the limit.
    ///
    /// # Errors
    /// No answer; what is known stays, and the watch begins anew at the next look.
    pub async fn look(&mut self) -> Result<(), Error> {
        self.liveness.tick(self.began.elapsed());
        let mut watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if self.log.is_connected_anew() {
            // The watch went with the server's memory, and would find that out after a while only.
            watch = None;
        }
        if self.untold >= UNTOLD {
            tracing::warn!("the watch of the bucket stands still: it begins anew");
            watch = None;
        }
        let failed = |error: &dyn std::error::Error| Error::request("the watch of the bucket")(error);
        let bucket = self.log.bucket.stream.get_info().await.map_err(|error| failed(&error))?;
        let made = Some(of_leader(&bucket)?.created.unix_timestamp_nanos());
        let mut watch = match watch {
            Some(watch) if made == self.made => watch,
            _ => {
                if made != self.made {
                    // Nothing is in it yet. What is planned stays, and is written into this one too.
                    (self.revision, self.made, self.catalog) = (0, made, None);
                    (self.beaten, self.known) = (None, None);
                    self.beats.clear();
                }
                self.open(bucket.state.messages).await?
            }
        };
        while let Some(changed) = watch.next().now_or_never() {
            let Some(changed) = changed else { return Ok(()) };
            self.take(&changed.map_err(|error| failed(&error))?);
        }
        self.watch = Mutex::new(Some(watch));
        Ok(())
    }

    async fn open(&mut self, values: u64) -> Result<Watch, Error> {
        self.untold = 0;
        // A bucket without keys says nothing at all: then there is nothing to be seen first.
        self.current = values == 0;
        let keys = [format!("{WORKER}>"), PLAN.to_owned(), catalog::KEY.to_owned()];
        let watch = self.log.bucket.watch_many_with_history(keys).await;
        watch.map_err(|error| Error::request("the watch of the bucket")(&error))
    }

    fn take(&mut self, entry: &Entry) {
        self.current |= entry.seen_current;
        let there = entry.operation == Operation::Put;
        if entry.key == PLAN {
            self.revision = entry.revision;
            // A plan that can not be read is made anew, from nothing.
            self.plan = if there { serde_json::from_slice(&entry.value).unwrap_or_default() } else { Plan::default() };
        } else if entry.key == catalog::KEY {
            self.catalog = there.then(|| String::from_utf8_lossy(&entry.value).into_owned());
        } else if let Some(id) = entry.key.strip_prefix(WORKER) {
            let worker = WorkerId::from(id);
            if worker == self.me {
                self.untold = 0;
            }
            // What the bucket tells comes in the order of its revisions: no plan that is older than this is to come.
            if let Some((_, sent)) = self.beaten.filter(|(beaten, _)| worker == self.me && entry.revision >= *beaten) {
                self.known = self.known.max(Some(sent));
            }
            if there {
                self.beats.insert(worker.clone(), entry.revision);
                self.liveness.heard(&worker, entry.revision, self.began.elapsed());
            } else {
                self.beats.remove(&worker);
                self.liveness.left(&worker);
            }
        }
    }

    /// Whose board it is.
    #[must_use]
    pub fn me(&self) -> &WorkerId {
        &self.me
    }

    /// The plan, and its revision in the bucket.
    #[must_use]
    pub fn plan(&self) -> (&Plan, u64) {
        (&self.plan, self.revision)
    }

    /// When every plan that had been written by then was seen; `None` where that is not known of this bucket.
    #[must_use]
    pub fn known(&self) -> Option<Instant> {
        self.known
    }

    /// The catalog that the bucket says; `None` where it says none, or was not seen yet.
    pub(super) fn catalog(&self) -> Option<&str> {
        self.catalog.as_deref()
    }

    /// The workers that live; `None` before everything was seen once.
    #[must_use]
    pub fn live(&self) -> Option<BTreeSet<WorkerId>> {
        self.current.then(|| self.liveness.live().cloned().collect())
    }

    /// Whether a worker's claims no longer count.
    #[must_use]
    pub fn gone(&self, worker: &WorkerId) -> bool {
        self.liveness.gone(worker)
    }

    /// Whether the others were watched for long enough to tell who is gone, also of one that was never heard of.
    pub(super) fn settled(&self) -> bool {
        self.current && self.gone(&WorkerId::from(""))
    }

    /// Heartbeats of workers that are gone, with their revisions.
    pub(super) fn stale(&self) -> impl Iterator<Item = (String, u64)> {
        self.beats.iter().filter(|(worker, _)| self.gone(worker)).map(|(worker, revision)| (key(worker), *revision))
    }
}

/// What is in the bucket now: the plan, and each worker's last heartbeat with its age by the server's clock.
///
/// # Errors
/// No answer.
pub async fn announced(log: &Log) -> Result<(Plan, BTreeMap<WorkerId, Heartbeat>), Error> {
    let failed = |error: &dyn std::error::Error| Error::request("the heartbeats")(error);
    let plan = log.bucket.get(PLAN).await.map_err(|error| failed(&error))?;
    let plan = plan.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let mut keys = log.bucket.keys().await.map_err(|error| failed(&error))?;
    let mut beats = BTreeMap::new();
    while let Some(key) = keys.next().await {
        let key = key.map_err(|error| failed(&error))?;
        let Some(id) = key.strip_prefix(WORKER) else { continue };
        let entry = log.bucket.entry(&key).await.map_err(|error| failed(&error))?;
        if let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) {
            let at_us = (entry.created.unix_timestamp_nanos() / 1000) as i64;
            let says = serde_json::from_slice(&entry.value).unwrap_or_default();
            beats.insert(WorkerId::from(id), Heartbeat { at_us, says });
        }
    }
    Ok((plan, beats))
}

/// A worker's last heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// When the server took it, in microseconds since the Unix epoch.
    pub at_us: i64,
    /// What the worker says of itself.
    pub says: serde_json::Value,
}

fn key(worker: &WorkerId) -> String {
    format!("{WORKER}{worker}")
}
