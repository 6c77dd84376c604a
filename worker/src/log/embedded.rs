//! The log inside the process: one queue for all shards, bounded by bytes.
//!
//! Invariants: what is appended is given out in the order in which it was appended; a full log makes the appender wait,
//! and so the socket unread; an item's bytes count until its commit, when the reader drops their [`Room`].

use super::Batch;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Batches in the queue at most; bytes are the real bound.
const BATCHES: usize = 4096;

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
    to: mpsc::Sender<(Batch, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    max_bytes: u32,
}

/// The reading side.
#[derive(Debug)]
pub struct Reader {
    from: mpsc::Receiver<(Batch, OwnedSemaphorePermit)>,
    waiting: Option<(Batch, OwnedSemaphorePermit)>,
}

/// A log of at most `max_bytes` of items.
#[must_use]
pub fn log(max_bytes: u64) -> (Appender, Reader) {
    let max_bytes = u32::try_from(max_bytes).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
    let (to, from) = mpsc::channel(BATCHES);
    let room = Arc::new(Semaphore::new(max_bytes as usize));
    (Appender { to, room, max_bytes }, Reader { from, waiting: None })
}

impl Appender {
    /// Appends a batch; waits while the log is full. A batch larger than the whole log waits until the log is empty.
    ///
    /// # Errors
    /// The reader has ended.
    pub async fn append(&self, batch: Batch) -> Result<(), Closed> {
        let bytes = u32::try_from(batch.bytes).unwrap_or(u32::MAX).min(self.max_bytes);
        let room = self.room.clone().acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.to.send((batch, room)).await.map_err(|_| Closed)
    }
}

impl Reader {
    /// All that waits, up to about `max_entries`; waits while there is nothing. `None` when the appender has ended and
    /// everything was given out. Safe to cancel.
    pub async fn next(&mut self, max_entries: usize) -> Option<(Batch, Room)> {
        let (mut batch, permit) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => self.from.recv().await?,
        };
        let mut room = Room(vec![permit]);
        while batch.entries.len() < max_entries {
            let Ok((later, permit)) = self.from.try_recv() else { break };
            if batch.entries.len() + later.entries.len() > max_entries {
                self.waiting = Some((later, permit));
                break;
            }
            batch.extend(later);
            room.0.push(permit);
        }
        Some((batch, room))
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
