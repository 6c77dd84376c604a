//! One claimed shard: what of its log waits, and in which segment.

use super::super::name::hour_of;
use super::Shared;
use super::buffer::Spool;
use crate::log::Numbered;
use crate::sinks::feed::SinkPosition;
use crate::sinks::postgres::Fence;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;

/// Entries of one shard whose events, if there are any, are of one hour.
#[derive(Debug, Default)]
pub(super) struct Group {
    hour: Option<i64>,
    entries: Vec<Numbered>,
}

/// The events of a segment, in a file.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) spool: Spool,
    pub(super) last_seq: u64,
    pub(super) hour: i64,
    pub(super) rows: u64,
}

/// A range of the log that is closed: its segment, and where the position goes with it.
#[derive(Debug)]
pub(super) struct Range {
    /// `None`: there is no event in it.
    pub(super) segment: Option<Waiting>,
    pub(super) covers: SinkPosition,
    /// Where the source was at the last event up to there.
    pub(super) source: Option<SourcePosition>,
    pub(super) entries: u64,
}

impl Range {
    /// Bytes that wait for its object.
    pub(super) fn bytes(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.spool.bytes())
    }
}

/// A shard that is given up.
pub(super) struct Leaving {
    /// Until when a put under way is waited for.
    pub(super) until: Instant,
    /// Who waits for it.
    pub(super) answer: Option<oneshot::Sender<()>>,
}

/// A claimed shard.
pub(super) struct Lane {
    pub(super) fence: Fence,
    /// The position in the catalog.
    pub(super) landed: SinkPosition,
    /// The last entry that was taken.
    taken: SinkPosition,
    /// Where the source was at the last event that was taken.
    source: Option<SourcePosition>,
    /// Entries taken since the last range was closed, and since when.
    entries: u64,
    since: Option<Instant>,
    open: Option<Waiting>,
    pub(super) closed: VecDeque<Range>,
    /// Whether the intents of earlier epochs are burnt.
    pub(super) burnt: bool,
    /// Up to this sequence the archive has the shard, wherever its position is; known once it is burnt.
    pub(super) covered: u64,
    /// The burning or the landing that is under way, and the bytes that it has.
    pub(super) work: Option<(AbortHandle, u64)>,
    pub(super) leaving: Option<Leaving>,
}

impl Lane {
    pub(super) fn new(fence: Fence, position: SinkPosition) -> Self {
        Self {
            fence,
            landed: position,
            taken: position,
            source: None,
            entries: 0,
            since: None,
            open: None,
            closed: VecDeque::new(),
            burnt: false,
            covered: 0,
            work: None,
            leaving: None,
        }
    }

    /// Bytes of the open segment.
    pub(super) fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.spool.bytes())
    }

    /// Bytes of all that waits.
    pub(super) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(Range::bytes).sum();
        let working = self.work.as_ref().map_or(0, |(_, bytes)| *bytes);
        self.open_bytes() + closed + working
    }

    /// Takes entries; passes over what the archive has. After an error they can be given again.
    pub(super) async fn take(&mut self, shared: &Shared, group: &Group) -> io::Result<()> {
        let entries = group.entries.iter().filter(|numbered| numbered.entry.seq > self.taken.seq);
        let entries: Vec<Numbered> = entries.cloned().collect();
        let Some(last) = entries.last() else { return Ok(()) };
        let source = entries.iter().rev().find_map(|numbered| numbered.entry.source());
        let (taken, count) = (SinkPosition { seq: last.entry.seq, number: last.number }, entries.len() as u64);
        if let Some((last_seq, rows)) = events(&entries) {
            let hour = group.hour.unwrap_or_default();
            if self.open.as_ref().is_some_and(|open| open.hour != hour) {
                self.close();
            }
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(Waiting { spool: shared.buffer.spool()?, last_seq, hour, rows: 0 }),
            };
            open.spool.append(entries).await?;
            open.last_seq = last_seq;
            open.rows += rows;
        }
        self.taken = taken;
        self.source = source.or(self.source.take());
        self.entries += count;
        self.since.get_or_insert_with(Instant::now);
        if self.open_bytes() >= shared.options.closed_at() {
            self.close();
        }
        Ok(())
    }

    /// Closes the open range, up to the last entry that was taken.
    pub(super) fn close(&mut self) {
        let segment = self.open.take().filter(|open| open.rows > 0);
        if self.entries > 0 {
            let entries = std::mem::take(&mut self.entries);
            self.closed.push_back(Range { segment, covers: self.taken, source: self.source.clone(), entries });
        }
        self.since = None;
    }

    /// Closes a range that is old enough.
    pub(super) fn close_if_older(&mut self, age: Duration) {
        if self.since.is_some_and(|since| since.elapsed() >= age) {
            self.close();
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some((work, _)) = &self.work {
            work.abort();
        }
    }
}

/// Last sequence of the events among these entries, and how many they are.
fn events(entries: &[Numbered]) -> Option<(u64, u64)> {
    let seqs = entries.iter().filter(|numbered| numbered.entry.item.event().is_some()).map(|n| n.entry.seq);
    seqs.fold(None, |found: Option<(u64, u64)>, seq| Some((seq, found.map_or(0, |(_, rows)| rows) + 1)))
}

/// Cuts an order by shards and hours.
pub(super) fn groups(entries: &[Numbered]) -> Vec<(Shard, Group)> {
    let mut shards = BTreeMap::<Shard, Vec<Group>>::new();
    for numbered in entries {
        let groups = shards.entry(numbered.entry.shard).or_default();
        let hour = numbered.entry.item.event().map(hour_of);
        let last = match groups.last_mut() {
            Some(last) if hour.is_none() || last.hour.is_none() || last.hour == hour => last,
            _ => {
                groups.push(Group::default());
                let last = groups.len() - 1;
                &mut groups[last]
            }
        };
        last.hour = last.hour.or(hour);
        last.entries.push(numbered.clone());
    }
    shards.into_iter().flat_map(|(shard, groups)| groups.into_iter().map(move |group| (shard, group))).collect()
}
