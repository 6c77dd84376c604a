//! One shard of the enriched stream: what its owner publishes, behind what stands there.
//!
//! Invariants:
//! - one batch is in flight, and its first message expects the last sequence of the shard's subjects, so that a batch of
//!   another owner in between gets it refused whole;
//! - what is published next is what follows the last message that stands there, whoever sent that;
//! - a refusal, or an answer that does not come, is no loss of the shard: the last message is read again, and the catalog
//!   is asked whose the shard is.

use super::Shared;
use super::document::{Encoder, HEADERS};
use super::saving::{Saving, finished};
use super::standing::Doubt;
use crate::log::nats::batch::{self, Answer, Expected, MAX_BATCH, Outgoing};
use crate::log::nats::message;
use crate::log::{Entry, Numbered};
use crate::sinks::covered::Covered;
use crate::sinks::feed::SinkPosition;
use crate::telemetry::metrics as m;
use crate::telemetry::trace::{self, Step};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use turbo_core::backoff::Backoff;
use turbo_core::position::{SourcePosition, generation};
use turbo_core::shard::Shard;

/// Bytes of payload in a batch at most, but for a single message.
const MAX_BYTES: usize = 4 << 20;
/// Parts that are published together at most.
const PARTS: usize = 16;
/// How often the catalog's position is brought up to date.
const SAVE: Duration = Duration::from_secs(1);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a shard's task is told.
pub(super) enum Told {
    /// Entries of the shard, in the order of the log, and the room that they take.
    Entries(Vec<Numbered>, OwnedSemaphorePermit),
    /// Nothing follows; to be answered when all of it has landed.
    Release(oneshot::Sender<()>),
}

/// Why a task ends before it is told to.
#[derive(Debug)]
pub(super) enum Stop {
    /// The shard is another's.
    Lost,
    /// The sink ends, and what is not published now is published by the next owner.
    Ending,
}

/// The messages of one batch.
struct Batch {
    messages: Vec<Outgoing>,
    /// Where the sink is when they have landed.
    to: SinkPosition,
}

/// Publishes one shard.
pub(super) struct Publisher {
    pub(super) shared: Arc<Shared>,
    pub(super) shard: Shard,
    pub(super) epoch: u64,
    /// What the subjects begin with, and the filter that matches them all.
    prefix: String,
    pub(super) filter: String,
    /// What stands in the stream, or was passed over.
    pub(super) position: SinkPosition,
    /// Where the source was at the last event up to there; `None` where that is not known.
    pub(super) source: Option<SourcePosition>,
    /// What that covers of a log that was begun anew.
    pub(super) covered: Covered,
    /// What the catalog holds.
    pub(super) saved: SinkPosition,
    /// Whether the catalog may hold something else.
    pub(super) unsure: bool,
    pub(super) saving: Saving,
    /// The last sequence of the shard's subjects.
    pub(super) last: u64,
    pub(super) backoff: Backoff,
    /// Attempts that failed since something landed.
    pub(super) failures: u32,
    pub(super) ending: CancellationToken,
}

impl Publisher {
    pub(super) fn new(
        shared: Arc<Shared>,
        shard: Shard,
        epoch: u64,
        saved: SinkPosition,
        ending: CancellationToken,
    ) -> Self {
        let prefix = shared.log.names.enriched_shard(&shared.slices, shard);
        let filter = format!("{prefix}.>");
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        // What the catalog knows of the source is left out by the owner.
        let covered = Covered::claimed(saved.seq, None, None);
        let (position, source, unsure, saving, last, failures) = (saved, None, false, None, 0, 0);
        Self {
            shared,
            shard,
            epoch,
            prefix,
            filter,
            position,
            source,
            covered,
            saved,
            unsure,
            saving,
            last,
            backoff,
            failures,
            ending,
        }
    }

    /// Publishes what it is told, until it is told to release the shard, or the shard is lost.
    pub(super) async fn run(mut self, mut told: mpsc::Receiver<Told>) {
        match self.work(&mut told).await {
            Ok(done) => {
                self.shared.report.gone(self.shard);
                let _ = done.map(|done| done.send(()));
            }
            Err(Stop::Lost) => {
                tracing::info!(shard = ?self.shard, epoch = self.epoch, "the shard of the enriched stream is another's");
                self.shared.report.dropped(self.shard, self.epoch);
            }
            Err(Stop::Ending) => {}
        }
    }

    async fn work(&mut self, told: &mut mpsc::Receiver<Told>) -> Result<Option<oneshot::Sender<()>>, Stop> {
        self.begin().await?;
        let mut save = tokio::time::interval(SAVE);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut parts = Vec::new();
        loop {
            tokio::select! {
                count = told.recv_many(&mut parts, PARTS) => {
                    let (mut entries, mut rooms, mut done) = (VecDeque::new(), Vec::new(), None);
                    for part in parts.drain(..) {
                        match part {
                            Told::Entries(more, room) => {
                                entries.extend(more);
                                rooms.push(room);
                            }
                            Told::Release(to) => done = Some(to),
                        }
                    }
                    self.publish(entries).await?;
                    if count == 0 || done.is_some() {
                        self.save_at_the_end().await?;
                        return Ok(done);
                    }
                }
                _ = save.tick() => self.save(),
                row = finished(&mut self.saving) => self.saved(row)?,
            }
        }
    }

