//! The log inside the process: one queue for all shards, bounded by bytes.
//!
//! Invariants: what is appended is given out in the order in which it was appended; a full log makes the appender wait,
//! and so the socket unread; an item's bytes count until its commit, when the reader drops their [`Room`].

use super::{Batch, Entry};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// Batches in the queue at most; bytes are the real bound.
const BATCHES: usize = 4096;
/// Entries that are looked through ahead at once, and how often as many may wait behind those.
const AHEAD: (usize, usize) = (512, 4);

/// The log is closed: its other side has ended.
#[derive(Debug, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;

/// Bytes of the log that are in use; given back when dropped.
#[derive(Debug)]
pub struct Room(Vec<OwnedSemaphorePermit>);

/// The writing side.
#[derive(Debug)]
pub struct Appender {
    to: mpsc::Sender<(Batch, Room)>,
    room: Arc<Semaphore>,
    max_bytes: u32,
}

/// The reading side.
#[derive(Debug)]
pub struct Reader {
    from: mpsc::Receiver<(Batch, Room)>,
    waiting: Option<(Batch, Room)>,
    /// Who gives to it, if that is [`Reader::ahead`].
    ahead: Option<JoinHandle<()>>,
}

/// A log of at most `max_bytes` of items.
#[must_use]
pub fn log(max_bytes: u64) -> (Appender, Reader) {
    let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
    let (to, from) = mpsc::channel(BATCHES);
    let room = Arc::new(Semaphore::new(max_bytes as usize));
    (Appender { to, room, max_bytes }, Reader { from, waiting: None, ahead: None })
}

impl Appender {
    /// Appends a batch; waits while the log is full. A batch larger than the whole log waits until the log is empty.
    ///
    /// # Errors
    /// The reader has ended.
    pub async fn append(&self, batch: Batch) -> Result<(), Closed> {
        let bytes = u32::try_from(batch.bytes).unwrap_or(u32::MAX).min(self.max_bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.to.send((batch, Room(vec![room]))).await.map_err(|_| Closed)
    }
}

impl Reader {
    /// All that waits, up to about `max_entries`; waits while there is nothing. `None` when the appender has ended and
    /// everything was given out. Safe to cancel.
    pub async fn next(&mut self, max_entries: usize) -> Option<(Batch, Room)> {
        let (mut batch, mut room) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => match self.from.recv().await {
                Some(next) => next,
                None => return self.end().await,
            },
        };
        while batch.entries.len() < max_entries {
            let Ok((later, permits)) = self.from.try_recv() else { break };
            if batch.entries.len() + later.entries.len() > max_entries {
                self.waiting = Some((later, permits));
                break;
            }
            batch.extend(later);
            room.0.extend(permits.0);
        }
        Some((batch, room))
    }

    /// The same log, each of whose entries was given to `each` before, in their order: that goes on while others are being
    /// committed.
    #[must_use]
    pub fn ahead(mut self, mut each: impl FnMut(&mut Entry) + Send + 'static) -> Self {
        let (to, from) = mpsc::channel(AHEAD.1);
        let ahead = tokio::spawn(async move {
            while let Some((mut batch, room)) = self.next(AHEAD.0).await {
                batch.entries.iter_mut().for_each(&mut each);
                if to.send((batch, room)).await.is_err() {
                    break;
                }
            }
        });
        Self { from, waiting: None, ahead: Some(ahead) }
    }

    /// A panic of who looks ahead is no end of the log.
    async fn end(&mut self) -> Option<(Batch, Room)> {
        if let Some(ahead) = &mut self.ahead
            && let Err(failed) = ahead.await
            && failed.is_panic()
        {
            std::panic::resume_unwind(failed.into_panic());
        }
        self.ahead = None;
        None
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
