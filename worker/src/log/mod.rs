//! The log: the bounded, ordered queue between reading and committing.

pub mod embedded;
pub mod nats;

use crate::hydration::hydrator::{Hydrator, Taken};
use crate::telemetry::trace::TraceContext;
use bytes::Bytes;
use jiff::Timestamp;
use std::sync::Arc;
use tokio::time::Instant;
use turbo_core::event::Event;
use turbo_core::fold::Logged;
use turbo_core::hydrated::Hydrated;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;
use turbo_core::window::Mark;

/// What an entry carries.
#[derive(Debug)]
pub struct Item {
    /// What came.
    pub content: Content,
    /// The host that it came from.
    pub host: Arc<str>,
    /// What the dedup window has to remember of it.
    pub marks: Vec<Mark>,
    /// The trace that it is in, if it is traced.
    pub trace: Option<Arc<TraceContext>>,
    /// Whether the host may be another than the one that had the name before the log began anew: a stream was joined by time
    /// since, and gives other times to what is known. Then its cursors and times say nothing of what was had before.
    pub rejoined: bool,
}

impl Item {
    /// The event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&Event> {
        match &self.content {
            Content::Event(event) => Some(event),
            Content::Unreadable { .. } | Content::Gap(_) | Content::Covered(_) => None,
        }
    }
}

/// What a source sent.
#[derive(Debug)]
pub enum Content {
    /// An event.
    Event(Box<Event>),
    /// What a source sent that is no event; it becomes a dead letter.
    Unreadable {
        /// The bytes; empty where they were too many to be read.
        bytes: Bytes,
        /// What is wrong with them.
        reason: String,
    },
    /// Part of the source was never seen. In a log that many processes share, a gap is an entry like any other, so that
    /// it is written down once, whoever crashes.
    Gap(Gap),
    /// What a sink of the shard had already before its log was begun anew: the owner puts it in the event's place, so that
    /// the position moves over it and nothing else happens. It is never in a log.
    Covered(Box<Event>),
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
    /// What was known of what its record points at, where its slice looks that up. It is in no log: whoever commits the
    /// entry puts it here.
    pub hydrated: Option<Arc<Hydrated>>,
    /// When some of that becomes too old to land; `None` for never.
    pub hydrated_until: Option<Instant>,
    /// When it was appended, in microseconds since the Unix epoch, where the log says that.
    pub appended_us: Option<i64>,
}

impl Entry {
    /// An entry as it comes from the log.
    #[must_use]
    pub fn new(seq: u64, shard: Shard, item: Arc<Item>) -> Self {
        Self { seq, shard, item, hydrated: None, hydrated_until: None, appended_us: None }
    }

    /// The event with what is known of it, if it is one.
    #[must_use]
    pub fn logged(&self) -> Option<Logged<'_>> {
        let Self { seq, shard, .. } = *self;
        Some(Logged { seq, shard, event: self.item.event()?, hydrated: self.hydrated.as_deref() })
    }

    /// Puts what is known by now in the place of what was known when it came: it has waited.
    pub fn hydrate_again(&mut self, hydrator: &Hydrator) {
        if let (Some(event), Some(_)) = (self.item.event(), &self.hydrated) {
            self.put(hydrator.again(self.shard.slice, event));
        }
    }

    /// Whether some of what was known is too old to land by now.
    #[must_use]
    pub fn is_too_old(&self, now: Instant) -> bool {
        self.hydrated_until.is_some_and(|until| until <= now)
    }

    /// Puts what is known by now in its place, if it is.
    pub fn refresh(&mut self, hydrator: &Hydrator, now: Instant) {
        if self.is_too_old(now) {
            self.hydrate_again(hydrator);
        }
    }

    /// Puts what is known beside the entry, and learns from it where it is `new`.
    pub fn hydrate(&mut self, hydrator: &Hydrator, new: bool) {
        if let Some(event) = self.item.event() {
            let appended_us = || self.appended_us.unwrap_or_else(|| Timestamp::now().as_microsecond());
            self.put(hydrator.take(self.shard.slice, event, new.then(appended_us)));
        }
    }

    /// Puts what was taken for its event beside it.
    pub fn put(&mut self, taken: Option<Taken>) {
        self.hydrated_until = taken.as_ref().and_then(|taken| taken.until);
        self.hydrated = taken.map(|taken| taken.hydrated);
    }
}

