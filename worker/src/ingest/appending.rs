//! What ingest knows and appends: the window, the position, sequence numbers, and the batch in the making.

use crate::log::{Batch, Content, Entry, Gap, Item};
use crate::telemetry::trace;
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::join::Identified;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::{Mark, Window};

/// What an entry takes in memory beside its bytes, roughly.
const OVERHEAD: usize = 512;

/// Entries appended together at most, and the bytes from which on no more are taken: only then can the log say that it is
/// full.
const BATCH: (usize, usize) = (256, 1 << 20);

/// How long the position may move without anything to append before the log is told all the same.
const TELL: Duration = Duration::from_secs(10);

/// Where ingest begins: what the catalog holds.
#[derive(Default)]
pub struct Start {
    /// Where the source was read to.
    pub position: Option<SourcePosition>,
    /// What was taken lately.
    pub window: Window,
    /// The last log sequence given.
    pub seq: u64,
    /// The same of the position as [`Item::rejoined`].
    pub rejoined: bool,
    /// The source time of the position's event, where the source is read from earlier on.
    pub event_us: Option<i64>,
}

/// What was taken, and the batch that is not handed to the log yet.
pub(super) struct Appending {
    pub(super) position: Option<SourcePosition>,
    pub(super) window: Window,
    slices: Arc<Slices>,
    /// The host of the last item.
    host: Arc<str>,
    seq: u64,
    pub(super) rejoined: bool,
    event_us: Option<i64>,
    batch: Batch,
    /// When the log was told last where the source was read to.
    told: Instant,
}

impl Appending {
    pub(super) fn new(start: Start, slices: Arc<Slices>) -> Self {
        let Start { position, window, seq, rejoined, event_us } = start;
        let (host, batch, told) = ("".into(), Batch::default(), Instant::now());
        Self { position, window, slices, host, seq, rejoined, event_us, batch, told }
    }

    /// Appends a new event to the batch; one that is in the window only moves the position. `own` is the event's own id.
    pub(super) fn event(&mut self, (event, id): Identified, own: EventId, host: &str) {
        self.moved(&event, own, host);
        if self.window.contains(id) {
            return;
        }
        let marks = self.window.take(&event, id, now_us());
        self.batch.bytes += event.bytes.len() + OVERHEAD;
        let shards = shards_of(&self.slices, &event);
        self.entries(shards, Content::Event(event), marks, host);
    }

    /// Appends what is no event.
    pub(super) fn unreadable(&mut self, id: EventId, bytes: Bytes, reason: String, host: &str) {
        let marks = self.window.take_unreadable(id);
        self.batch.bytes += bytes.len() + reason.len() + OVERHEAD;
        self.entries(vec![self.slices.of_unreadable()], Content::Unreadable { bytes, reason }, marks, host);
    }

    /// The source was read to an event that is in the window; `id` is the event's own.
    pub(super) fn moved(&mut self, event: &Event, id: EventId, host: &str) {
        match &mut self.position {
            Some(position) if position.host == host => {
                position.cursor = event.cursor;
                position.time_us = event.time_us;
                position.id = id;
            }
            position => {
                *position =
                    Some(SourcePosition { host: host.to_owned(), cursor: event.cursor, time_us: event.time_us, id });
            }
        }
    }

    /// A stream of this host was joined by time at a known event; `None` behind a gap. The host is the one of the position where
    /// it gives the event the very time that is known of it.
    pub(super) fn rejoined(&mut self, host: &str, known: Option<(EventId, i64)>) {
        let position = self.position.as_ref().filter(|position| position.host == host);
        let same = known.zip(position).is_some_and(|((id, time_us), position)| match self.window.is_empty() {
            true => self.event_us.unwrap_or(position.time_us) == time_us,
            false => self.window.is_aligned(id, time_us),
        });
        self.rejoined |= !same;
    }

    /// A time that no event read so far is believed to be after.
    pub(super) fn newest_us(&self) -> i64 {
        self.window.newest_made_us().map_or_else(now_us, |made| made.min(now_us()))
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        self.batch.gaps.push(gap);
    }

    /// Whether the batch takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.batch.entries.len() >= BATCH.0 || self.batch.bytes >= BATCH.1
    }

    /// The batch, if there is anything in it. Where only known events come, it tells the position now and then.
    pub(super) fn finish(&mut self) -> Option<Batch> {
        if self.batch.is_empty() && (self.position.is_none() || self.told.elapsed() < TELL) {
            return None;
        }
        self.told = Instant::now();
        let mut batch = std::mem::take(&mut self.batch);
        batch.position.clone_from(&self.position);
        batch.rejoined = self.rejoined;
        batch.marks_from_us = self.window.oldest_us();
        Some(batch)
    }

    fn entries(&mut self, shards: Vec<Shard>, content: Content, marks: Vec<Mark>, host: &str) {
        if *self.host != *host {
            self.host = host.into();
        }
        let (host, rejoined) = (self.host.clone(), self.rejoined);
        let item = Arc::new(Item { content, host, marks, trace: trace::begin(), rejoined });
        for shard in shards {
            self.seq += 1;
            self.batch.entries.push(Entry::new(self.seq, shard, item.clone()));
        }
    }
}

fn shards_of(slices: &Slices, event: &Event) -> Vec<Shard> {
    match &event.body {
        turbo_core::event::Body::Commit(commit) => vec![slices.of_record(&event.key, &commit.collection)],
        _ => slices.of_repository(&event.key).collect(),
    }
}

/// The wall clock in microseconds since the Unix epoch.
fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
