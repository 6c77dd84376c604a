//! Completes records that landed with less than was asked for: the oldest first, with what the budget leaves.
//!
//! Invariants:
//! - a completion is of the very version that waits, which its log sequence names: nothing newer is overwritten;
//! - a record waits as long as the very document that is written is not full;
//! - a bounded number is in hand, so what is fetched for them does not grow old before the rest has come;
//! - one that stays incomplete for more answers than its items had to wait for is put back (with what is known, where nothing
//!   stands in it yet), and comes again in its turn: it holds nobody up. While nothing is answered nothing is put back, so a
//!   queue is not read over and over while nobody answers;
//! - the queue is begun from its oldest again at its end, and before that after a bounded number of records, so what was put
//!   back does not wait for all that has come since; two of three that are taken are new ones even so.

use super::client::MOST;
use super::hydrator::Hydrator;
use super::references::References;
use super::report::{Report, Told};
use super::wanted::TURNS;
use crate::telemetry::events;
use crate::telemetry::metrics as m;
use metrics::counter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use turbo_core::backoff::Backoff;
use turbo_core::hydrated::{Hydrated, Hydration};
use turbo_core::shard::Shard;

/// Records in hand at most, and below how many more are taken.
const IN_HAND: usize = 1000;
const FEW: usize = IN_HAND / 2;
/// Answers after which one is put back, when its turn has come.
const PATIENCE: u64 = 200;
/// Records after which the queue is begun from its oldest again.
const PASS: usize = 5 * IN_HAND;
/// Between two looks: at most, and at least.
const EVERY: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at the queue's limits.
const KEEP: Duration = Duration::from_secs(5);
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Log sequence of its version.
    pub seq: u64,
    /// Its shard.
    pub shard: Shard,
    /// Whose it is.
    pub did: String,
    /// Its collection.
    pub collection: String,
    /// Its key.
    pub rkey: String,
    /// Its JSON; `None` where another version has taken its place, or it is gone.
    pub record: Option<String>,
    /// Whether some of what it points at stands beside it already.
    pub partial: bool,
}

/// What is written of one that waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The record, without its JSON.
    pub waiting: Waiting,
    /// What is known of it now; `None` where it needs nothing any more.
    pub hydrated: Option<Arc<Hydrated>>,
    /// Whether it goes on waiting.
    pub waits: bool,
}

/// The queue of a catalog.
pub trait Queue: Send + Sync {
    /// Why it can not be read or written.
    type Error: std::fmt::Display + Send;

    /// The shards whose records these are, each at its epoch; `None` where there is no other worker.
    fn owned(&self) -> Option<BTreeMap<Shard, u64>>;

    /// At most `limit` that wait behind this log sequence, the oldest first.
    fn waiting(&self, behind: u64, limit: usize) -> impl Future<Output = Result<Vec<Waiting>, Self::Error>> + Send;

    /// Gives up what has waited for longer than this, by the catalog's own clock, and the oldest of more than `most`: it stays
    /// as it is.
    fn give_up(&self, age: Duration, most: u64) -> impl Future<Output = Result<GivenUp, Self::Error>> + Send;

    /// How many wait, and for how long the oldest has, in seconds by the catalog's own clock.
    fn depth(&self) -> impl Future<Output = Result<(u64, f64), Self::Error>> + Send;

    /// Writes completions, each only where the same version still stands.
    fn complete(&self, completions: &[Completion]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What was given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// How many records.
    pub records: u64,
    /// The last log sequence of those of each shard.
    pub last: BTreeMap<Shard, u64>,
}

impl GivenUp {
    /// Records of a shard, the last of them at this log sequence.
    pub fn add(&mut self, shard: Shard, records: u64, last: u64) {
        self.records += records;
        self.last.insert(shard, last);
    }
}

/// How long and how many may wait.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// How many.
    pub records: u64,
    /// How long.
    pub age: Duration,
}

/// Completes what waits in a queue.
pub struct Completer<Q> {
    queue: Q,
    hydrator: Hydrator,
    keep: Keep,
    report: Report,
    /// When the queue was kept within its limits last.
    kept: Option<Instant>,
    /// By log sequence.
    hand: BTreeMap<u64, Held>,
    pass: Pass,
    /// Whose records were taken in hand.
    owned: Option<BTreeMap<Shard, u64>>,
}

struct Held {
    waiting: Waiting,
    references: References,
    /// How many answers are waited for.
    until: u64,
}

/// Since the queue was begun from its oldest.
#[derive(Default)]
struct Pass {
    /// The last one that was read.
    last: u64,
    /// How many were taken in hand.
    taken: usize,
    /// How many were put back.
    put_back: usize,
}

impl Pass {
    /// Whether the oldest come again.
    fn is_over(&self) -> bool {
        self.taken >= PASS.max(3 * self.put_back)
    }
}

impl<Q: Queue> Completer<Q> {
    /// Of this queue, by what this hydrator knows.
    pub fn new(queue: Q, hydrator: Hydrator, keep: Keep, report: Report) -> Self {
        Self { queue, hydrator, keep, report, kept: None, hand: BTreeMap::new(), pass: Pass::default(), owned: None }
    }

