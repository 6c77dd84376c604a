//! One struct for each thing worth telling an operator: it logs and counts in one place.

use super::metrics as m;
use crate::log::Gap;
use metrics::counter;
use std::time::Duration;
use tracing::{debug, error, info, warn};
use turbo_core::join::Ask;
use turbo_core::window::Window;

/// A stream was opened.
pub struct Connected<'a> {
    /// The host.
    pub host: &'a str,
    /// What it was asked for.
    pub ask: Ask,
}

impl Connected<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, ask = %self.ask, "connected to the source");
        counter!(m::SOURCE_CONNECTIONS).increment(1);
    }
}

/// A stream was seen to join what was read before.
pub struct Joined<'a> {
    /// The host.
    pub host: &'a str,
    /// New events that came before the first known one.
    pub held: usize,
    /// The dedup window.
    pub window: &'a Window,
}

impl Joined<'_> {
    /// Tells it.
    pub fn emit(self) {
        let window_seconds = self.window.span_us() / 1_000_000;
        info!(host = self.host, held = self.held, window_events = self.window.len(), window_seconds, "joined");
    }
}

/// A stream ended.
pub struct ConnectionLost<'a> {
    /// The host.
    pub host: &'a str,
    /// Label.
    pub reason: &'static str,
    /// What happened.
    pub error: &'a str,
}

impl ConnectionLost<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(host = self.host, reason = self.reason, "{}", self.error);
        counter!(m::SOURCE_LOSSES, "reason" => self.reason).increment(1);
    }
}

/// The reader waits before it connects again.
pub struct Waiting<'a> {
    /// The host that was tried last.
    pub host: &'a str,
    /// How long.
    pub wait: Duration,
    /// Why.
    pub why: &'a str,
}

impl Waiting<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, wait_ms = self.wait.as_millis() as u64, "connecting again: {}", self.why);
    }
}

/// A stream did not join what is in the log.
pub struct NotJoined<'a> {
    /// The host.
    pub host: &'a str,
    /// What it was asked for.
    pub ask: Ask,
}

impl NotJoined<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(host = self.host, ask = %self.ask, "the stream does not join what was read before; asking further back");
        counter!(m::SOURCE_NOT_JOINED).increment(1);
    }
}

/// Part of the source was never seen.
pub struct GapFound<'a> {
    /// The gap.
    pub gap: &'a Gap,
}

impl GapFound<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Gap { host, from_us, to_us, reason } = self.gap;
        error!(host, from_us, to_us, "a gap in the source: {reason}");
        counter!(m::SOURCE_GAPS).increment(1);
    }
}

/// A notice of the server.
pub struct Notice<'a> {
    /// The host.
    pub host: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its text.
    pub message: &'a str,
}

impl Notice<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, name = self.name, "notice of the source: {}", self.message);
    }
}

/// A message of a kind that this version does not know.
pub struct UnknownKind<'a> {
    /// The host.
    pub host: &'a str,
    /// The kind.
    pub kind: &'a str,
}

impl UnknownKind<'_> {
    /// Tells it.
    pub fn emit(self) {
        debug!(host = self.host, kind = self.kind, "a message of an unknown kind is left out");
        counter!(m::SOURCE_UNKNOWN).increment(1);
    }
}

/// Bytes that are no event.
pub struct Unreadable<'a> {
    /// What is wrong with them.
    pub reason: &'a str,
    /// How many.
    pub bytes: usize,
}

impl Unreadable<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(bytes = self.bytes, "unreadable, kept as a dead letter: {}", self.reason);
        counter!(m::SOURCE_UNREADABLE).increment(1);
    }
}

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
        error!(
            path = self.path,
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

/// A claim ended because the row is another's now.
pub struct ClaimLost<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// What the row says.
    pub why: &'a str,
}

impl ClaimLost<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(slice = self.slice, partition = self.partition, "the shard is dropped: {}", self.why);
        counter!(m::CLAIMS_LOST).increment(1);
    }
}

/// The catalog is behind what was announced: it was restored from a backup.
pub struct CatalogWentBack<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// The position in the catalog.
    pub position: u64,
    /// The position that was announced.
    pub seen: u64,
}

impl CatalogWentBack<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, position, seen } = self;
        error!(slice, partition, position, seen, "the catalog went back; the shard goes on from where it is now");
        counter!(m::CATALOG_WENT_BACK).increment(1);
    }
}

/// The log has lost messages.
pub struct LogMissing<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
}

impl LogMissing<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, from, to } = self;
        error!(slice, partition, from, to, "a gap: the log no longer has these messages of the shard");
        counter!(m::LOG_MISSING).increment((to + 1).saturating_sub(from));
    }
}

/// The log has lost what the catalog has.
pub struct LogLost {
    /// The highest position in the catalog.
    pub highest: u64,
    /// The end of the log.
    pub end: u64,
}

impl LogLost {
    /// Tells it.
    pub fn emit(self) {
        error!(highest = self.highest, end = self.end, "the log is lost; it begins anew, and the source is read again");
        counter!(m::LOG_LOST).increment(1);
    }
}

/// A shard can not be read on.
pub struct ShardUnreadable<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// What is wrong.
    pub error: &'a str,
}

impl ShardUnreadable<'_> {
    /// Tells it.
    pub fn emit(self) {
        error!(slice = self.slice, partition = self.partition, "the shard can not be read on: {}", self.error);
    }
}

/// What every sink has was removed from the log.
pub struct LogPurged {
    /// Messages.
    pub count: u64,
}

impl LogPurged {
    /// Tells it.
    pub fn emit(self) {
        debug!(messages = self.count, "purged");
        counter!(m::LOG_PURGED).increment(self.count);
    }
}

/// Another ingester has written to the log.
pub struct LogRefused;

impl LogRefused {
    /// Tells it.
    pub fn emit(self) {
        warn!("another ingester has written to the log; this one stands back");
        counter!(m::LOG_REFUSED).increment(1);
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
