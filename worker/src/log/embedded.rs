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
mod tests {
    use super::*;
    use crate::log::{Content, Entry, Item};
    use bytes::Bytes;
    use std::time::Duration;
    use turbo_core::shard::Shard;

    fn batch(seq: u64, bytes: usize) -> Batch {
        let content = Content::Unreadable { bytes: Bytes::new(), reason: String::new() };
        let item = Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None });
        let entry = Entry::new(seq, Shard { slice: 0, partition: 0 }, item);
        Batch { entries: vec![entry], bytes, ..Batch::default() }
    }

    async fn seqs(reader: &mut Reader, max: usize) -> (Vec<u64>, Room) {
        let (batch, room) = reader.next(max).await.unwrap();
        (batch.entries.iter().map(|entry| entry.seq).collect(), room)
    }

    #[tokio::test]
    async fn order_is_kept_and_batches_are_bounded() {
        let (appender, mut reader) = log(1000);
        for seq in 1..=5 {
            appender.append(batch(seq, 10)).await.unwrap();
        }
        assert_eq!(seqs(&mut reader, 2).await.0, [1, 2]);
        assert_eq!(seqs(&mut reader, 2).await.0, [3, 4]);
        drop(appender);
        assert_eq!(seqs(&mut reader, 2).await.0, [5]);
        assert!(reader.next(2).await.is_none());
    }

    #[tokio::test]
    async fn a_full_log_makes_the_appender_wait_until_the_commit() {
        let (appender, mut reader) = log(100);
        appender.append(batch(1, 60)).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(2, 60))).await;
        assert!(blocked.is_err());
        let (_, room) = seqs(&mut reader, 10).await;
        let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(2, 60))).await;
        assert!(blocked.is_err(), "given out is not committed");
        drop(room);
        appender.append(batch(2, 60)).await.unwrap();
        let (_, room) = seqs(&mut reader, 10).await;
        drop(room);
        appender.append(batch(3, 1_000_000)).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(4, 1))).await;
        assert!(blocked.is_err(), "larger than the log: it has the log for itself");
    }
}
