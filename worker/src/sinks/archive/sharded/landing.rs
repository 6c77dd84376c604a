//! A closed range lands: intent, object, commit. Whatever goes wrong, the row of the position says how to go on.

use super::super::filling::Filling;
use super::super::name::Segment;
use super::super::object::Error as ObjectError;
use super::super::store::{self, Put};
use super::super::{Format, Stamp};
use super::Shared;
use super::buffer::{Chunks, Scratch};
use super::lane::{Lane, Range, Waiting};
use crate::log::nats;
use crate::sinks::feed::SinkPosition;
use crate::sinks::postgres::{self, Fence, Intent, answered};
use crate::telemetry::{events, trace};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use turbo_core::backoff::Backoff;
use turbo_core::shard::Shard;

pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// The server ends its statements after 30 s; this is for one that does not answer at all.
pub(super) const CATALOG: Duration = Duration::from_secs(45);
/// How often what waits is read in vain before its shard is dropped: the log still has it.
const READS: u32 = 5;

/// Why nothing has landed yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Catalog(#[from] postgres::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("the archive's buffer: {0}")]
    Buffer(#[from] std::io::Error),
    #[error("what waits in the archive's buffer can not be read back: {0}")]
    Spool(std::io::Error),
    #[error("{found} events wait for a segment of {rows}")]
    Rows { found: u64, rows: u64 },
    #[error(transparent)]
    Log(#[from] nats::Error),
    #[error("{0} is another's object; does another pipeline use this folder or prefix? give each its own")]
    Taken(String),
    #[error("{0} was replaced while it was burnt; is another pipeline at work there?")]
    Replaced(String),
    #[error("the catalog has not settled what became of the commit")]
    Unsettled,
    #[error("a task that writes files ended early")]
    Task,
}

impl Error {
    /// Whether what waits can not be had again from the buffer.
    fn is_of_spool(&self) -> bool {
        matches!(self, Self::Spool(_) | Self::Rows { .. })
    }
}

/// How a landing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The position is where the range ends.
    Landed,
    /// It will not land under this claim: the claim is lost, or what waited is.
    Lost,
}

/// What the row of the position says.
enum Standing {
    /// The range has not landed, and may.
    Mine,
    Over(Outcome),
}

/// An object that is made, and waits for its put.
struct Made {
    file: Scratch,
    intent: Intent,
    stamp: Stamp,
}

/// A range on its way.
pub(super) struct Landing {
    shared: Arc<Shared>,
    shard: Shard,
    fence: Fence,
    /// The position before it.
    had: SinkPosition,
    /// Events up to this sequence are in the archive already, though the position is below.
    covered: u64,
    /// Its events wait in it until its object is made.
    range: Range,
    made: Option<Made>,
    /// When the object was begun.
    began: Option<SystemTime>,
    /// Whether an attempt has failed since it was made.
    failed: bool,
}

impl Landing {
    /// A range that has not landed, of the claim that `lane` holds.
    pub(super) fn new(shared: Arc<Shared>, shard: Shard, lane: &Lane, range: Range) -> Self {
        let (fence, had, covered) = (lane.fence.clone(), lane.landed, lane.covered);
        Self { shared, shard, fence, had, covered, range, made: None, began: None, failed: false }
    }

