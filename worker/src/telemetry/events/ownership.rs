//! What happens to the log and to shards that many processes share.

use crate::telemetry::metrics as m;
use metrics::counter;
use tracing::{debug, error, info, warn};

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

/// A sink that the pipeline file no longer names has lost its position in a shard.
pub struct SinkRemoved<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// The sink.
    pub sink: &'a str,
    /// Where it was.
    pub position: u64,
}

impl SinkRemoved<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, sink, position } = self;
        warn!(
            slice,
            partition,
            position,
            "spec.sinks.{sink}: is gone from the pipeline file, and so is its position; named again, it begins at the \
             checkpoint of then"
        );
        counter!(m::SINKS_REMOVED).increment(1);
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

/// The log went back behind what was read of a shard.
pub struct LogWentBack<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
}

impl LogWentBack<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition } = self;
        error!(
            slice,
            partition,
            "the log went back behind what was read of it (has a server lost what was not synced to its disk?): what was \
             not committed yet is read again, as the log has it now"
        );
        counter!(m::LOG_WENT_BACK).increment(1);
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

/// A shard is this worker's.
pub struct ShardClaimed<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
    /// The epoch of the claim.
    pub epoch: u64,
    /// Where the checkpoint is.
    pub position: u64,
}

impl ShardClaimed<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { slice, partition, epoch, position } = self;
        info!(slice, partition, epoch, position, "shard claimed");
        counter!(m::CLAIMS).increment(1);
    }
}

/// A shard is no longer this worker's: it was released, or another has claimed it.
pub struct ShardGone<'a> {
    /// Slice of the shard.
    pub slice: &'a str,
    /// Its partition.
    pub partition: u16,
}

impl ShardGone<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(slice = self.slice, partition = self.partition, "shard given up");
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

/// The log's bucket takes nothing.
pub struct BucketRefuses<'a> {
    /// Which one, and why.
    pub why: &'a str,
}

impl BucketRefuses<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(
            "no shard moves, and nobody takes over: {}; look at the server's own log: it may need room on its disk, and then \
             to be started again",
            self.why
        );
    }
}

/// It does again.
pub struct BucketTakes<'a> {
    /// Which one.
    pub bucket: &'a str,
}

impl BucketTakes<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(bucket = self.bucket, "the bucket of NATS takes what is written again");
    }
}