/// An entry with its number in the shard, which grows by one from entry to entry.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The entry.
    pub entry: Entry,
    /// Its number.
    pub number: u64,
}

impl Entry {
    /// Where its source was at it, if it is an event.
    #[must_use]
    pub fn source(&self) -> Option<SourcePosition> {
        let event = self.item.event()?;
        let (host, cursor) = (self.item.host.to_string(), event.cursor);
        Some(SourcePosition { host, cursor, time_us: event.time_us, id: EventId::of(event) })
    }
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
    /// The same of the position as [`Item::rejoined`].
    pub rejoined: bool,
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

    /// The items, each once: copies for several slices stand side by side.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        let items = self.entries.iter().map(|entry| &entry.item);
        let before = std::iter::once(None).chain(items.clone().map(Some));
        let again = |before: Option<&Arc<Item>>, item| before.is_some_and(|before| Arc::ptr_eq(before, item));
        items.zip(before).filter(move |(item, before)| !again(*before, item)).map(|(item, _)| &**item)
    }

    /// Adds what was appended after this batch.
    pub fn extend(&mut self, later: Self) {
        self.entries.extend(later.entries);
        self.position = later.position.or(self.position.take());
        self.rejoined |= later.rejoined;
        self.marks_from_us = self.marks_from_us.max(later.marks_from_us);
        self.gaps.extend(later.gaps);
        self.bytes += later.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(first: u64, len: u64, host: u8, moves: bool) -> Batch {
        let item = || {
            let mark = Mark { id: EventId(u128::from(host)), key: first, rev: 0, time_us: 0 };
            Arc::new(Item {
                content: Content::Unreadable { bytes: Bytes::new(), reason: String::new() },
                host: "h".into(),
                marks: vec![mark],
                trace: None,
                rejoined: false,
            })
        };
        let shard = Shard { slice: 0, partition: 0 };
        let position = moves.then(|| SourcePosition {
            host: format!("h{host}"),
            cursor: Some(first + len),
            time_us: first as i64,
            id: EventId(u128::from(first)),
        });
        Batch {
            // Two copies of each item.
            entries: (first..first + len)
                .map(|_| item())
                .flat_map(|item| [item.clone(), item])
                .zip(2 * first..)
                .map(|(item, seq)| Entry::new(seq, shard, item))
                .collect(),
            position,
            rejoined: false,
            marks_from_us: first as i64,
            gaps: Vec::new(),
            bytes: len as usize,
        }
    }

    proptest! {
        #[test]
        fn however_batches_are_joined_the_last_position_counts(
            parts in prop::collection::vec((1u64..5, 0u8..3, any::<bool>()), 1..12), at in any::<prop::sample::Index>(),
        ) {
            let mut first = 1;
            let mut all = Vec::new();
            for (len, host, moves) in parts {
                all.push((first, len, host, moves));
                first += len;
            }
            let join = |parts: &[(u64, u64, u8, bool)]| {
                let mut joined = Batch::default();
                parts.iter().for_each(|(first, len, host, moves)| joined.extend(batch(*first, *len, *host, *moves)));
                joined
            };
            let whole = join(&all);
            let (left, right) = all.split_at(at.index(all.len()));
            let mut split = join(left);
            split.extend(join(right));
            let last = all.iter().rev().find(|part| part.3).map(|(first, len, host, _)| batch(*first, *len, *host, true));
            prop_assert_eq!(&whole.position, &last.and_then(|batch| batch.position));
            prop_assert_eq!(&whole.position, &split.position);
            let marks = |batch: &Batch| batch.items().flat_map(|item| item.marks.clone()).collect::<Vec<_>>();
            prop_assert_eq!(marks(&whole), marks(&split));
            prop_assert_eq!(marks(&whole).len(), first as usize - 1);
            prop_assert_eq!(whole.bytes, first as usize - 1);
            let seqs: Vec<u64> = split.entries.iter().map(|entry| entry.seq).collect();
            prop_assert_eq!(seqs, (2..2 * first).collect::<Vec<_>>());
        }
    }
}