    /// Tries until it has landed, or never will. Gives back what is left of the range: where it ends.
    pub(super) async fn run(mut self) -> (Range, Outcome) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut reads = 0;
        let outcome = loop {
            match self.attempt().await {
                Ok(outcome) => break outcome,
                Err(error) => {
                    let path = self.made.as_ref().map_or("", |made| &made.intent.path);
                    self.shared.report.failed(Some(self.shard), &error.to_string());
                    events::SegmentFailed { path, error: &error.to_string() }.emit();
                    self.failed = true;
                    reads += u32::from(error.is_of_spool());
                    if reads == READS {
                        break Outcome::Lost;
                    }
                    tokio::time::sleep(backoff.next(rand::random())).await;
                }
            }
        };
        if let Some(made) = self.made.filter(|_| outcome == Outcome::Landed) {
            let Intent { path, rows, bytes, .. } = &made.intent;
            events::SegmentCommitted { path, rows: *rows, bytes: *bytes }.emit();
            trace::put(self.began, &self.fence.slice, self.fence.partition, self.range.covers.seq);
        }
        (self.range, outcome)
    }

    async fn attempt(&mut self) -> Result<Outcome, Error> {
        let shared = self.shared.clone();
        let _permit = shared.puts.acquire().await.map_err(|_| Error::Task)?;
        // Also after a long wait or a pause: whoever has lost the claim puts nothing more.
        if let Standing::Over(outcome) = self.standing().await? {
            return Ok(outcome);
        }
        if let Some(waiting) = &self.range.segment {
            self.began = trace::now();
            self.made = if waiting.last_seq > self.covered { Some(self.make(waiting).await?) } else { None };
            // The object has all of it: the disk holds it once.
            self.range.segment = None;
        }
        let mut id = None;
        if let Some(Made { file, intent, stamp }) = &self.made {
            id = answered(CATALOG, shared.database.intend(&self.fence, intent)).await?;
            if id.is_none() {
                return self.over().await;
            }
            // Where a copy that is behind takes the place of the catalog, it lacks the intent: the next claim sees it by this.
            let Shared { log, slices, .. } = &*shared;
            if !log.announce_object(slices, self.shard, self.fence.epoch, intent.last_seq).await? {
                return Ok(Outcome::Lost);
            }
            if self.failed {
                // What an earlier attempt could not abort would be paid for until the next claim.
                shared.store.abort_uploads(&intent.path).await?;
            }
            if shared.store.put_new(&intent.path, file.path(), stamp).await? == Put::Taken {
                let taken = || Error::Taken(shared.store.address(&intent.path));
                return self.over().await.map_err(|error| if let Error::Unsettled = error { taken() } else { error });
            }
        }
        let to = (self.range.covers, self.range.source.as_ref());
        match answered(CATALOG, shared.database.commit_segment(&self.fence, id, self.had, to)).await? {
            true => Ok(Outcome::Landed),
            false => self.over().await,
        }
    }

    /// How it has ended, as the row of the position says.
    async fn over(&self) -> Result<Outcome, Error> {
        match self.standing().await? {
            Standing::Over(outcome) => Ok(outcome),
            Standing::Mine => Err(Error::Unsettled),
        }
    }

    async fn standing(&self) -> Result<Standing, Error> {
        let row = answered(CATALOG, self.shared.database.archive_position(&self.fence)).await?;
        let (had, covers) = (self.had.seq, self.range.covers.seq);
        let found = match row {
            Some((epoch, _)) if epoch > self.fence.epoch => return Ok(Standing::Over(Outcome::Lost)),
            Some((epoch, position)) if epoch == self.fence.epoch && position.seq == had => return Ok(Standing::Mine),
            Some((epoch, position)) if epoch == self.fence.epoch && position.seq == covers => {
                return Ok(Standing::Over(Outcome::Landed));
            }
            row => row.map(|(_, position)| position.seq),
        };
        // Somebody has set it by hand, or the catalog was restored.
        let (slice, partition) = (self.fence.slice.as_str(), self.fence.partition);
        events::ArchiveAstray { slice, partition, had, found }.emit();
        answered(CATALOG, self.shared.database.went_back(&self.fence, had)).await?;
        Ok(Standing::Over(Outcome::Lost))
    }

    async fn make(&self, waiting: &Waiting) -> Result<Made, Error> {
        let Shared { options, buffer, .. } = &*self.shared;
        let Fence { slice, partition, epoch } = self.fence.clone();
        let (file, from, bytes) = (buffer.scratch("object"), waiting.spool.path().to_owned(), waiting.spool.bytes());
        let (to, format, rows, behind) = (file.path().to_owned(), options.format, waiting.rows, self.covered);
        let of = slice.clone();
        let filled = tokio::task::spawn_blocking(move || {
            let filled = fill(&from, bytes, &to, format, (&of, partition), behind)?;
            if filled.read != rows {
                return Err(Error::Rows { found: filled.read, rows });
            }
            Ok((filled, Stamp::of(&to)?))
        });
        let (Filled { first_seq, rows, .. }, stamp) = filled.await.map_err(|_| Error::Task)??;
        let name = Segment { slice: &slice, partition, epoch, first_seq, hour: waiting.hour };
        let (path, last_seq) = (name.path(options.format.extension()), waiting.last_seq);
        let Stamp { bytes, checksum } = stamp.clone();
        let intent = Intent { path, first_seq, last_seq, rows, bytes, checksum };
        Ok(Made { file, intent, stamp })
    }
}

/// What became of the events that waited.
struct Filled {
    /// How many were read.
    read: u64,
    /// How many are in the object.
    rows: u64,
    /// The sequence of the first of these.
    first_seq: u64,
}

/// Makes the object of what waits behind a sequence.
fn fill(
    from: &Path,
    bytes: u64,
    to: &Path,
    format: Format,
    (slice, partition): (&str, u16),
    behind: u64,
) -> Result<Filled, Error> {
    let mut chunks = Chunks::open(from, bytes).map_err(Error::Spool)?;
    let mut filling = Filling::begin(format, File::create(to)?, slice, partition)?;
    let (mut read, mut first) = (0, None);
    while let Some(mut events) = chunks.next().map_err(Error::Spool)? {
        read += events.len() as u64;
        events.retain(|waited| waited.seq > behind);
        first = first.or(events.first().map(|waited| waited.seq));
        filling.add(events)?;
    }
    let (_, rows) = filling.finish()?;
    Ok(Filled { read, rows, first_seq: first.unwrap_or_default() })
}