    /// Runs until the token fires.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut landed = self.hydrator.handle().landed();
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            let answers = *landed.borrow_and_update();
            let wait = match self.step(answers).await {
                Ok(()) => {
                    backoff.reset();
                    PAUSE
                }
                Err(error) => {
                    tracing::warn!(%error, "records that wait for hydration wait on: the queue can not be used");
                    self.hand.clear();
                    self.pass = Pass::default();
                    backoff.next(rand::random())
                }
            };
            let more = async {
                tokio::time::sleep(wait).await;
                let _ = tokio::time::timeout(EVERY, landed.changed()).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = more => {}
            }
        }
    }

    /// Takes more in hand, writes what is complete, and asks for what is missing. `answers` have come so far.
    ///
    /// # Errors
    /// The queue can not be used; nothing is written, or it is written again.
    pub async fn step(&mut self, answers: u64) -> Result<(), Q::Error> {
        if self.kept.is_none_or(|kept| kept.elapsed() >= KEEP) {
            self.keep().await?;
            self.kept = Some(Instant::now());
        }
        self.follow();
        let mut done = Vec::new();
        if self.hand.len() < FEW {
            self.take(answers, &mut done).await?;
        }
        let mut missing = Vec::new();
        for Held { waiting, references, until } in self.hand.values() {
            if answers < *until {
                let before = missing.len();
                missing.extend(self.hydrator.unknown(waiting.shard.slice, references));
                if missing.len() > before {
                    continue;
                }
            }
            let hydrated = self.hydrator.known(waiting.shard.slice, references);
            // The document itself says so: what was known a moment ago may be too old now, or the stream has changed it.
            let waits = hydrated.hydration != Hydration::Full;
            self.pass.put_back += usize::from(waits);
            done.push(Completion { waiting: waiting.clone(), waits, hydrated: Some(hydrated) });
        }
        self.hydrator.handle().deferred(missing);
        if !done.is_empty() {
            self.queue.complete(&done).await?;
            let completed = done.iter().filter(|done| !done.waits && done.hydrated.is_some()).count() as u64;
            counter!(m::HYDRATION_COMPLETED).increment(completed);
            self.report.tell(|told| told.completed += completed);
        }
        for completion in done {
            self.hand.remove(&completion.waiting.seq);
        }
        Ok(())
    }

    /// What came may be older than all that is in hand, and what went is another's.
    fn follow(&mut self) {
        let owned = self.queue.owned();
        if owned != self.owned {
            let is_ours = |shard: &Shard| owned.as_ref().is_none_or(|owned| owned.contains_key(shard));
            self.hand.retain(|_, held| is_ours(&held.waiting.shard));
            (self.owned, self.pass) = (owned, Pass::default());
        }
    }

    /// Keeps the queue within its limits, and tells how it is.
    async fn keep(&mut self) -> Result<(), Q::Error> {
        let GivenUp { records: given_up, last } = self.queue.give_up(self.keep.age, self.keep.records).await?;
        self.hand.retain(|seq, held| last.get(&held.waiting.shard).is_none_or(|last| seq > last));
        if given_up > 0 {
            events::HydrationGivenUp { records: given_up }.emit();
        }
        let (queue, queue_seconds) = self.queue.depth().await?;
        let (wanted, wanted_for_queue) = self.hydrator.handle().waiting();
        let (cache_bytes, cache_items) = self.hydrator.handle().cached();
        self.report.tell(|told| {
            told.given_up += given_up;
            *told = Told { queue, queue_seconds, wanted, wanted_for_queue, cache_bytes, cache_items, ..told.clone() };
        });
        Ok(())
    }

    /// Takes the next ones; those that need nothing any more are `done`.
    async fn take(&mut self, answers: u64, done: &mut Vec<Completion>) -> Result<(), Q::Error> {
        let room = IN_HAND - self.hand.len();
        let read = self.queue.waiting(self.pass.last, room).await?;
        let is_end = read.len() < room;
        self.pass.last = read.last().map_or(0, |waiting| waiting.seq);
        let mut before = self.hydrator.handle().waiting().1;
        for mut waiting in read {
            if self.hand.contains_key(&waiting.seq) {
                continue;
            }
            let record = waiting.record.take();
            let references = record.and_then(|record| {
                self.hydrator.references(waiting.shard.slice, &waiting.did, &waiting.collection, record.as_bytes())
            });
            match references {
                Some(references) => {
                    before += self.hydrator.unknown(waiting.shard.slice, &references).count();
                    let until = answers + PATIENCE + u64::from(TURNS) * (before / MOST) as u64;
                    self.pass.taken += 1;
                    self.hand.insert(waiting.seq, Held { waiting, references, until });
                }
                None => done.push(Completion { waiting, hydrated: None, waits: false }),
            }
        }
        if is_end || self.pass.is_over() {
            self.pass = Pass::default();
        }
        Ok(())
    }
}

impl Completion {
    /// What is to be written into the record. Of one that goes on waiting what stands there stays: some of what it knows may
    /// have grown too old since, but it may be all that the record ever gets.
    #[must_use]
    pub fn hydrated(&self) -> Option<&Hydrated> {
        let is_more = |hydrated: &&Hydrated| hydrated.hydration == Hydration::Partial && !self.waiting.partial;
        self.hydrated.as_deref().filter(|hydrated| !self.waits || is_more(hydrated))
    }
}

#[cfg(test)]
#[path = "completer_tests.rs"]
mod tests;