    /// Publishes entries until all of them stand in the stream.
    async fn publish(&mut self, mut entries: VecDeque<Numbered>) -> Result<(), Stop> {
        loop {
            self.pass(&mut entries);
            if entries.is_empty() {
                return Ok(());
            }
            let began = trace::now();
            let Batch { messages, to } = self.batch(&entries);
            if messages.is_empty() {
                // Dead letters only.
                self.position = to;
            } else if self.store(&messages).await? {
                self.position = to;
                let stored = entries.iter().map(|entry| &entry.entry).take_while(|entry| entry.seq <= to.seq);
                trace::done(Step::Publish, began, &self.shared.slices, stored);
                (self.failures, self.backoff) = (0, Backoff::new(BACKOFF.0, BACKOFF.1));
                self.shared.report.landed(self.shard, self.saved, messages.len() as u64);
                metrics::counter!(m::ENRICHED_MESSAGES).increment(messages.len() as u64);
            }
        }
    }

    /// Takes out what stands in the stream, or was passed over. Where the source was is that of the last event that is new,
    /// once everything up to the position has passed.
    fn pass(&mut self, entries: &mut VecDeque<Numbered>) {
        let (mut seq, mut last) = (0, None);
        while let Some(passed) = entries.pop_front_if(|entry| entry.entry.seq <= self.position.seq) {
            seq = passed.entry.seq;
            last = self.is_new(&passed.entry).then_some(passed).or(last);
        }
        if seq == self.position.seq {
            let source = last.and_then(|last| last.entry.source());
            self.covered.moved(seq, source.as_ref());
            self.source = source.or(self.source.take());
        }
    }

    /// Whether it is an event that the stream did not have before the log was begun anew.
    fn is_new(&self, entry: &Entry) -> bool {
        entry.item.event().is_some_and(|event| !self.covered.has(entry.seq, &entry.item, event))
    }

    /// The next batch of entries, of one generation of the log.
    fn batch(&self, entries: &VecDeque<Numbered>) -> Batch {
        let slice = self.shared.slices.name(self.shard);
        let encoder = Encoder { prefix: &self.prefix, slice, max_payload: self.shared.log.client.max_payload() };
        let (mut messages, mut bytes, mut to, mut last) = (Vec::<Outgoing>::new(), 0, self.position, None);
        for numbered in entries {
            debug_assert!(numbered.entry.shard == self.shard && numbered.entry.seq > to.seq, "in the shard's order");
            let seq = numbered.entry.seq;
            if generation(seq) != generation(to.seq) && !messages.is_empty() {
                break;
            }
            if let Some(event) = numbered.entry.item.event().filter(|_| self.is_new(&numbered.entry)) {
                let message = encoder.message(numbered, event);
                bytes += message.payload.len();
                if messages.len() == MAX_BATCH || (bytes > MAX_BYTES && !messages.is_empty()) {
                    break;
                }
                messages.push(message);
                last = Some(&numbered.entry);
            }
            to = SinkPosition { seq: numbered.entry.seq, number: numbered.number };
        }
        // The next owner knows by it what of the source stands in the stream.
        if let (Some(message), Some(source)) = (messages.last_mut(), last.and_then(|entry| entry.source())) {
            message::place(&source, &mut message.headers);
        }
        Batch { messages, to }
    }

    /// Sends a batch until it is stored once. Returns false where what stands in the stream is not what the batch was made
    /// for: it has to be made again.
    async fn store(&mut self, messages: &[Outgoing]) -> Result<bool, Stop> {
        let mut ids = Vec::new();
        loop {
            // Another server of the cluster may take less.
            let limit = self.shared.log.client.max_payload().saturating_sub(HEADERS);
            if messages.iter().any(|message| message.payload.len() > limit) {
                return Ok(false);
            }
            let id = self.shared.log.client.new_inbox();
            let answer = self.attempt(messages, &id).await;
            ids.push(id);
            let why = match answer {
                Answer::Stored(last) => {
                    self.last = last;
                    return Ok(true);
                }
                Answer::Not(why) => format!("the enriched stream {why}"),
                Answer::Refused | Answer::Unknown(_) => match (self.look_again(&ids).await, answer) {
                    (Ok(Some(stored)), _) => return Ok(stored),
                    (Err(Doubt::Lost), _) => return Err(Stop::Lost),
                    (Err(Doubt::Failed(why)), _) | (Ok(None), Answer::Unknown(why)) => why,
                    (Ok(None), _) => "the end of the enriched stream is not clear".to_owned(),
                },
            };
            self.wait(&why).await?;
        }
    }

    async fn attempt(&self, messages: &[Outgoing], id: &str) -> Answer {
        // Never closed.
        let _turn = self.shared.turns.acquire().await;
        let expected = Expected::Subjects { filter: &self.filter, last: self.last };
        batch::send(&self.shared.log.client, messages, id, expected).await
    }
}
