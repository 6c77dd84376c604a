//! The archive of the sharded data plane: segments of the shards that this worker owns, as objects of a [`Store`].
//!
//! Invariants:
//! - a segment is one log range of one shard under one epoch: closed by size, by age, when an event of another hour comes,
//!   and when all open ones together are too large, the largest;
//! - intent, put, commit, in this order: the intent is durable before the object can be there, and a segment is committed
//!   in the transaction that moves the position, under the fence. The segments of a shard commit in the order of the log;
//! - intents of earlier epochs are burnt before the shard's first own intent;
//! - what waits is in files of the buffer, bounded over all shards; at the bound no more orders are taken. Nothing in the
//!   buffer is needed after a crash: the next owner reads the log from the position on.

mod buffer;
mod burning;
mod landing;
mod lane;
mod service;

pub use buffer::Error as BufferError;

use super::{Format, Store};
use crate::sinks::feed::{AHEAD, Report, SinkHandle};
use crate::sinks::postgres::{ARCHIVE, Database};
use crate::telemetry::trace;
use buffer::Buffer;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use turbo_core::shard::Slices;

/// How segments are closed, kept and written.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder for what waits; it is this process's own, and emptied at the start.
    pub buffer: PathBuf,
    /// Bytes that may wait in it, over all shards. One order's entries may come on top, and one object for each of `puts`
    /// while it is made.
    pub buffer_bytes: u64,
    /// How objects are written.
    pub format: Format,
    /// Bytes that wait, about the size of the object, at which a segment is closed.
    pub roll_size: u64,
    /// Age at which a segment is closed.
    pub roll_age: Duration,
    /// Objects that are made and put side by side, of several shards.
    pub puts: usize,
    /// How long a release waits for a put that is under way.
    pub release: Duration,
    /// How long the empty file of a burnt segment stays.
    pub burnt_stays: Duration,
    /// How often burnt segments are looked for.
    pub upkeep: Duration,
}

impl Options {
    /// Parquet of 128 MiB or 5 minutes, with a buffer of 4 GiB.
    #[must_use]
    pub fn new(buffer: PathBuf) -> Self {
        Self {
            buffer,
            buffer_bytes: 4 << 30,
            format: Format::Parquet,
            roll_size: 128 << 20,
            roll_age: Duration::from_secs(300),
            puts: 3,
            release: Duration::from_secs(5),
            burnt_stays: Duration::from_secs(24 * 3600),
            upkeep: Duration::from_secs(600),
        }
    }
}

/// What every task of the archive shares.
struct Shared {
    options: Options,
    database: Database,
    slices: Arc<Slices>,
    store: Store,
    buffer: Buffer,
    report: Report,
    puts: Semaphore,
}

/// Starts the archive. The store has to be probed before ([`Store::probe`]).
///
/// # Errors
/// The buffer's folder can not be written, or another process has it.
pub fn spawn(
    options: Options,
    database: Database,
    slices: Arc<Slices>,
    store: Store,
) -> Result<SinkHandle, BufferError> {
    let buffer = Buffer::open(&options.buffer)?;
    trace::archived();
    let (orders, told) = mpsc::channel(AHEAD);
    let report = Report::default();
    let puts = Semaphore::new(options.puts.max(1));
    let shared = Shared { options, database, slices, store, buffer, report: report.clone(), puts };
    let task = tokio::spawn(service::Service::new(Arc::new(shared)).run(told));
    Ok(SinkHandle { name: ARCHIVE, orders, report, task })
}
