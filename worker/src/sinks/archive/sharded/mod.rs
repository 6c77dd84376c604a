//! The archive of the sharded data plane: segments of the shards that this worker owns, as objects of a [`Store`].
//!
//! Invariants:
//! - a segment is one log range of one shard under one epoch: closed by size, by age, when an event of another hour comes,
//!   and when all open ones together are too large, the largest;
//! - intent, put, commit, in this order: the intent is durable before the object can be there, and a segment is committed
//!   in the transaction that moves the position, under the fence. The segments of a shard commit in the order of the log;
//! - intents of earlier epochs are burnt before the shard's first own intent; before that, what a catalog that went back
//!   has forgotten is taken up from the store;
//! - before the first of all this the store is asked whether it refuses to replace, and whether it is this catalog's;
//! - what waits is in files of the buffer, bounded over all shards; at the bound no more orders are taken. Nothing in the
//!   buffer is needed after a crash: the next owner reads the log from the position on.

mod buffer;
mod burning;
mod landing;
mod lane;
mod mending;
mod preparing;
mod service;

pub use buffer::Error as BufferError;
pub use mending::AskLog;
pub use preparing::Unprepared;

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
    /// Several processes may have the folder above: each takes the first of the folders `<name>-0`, `<name>-1` and so on in
    /// it that no other has, and empties what others have left in theirs.
    pub buffer_of: Option<String>,
    /// Bytes in it, over all shards: what waits, and objects. One order's entries may come on top.
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
            buffer_of: None,
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

impl Options {
    /// Of the buffer, what objects may have that are made and put. An object is about as large as what waited for it.
    fn for_objects(&self) -> u64 {
        self.roll_size.saturating_mul(self.puts as u64).min(self.buffer_bytes / 2)
    }

    /// Of the buffer, what may wait.
    fn for_waiting(&self) -> u64 {
        self.buffer_bytes - self.for_objects()
    }

    /// Bytes at which a segment is closed, so that its object fits.
    fn closed_at(&self) -> u64 {
        self.roll_size.min(self.for_objects())
    }
}

/// What every task of the archive shares.
struct Shared {
    options: Options,
    database: Database,
    slices: Arc<Slices>,
    store: Store,
    log: Arc<dyn AskLog>,
    buffer: Buffer,
    report: Report,
    puts: Semaphore,
}

/// An archive that is not started yet.
pub struct Archive(Arc<Shared>);

impl Archive {
    /// Takes the buffer. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// The buffer's folder can not be written, or another process has it.
    pub fn open(
        options: Options,
        database: Database,
        slices: Arc<Slices>,
        store: Store,
        log: Arc<dyn AskLog>,
    ) -> Result<Self, BufferError> {
        let buffer = match &options.buffer_of {
            Some(name) => Buffer::first_free(&options.buffer, name)?,
            None => Buffer::open(&options.buffer)?,
        };
        let puts = Semaphore::new(options.puts.max(1));
        let report = Report::default();
        Ok(Self(Arc::new(Shared { options, database, slices, store, log, buffer, report, puts })))
    }

    /// Tries whether the store can be used, and is this catalog's.
    ///
    /// # Errors
    /// It can not; [`Unprepared::is_outage`] says whether to try again.
    pub async fn prepare(&self) -> Result<(), Unprepared> {
        preparing::prepare(&self.0).await
    }

    /// Starts it. Where it is not prepared yet, that is tried until it is done, and what comes waits meanwhile.
    #[must_use]
    pub fn start(self, is_prepared: bool) -> SinkHandle {
        let (orders, told) = mpsc::channel(AHEAD);
        let report = self.0.report.clone();
        trace::archived();
        let task = tokio::spawn(service::Service::new(self.0, is_prepared).run(told));
        SinkHandle { name: ARCHIVE, orders, report, task }
    }
}

/// Starts an archive whose store is known to be good.
///
/// # Errors
/// The buffer's folder can not be written, or another process has it.
pub fn spawn(
    options: Options,
    database: Database,
    slices: Arc<Slices>,
    store: Store,
    log: Arc<dyn AskLog>,
) -> Result<SinkHandle, BufferError> {
    Ok(Archive::open(options, database, slices, store, log)?.start(true))
}
