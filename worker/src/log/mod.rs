//! The log: the bounded, ordered queue between reading and committing.

pub mod embedded;

use bytes::Bytes;
use std::sync::Arc;
use turbo_core::event::Event;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;

/// What an entry carries.
#[derive(Debug)]
pub enum Item {
    /// An event.
    Event(Box<Event>),
    /// What a source sent that is no event; it becomes a dead letter.
    Unreadable {
        /// The bytes; empty where they were too many to be read.
        bytes: Bytes,
        /// What is wrong with them.
        reason: String,
    },
}

/// One copy of an item in the log of a shard.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Log sequence number; it only grows.
    pub seq: u64,
    /// The shard that the copy is for.
    pub shard: Shard,
    /// The item; copies for several slices share it.
    pub item: Arc<Item>,
}

/// Part of the source that was never seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The host that was read when it was found.
    pub host: String,
    /// Source time of the last event before the gap, in microseconds.
    pub from_us: i64,
    /// Source time of the first event after it, in microseconds; unknown while none has come.
    pub to_us: Option<i64>,
    /// How it was found.
    pub reason: String,
}

/// Entries appended together, with what has to be stored in the transaction of their commit.
#[derive(Debug, Default)]
pub struct Batch {
    /// The entries, in log order.
    pub entries: Vec<Entry>,
    /// Where the source was read to, all entries included.
    pub position: Option<SourcePosition>,
    /// What the dedup window has to remember of the entries ([`turbo_core::window::Mark`]).
    pub marks: Vec<u8>,
    /// Marks with a window time below this are no longer needed.
    pub marks_from_us: i64,
    /// Gaps found since the last batch.
    pub gaps: Vec<Gap>,
    /// Size of the items in bytes.
    pub bytes: usize,
}

impl Batch {
    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gaps.is_empty()
    }

    /// Adds what was appended after this batch.
    pub fn extend(&mut self, later: Self) {
        self.entries.extend(later.entries);
        self.position = later.position.or(self.position.take());
        self.marks.extend_from_slice(&later.marks);
        self.marks_from_us = self.marks_from_us.max(later.marks_from_us);
        self.gaps.extend(later.gaps);
        self.bytes += later.bytes;
    }
}
