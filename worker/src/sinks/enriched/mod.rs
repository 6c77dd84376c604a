//! The enriched stream: what the database has committed, published on a NATS stream of its own.
//!
//! Each shard is published by its owner, in the order of the log. The stream is its own cursor and fence: a message bears
//! its log sequence, and a batch expects the last sequence of the shard's subjects. Invariants:
//! - within a shard, messages stand in the order of the log, each once: a new owner goes on behind the last message that
//!   stands there, and what another has sent in between gets a batch refused whole;
//! - where the stream's own retention has taken the last message, the catalog's position counts: what lies above it is
//!   sent again, with the same log sequence;
//! - nothing is given up but a shard that the catalog gives to another: what can not be published waits, and holds the
//!   orders back;
//! - a stream that was deleted is made again, and goes on behind what was published: what it had is not sent once more;
//! - what is no event (a dead letter) is passed over, and the position moves over it.

mod document;
mod saving;
mod shard;
mod standing;
mod stream;
mod subject;

pub use stream::Options;

use crate::log::Numbered;
use crate::log::nats::{Error, Log};
use crate::sinks::feed::{AHEAD, Order, Report, SinkHandle, SinkPosition};
use crate::sinks::postgres::Database;
use async_nats::jetstream::stream::Stream;
use shard::{Publisher, Told};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::hydrated::Hydrated;
use turbo_core::shard::{Shard, Slices};

/// What the sink is called in the catalog, in `/stats` and in metrics.
pub const NAME: &str = "enriched";
/// Batches in flight at once, of different shards. The server takes 50 for a stream, from all workers.
const TURNS: usize = 8;
/// What may wait in this process for being published, in KiB of events.
const ROOM: usize = 64 << 10;
/// What an entry takes beside its bytes, roughly.
const OVERHEAD: usize = 512;
/// How often a sink that is held looks whether it is to end.
const LOOK: Duration = Duration::from_millis(250);

/// What the tasks of the shards share.
#[derive(Debug)]
struct Shared {
    log: Log,
    options: Options,
    stream: Stream,
    database: Database,
    slices: Arc<Slices>,
    report: Report,
    turns: Semaphore,
}

/// A shard that was claimed.
struct Running {
    epoch: u64,
    told: mpsc::Sender<Told>,
    task: AbortOnDropHandle<()>,
}

/// The task that takes orders.
struct Sink {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    shards: BTreeMap<Shard, Running>,
    ending: CancellationToken,
}

/// Makes the stream, or brings its limits up to date, and starts the sink. It needs a row of the sink [`NAME`] in the
/// catalog for each shard. It ends when the handle's `orders` are dropped, after what it was told; what fails from then on
/// is given up, and published by the next owner.
///
/// # Errors
/// The stream is another's, or can not be had as the options say; the server does not answer.
pub async fn spawn(options: &Options, log: &Log, database: Database, slices: Arc<Slices>) -> Result<SinkHandle, Error> {
    let stream = stream::open(log, options).await?;
    let report = Report::default();
    let turns = Semaphore::new(TURNS);
    let (log, options) = (log.clone(), options.clone());
    let shared = Arc::new(Shared { log, options, stream, database, slices, report: report.clone(), turns });
    let (orders, from) = mpsc::channel(AHEAD);
    let room = Arc::new(Semaphore::new(ROOM));
    let sink = Sink { shared, room, shards: BTreeMap::new(), ending: CancellationToken::new() };
    let task = tokio::spawn(sink.run(from));
    Ok(SinkHandle { name: NAME, orders, report, task })
}

impl Sink {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Claimed { shard, epoch, position } => self.claimed(shard, epoch, position),
                Order::Entries(entries) => self.entries(&entries, &orders).await,
                Order::Release(shard, done) => self.tell(shard, Told::Release(done), &orders).await,
                Order::Lost(shard) => {
                    self.shards.remove(&shard);
                    self.shared.report.gone(shard);
                }
            }
        }
        self.ending.cancel();
        for Running { told, task, .. } in std::mem::take(&mut self.shards).into_values() {
            drop(told);
            let _ = task.await;
        }
    }

    fn claimed(&mut self, shard: Shard, epoch: u64, position: SinkPosition) {
        let publisher = Publisher::new(self.shared.clone(), shard, epoch, position, self.ending.clone());
        let (told, from) = mpsc::channel(AHEAD);
        let task = AbortOnDropHandle::new(tokio::spawn(publisher.run(from)));
        self.shards.insert(shard, Running { epoch, told, task });
    }

    /// Hands each shard its entries; waits while too much waits already.
    async fn entries(&mut self, entries: &[Numbered], orders: &mpsc::Receiver<Order>) {
        let mut parts = BTreeMap::<Shard, Vec<Numbered>>::new();
        for entry in entries.iter().filter(|entry| self.shards.contains_key(&entry.entry.shard)) {
            parts.entry(entry.entry.shard).or_default().push(entry.clone());
        }
        for (shard, part) in parts {
            // What is lost between two orders is noticed here: its task has ended, and may have said nothing.
            if let Some(ended) = self.shards.get(&shard).filter(|running| running.told.is_closed()) {
                self.shared.report.dropped(shard, ended.epoch);
                self.shards.remove(&shard);
                continue;
            }
            let room = self.held(orders, take_room(self.room.clone(), size(&part))).await;
            if let Some(room) = room {
                self.tell(shard, Told::Entries(part, room), orders).await;
            }
        }
    }

    /// Tells a shard's task; nothing happens where it has ended.
    async fn tell(&self, shard: Shard, told: Told, orders: &mpsc::Receiver<Order>) {
        match self.shards.get(&shard) {
            Some(running) => {
                if let Err(mpsc::error::SendError(Told::Release(done))) =
                    self.held(orders, running.told.send(told)).await
                {
                    let _ = done.send(());
                }
            }
            None => {
                if let Told::Release(done) = told {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Waits for something that may be held for long. When nobody gives orders any more, what fails is given up, so that it
    /// is not held for good.
    async fn held<T>(&self, orders: &mpsc::Receiver<Order>, waiting: impl Future<Output = T>) -> T {
        let mut waiting = std::pin::pin!(waiting);
        loop {
            if let Ok(done) = tokio::time::timeout(LOOK, waiting.as_mut()).await {
                return done;
            }
            if orders.is_closed() {
                self.ending.cancel();
            }
        }
    }
}

/// Room for so many bytes; for a part that is larger than all of it, all of it.
async fn take_room(room: Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let kib = u32::try_from(bytes.div_ceil(1024).min(ROOM)).unwrap_or(u32::MAX);
    room.acquire_many_owned(kib).await.ok()
}

fn size(part: &[Numbered]) -> usize {
    let bytes = |Numbered { entry, .. }: &Numbered| {
        entry.item.event().map_or(0, |event| event.bytes.len())
            + Hydrated::json(entry.hydrated.as_deref()).map_or(0, str::len)
            + OVERHEAD
    };
    part.iter().map(bytes).sum()
}
