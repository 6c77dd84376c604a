//! What happens on the way into the sinks.

use crate::telemetry::metrics as m;
use metrics::counter;
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A commit failed and will be tried again.
pub struct CommitFailed<'a> {
    /// What the sink says.
    pub error: &'a str,
    /// Entries that wait.
    pub entries: usize,
    /// How long until the next attempt.
    pub wait: Duration,
}

impl CommitFailed<'_> {
    /// Tells it.
    pub fn emit(self) {
        let wait_ms = self.wait.as_millis() as u64;
        error!(entries = self.entries, wait_ms, "the commit failed and is tried again: {}", self.error);
        counter!(m::COMMIT_FAILURES).increment(1);
    }
}

/// A segment of the archive was committed.
pub struct SegmentCommitted<'a> {
    /// Its path below the archive.
    pub path: &'a str,
    /// Events in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl SegmentCommitted<'_> {
    /// Tells it.
    pub fn emit(self) {
        debug!(path = self.path, rows = self.rows, bytes = self.bytes, "segment committed");
        counter!(m::SEGMENTS).increment(1);
        counter!(m::SEGMENT_ROWS).increment(self.rows);
        counter!(m::SEGMENT_BYTES).increment(self.bytes);
    }
}

/// A segment of the archive could not be written.
pub struct SegmentFailed<'a> {
    /// Its path below the archive.
    pub path: &'a str,
    /// What happened.
    pub error: &'a str,
}

impl SegmentFailed<'_> {
    /// Tells it.
    pub fn emit(self) {
        // Before it is written down it has no path.
        error!(
            path = (!self.path.is_empty()).then_some(self.path),
            "spec.sinks.archive: the segment could not be written and is tried again: {}", self.error
        );
        counter!(m::SEGMENT_FAILURES).increment(1);
    }
}

/// A segment that an earlier owner intended and did not commit was burnt.
pub struct SegmentBurnt<'a> {
    /// Its path below the archive.
    pub path: &'a str,
    /// The epoch of the owner that intended it.
    pub epoch: u64,
}

impl SegmentBurnt<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(path = self.path, epoch = self.epoch, "a segment that was not committed is burnt");
        counter!(m::SEGMENTS_BURNT).increment(1);
    }
}

/// What an earlier owner of a shard intended could not be burnt; nothing of the shard is archived before it is.
pub struct BurningFailed<'a> {
    /// The shard's slice.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// What happened.
    pub error: &'a str,
}

impl BurningFailed<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, error } = self;
        error!(
            slice,
            partition,
            "spec.sinks.archive: what an earlier owner left can not be cleared away, and is tried again: {error}"
        );
        counter!(m::SEGMENT_FAILURES).increment(1);
    }
}

/// The store of a shard was looked through, since the catalog went back.
pub struct ArchiveMended<'a> {
    /// The shard's slice.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// Objects that were taken into the catalog.
    pub taken: usize,
    /// Objects that are burnt.
    pub void: usize,
    /// Up to which sequence the archive has the shard.
    pub covered: u64,
}

impl ArchiveMended<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, taken, void, covered } = self;
        warn!(
            slice,
            partition,
            taken,
            void,
            covered,
            "the catalog went back: objects of the archive that it had forgotten were taken up, and others are burnt"
        );
    }
}

/// The archive's position is not where its owner had it: what waits does not join it, and is dropped.
pub struct ArchiveAstray<'a> {
    /// The shard's slice.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// Where the owner had it.
    pub had: u64,
    /// Where it is; `None` where the catalog has no row of it.
    pub found: Option<u64>,
}

impl ArchiveAstray<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, had, found } = self;
        error!(
            slice,
            partition, had, found, "the archive's position was changed by others; the shard has to be claimed anew"
        );
        counter!(m::SEGMENT_FAILURES).increment(1);
    }
}

/// A window was rotated out of the SQLite file.
pub struct Rotated<'a> {
    /// The file.
    pub path: &'a str,
    /// Rows in it.
    pub rows: u64,
}

impl Rotated<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(path = self.path, rows = self.rows, "window rotated out");
        counter!(m::ROTATIONS).increment(1);
    }
}

/// The store has the file of a window.
pub struct WindowCopied<'a> {
    /// Where.
    pub path: &'a str,
    /// Its size.
    pub bytes: u64,
}

impl WindowCopied<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(path = self.path, bytes = self.bytes, "window copied");
        counter!(m::WINDOWS_COPIED).increment(1);
    }
}

/// The file of a window could not be made, copied or removed.
pub struct WindowFailed<'a> {
    /// What happened.
    pub error: &'a str,
}

impl WindowFailed<'_> {
    /// Tells it.
    pub fn emit(self) {
        error!("spec.sinks.sqlite.rotate: a window is tried again: {}", self.error);
        counter!(m::WINDOW_FAILURES).increment(1);
    }
}

/// The enriched stream does not take what it is sent, for now.
pub struct EnrichedFailed<'a> {
    /// The shard's slice.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// What happened.
    pub error: &'a str,
    /// Whether it is the first failure since something landed.
    pub first: bool,
}

impl EnrichedFailed<'_> {
    /// Tells it; loudly once.
    pub fn emit(self) {
        let Self { slice, partition, error, first } = self;
        if first {
            warn!(slice, partition, "spec.sinks.enriched: waiting, nothing is lost: {error}");
        } else {
            debug!(slice, partition, "spec.sinks.enriched: still waiting: {error}");
        }
        counter!(m::ENRICHED_FAILURES).increment(1);
    }
}

/// A message of the enriched stream goes without its content.
pub struct EnrichedOmitted<'a> {
    /// The log sequence of the event.
    pub seq: u64,
    /// What is left out.
    pub omitted: &'a str,
    /// The server's limit in bytes.
    pub max_payload: usize,
}

impl EnrichedOmitted<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { seq, omitted, max_payload } = self;
        warn!(
            seq,
            omitted, max_payload, "spec.sinks.enriched: an event is too large; raise max_payload of the NATS server"
        );
        counter!(m::ENRICHED_OMITTED).increment(1);
    }
}
