//! From the queue inside the process to the log: batches grow with what waits, and do not linger when it is calm.

use super::batch::MAX_BATCH;
use super::writer::{Refused, Writer};
use crate::log::embedded::Reader;
use crate::log::{Batch, Content, Entry, Item};
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;

/// How long the source's position may move without a message before a marker tells it.
const MARK_AFTER: Duration = Duration::from_secs(60);

/// What the feed tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// A batch of the queue is in the log.
    Stored {
        /// Its entries.
        entries: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// The log takes nothing for now, and why.
    Held(&'a str),
}

/// Who watches over a feed.
pub trait Watch: Sync {
    /// Ends when the log may grow by a batch: what waits for the workers has a limit. Gets the number of each shard's last
    /// message, and the stream's last sequence.
    fn pass(&self, numbers: &HashMap<Shard, u64>, last_seq: u64) -> impl Future<Output = ()> + Send;

    /// What the feed tells.
    fn told(&self, told: Told<'_>);
}

/// Writes what comes out of the queue until it has ended. Gaps become entries of the shard `gaps`.
///
/// # Errors
/// Another writer has written; what was not acknowledged is not in the log.
pub async fn feed(mut queue: Reader, writer: &mut Writer, gaps: Shard, watch: &impl Watch) -> Result<(), Refused> {
    let mut moved: Option<(SourcePosition, bool)> = None;
    let mut last = Instant::now();
    loop {
        let next = tokio::time::timeout_at(last + MARK_AFTER, queue.next(MAX_BATCH)).await;
        match next {
            Ok(None) => return Ok(()),
            Ok(Some((batch, room))) => {
                moved = batch.position.clone().map(|position| (position, batch.rejoined)).or(moved);
                let (count, bytes) = (batch.entries.len(), batch.bytes);
                let entries = with_gaps(batch, gaps);
                if !entries.is_empty() {
                    watch.pass(writer.numbers(), writer.last_seq()).await;
                    append(&entries, writer, |why| watch.told(Told::Held(why))).await?;
                    watch.told(Told::Stored { entries: count, bytes });
                    (moved, last) = (None, Instant::now());
                }
                drop(room);
            }
            Err(_) => {
                if let Some((position, rejoined)) = moved.take() {
                    writer.mark(position, rejoined, |why| watch.told(Told::Held(why))).await?;
                }
                last = Instant::now();
            }
        }
    }
}

/// Appends a batch in parts that the log takes whole. The copies of an event for several slices stay in one.
async fn append(entries: &[Entry], writer: &mut Writer, told: impl Fn(&str)) -> Result<(), Refused> {
    for part in parts(entries) {
        writer.append(part, &told).await?;
    }
    Ok(())
}

/// The entries of a batch, behind the gaps that were found before them.
fn with_gaps(batch: Batch, shard: Shard) -> Vec<Entry> {
    let seq = batch.entries.first().map_or(0, |first| first.seq);
    let entry = |gap| {
        let item =
            Item { content: Content::Gap(gap), host: "".into(), marks: Vec::new(), trace: None, rejoined: false };
        Entry::new(seq, shard, Arc::new(item))
    };
    batch.gaps.into_iter().map(entry).chain(batch.entries).collect()
}

fn parts(entries: &[Entry]) -> Vec<&[Entry]> {
    let mut parts = Vec::new();
    let mut rest = entries;
    while rest.len() > MAX_BATCH {
        let whole = |at: &usize| !Arc::ptr_eq(&rest[*at].item, &rest[*at - 1].item);
        // An event has fewer copies than a batch has room.
        let at = (1..=MAX_BATCH).rev().find(whole).unwrap_or(MAX_BATCH);
        let (part, later) = rest.split_at(at);
        parts.push(part);
        rest = later;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Content, Item};
    use turbo_core::shard::Shard;

    #[test]
    fn copies_of_an_event_stay_together() {
        let mut entries = Vec::new();
        for (event, copies) in [1usize, 32, 7].into_iter().cycle().take(400).enumerate() {
            let content = Content::Unreadable { bytes: vec![event as u8].into(), reason: String::new() };
            let item = Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None, rejoined: false });
            for slice in 0..copies as u16 {
                let seq = entries.len() as u64 + 1;
                entries.push(Entry::new(seq, Shard { slice, partition: 0 }, item.clone()));
            }
        }
        let parts = parts(&entries);
        assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), entries.len());
        assert_eq!(parts.len(), entries.len().div_ceil(MAX_BATCH - 31));
        for two in parts.windows(2) {
            assert!(two[0].len() <= MAX_BATCH);
            assert_eq!(two[1][0].shard.slice, 0, "a part begins with an event's first copy");
        }
    }
}
