//! The statistics: the shape of `/stats`.

use crate::hydration::report::Told as Hydration;
use serde::Serialize;
use std::collections::BTreeSet;

/// How the source is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceState {
    /// No connection yet, or a lost one.
    #[default]
    Waiting,
    /// Connected; the join is not seen yet.
    Joining,
    /// Connected and reading.
    Reading,
    /// Read to its end.
    Ended,
}

/// The source's part of the statistics.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// The host that is read, or was tried last.
    pub host: String,
    /// How it is.
    pub state: SourceState,
    /// The last error, until the next connection.
    pub error: Option<String>,
    /// `<host>|<cursor>` of the last event.
    pub position: Option<String>,
    /// Source time of the last event in microseconds.
    pub time_us: Option<i64>,
    /// Its age in seconds.
    pub lag_seconds: Option<f64>,
    /// New events.
    pub events: u64,
    /// Events dropped because the dedup window held them.
    pub known: u64,
    /// Frames or lines that are no event.
    pub unreadable: u64,
    /// Parts of the source that were never seen.
    pub gaps: u64,
    /// Events in the dedup window.
    pub window_events: usize,
    /// How far the dedup window reaches back, in seconds.
    pub window_seconds: f64,
}

/// A shard's part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShardState {
    /// Slice.
    pub slice: String,
    /// Partition.
    pub partition: u16,
    /// Epoch of the claim.
    pub epoch: i64,
    /// Last log sequence committed.
    pub position: u64,
    /// Entries committed since the start of the process.
    pub entries: u64,
    /// Source time of the last one, in microseconds.
    pub time_us: Option<i64>,
}

/// The log's part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Log {
    /// Entries that wait for their commit.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The limit.
    pub max_bytes: u64,
    /// Messages of the shared log that wait for the workers, all of them, whoever owns their shards; absent where the log
    /// is in the process, or where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// Above how many of them the source is not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_water: Option<u64>,
    /// Why the shared log, or a shard of it, can not be read or written, until it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A sink's part.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sink {
    /// `sqlite`, `postgres`, `archive`, `enriched`, or `windows`: what is cut off the SQLite file.
    pub name: &'static str,
    /// The last error, until the next success.
    pub error: Option<String>,
    /// Entries committed since the start of the process; records of windows.
    pub entries: u64,
    /// Commits, committed segments, or files of windows.
    pub commits: u64,
}

/// One of the newest records, for the page.
#[derive(Clone, Debug, Serialize)]
pub struct Latest {
    /// Repository.
    pub did: String,
    /// Collection.
    pub collection: String,
    /// Record key.
    pub rkey: String,
    /// What was done.
    pub operation: &'static str,
    /// Source time in microseconds.
    pub time_us: i64,
    /// The beginning of the record.
    pub record: Option<String>,
}

/// Events a second, over the last seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rates {
    /// New events read.
    pub read: f64,
    /// Entries committed.
    pub committed: f64,
}

/// The statistics, as `/stats` gives them.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Name of the pipeline.
    pub pipeline: String,
    /// One sentence of what goes on now.
    pub summary: String,
    /// Age of the process in seconds.
    pub uptime_seconds: f64,
    /// Rates a second.
    pub rates: Rates,
    /// The source.
    pub source: Source,
    /// The log.
    pub log: Log,
    /// Every shard.
    pub shards: Vec<ShardState>,
    /// Every sink.
    pub sinks: Vec<Sink>,
    /// How looking up goes; absent where no slice asks for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hydration: Option<Hydration>,
    /// Sinks that the pipeline file no longer names, and whose positions this process has removed; absent where there are
    /// none.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sinks_removed: BTreeSet<String>,
    /// Dead letters written since the start of the process.
    pub dead_letters: u64,
    /// The newest records, newest first.
    pub latest: Vec<Latest>,
}
