//! A host's log: what it has seen, by its own numbers and clock.
//!
//! Invariants: sequences increase, times do not decrease (for `Flavour::Old` they increase); all segments but the last
//! are sealed; the log is never without a segment.

use super::block::{Block, FULL};
use super::config::{Flavour, HostConfig};
use super::segment::Segment;
use crate::wire::Row;
use crate::world::Happening;
use std::collections::VecDeque;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Rows of a share `vacancies` of happenings are followed by up to a thousand numbers of nothing.
fn vacancy(index: u64, vacancies: f64) -> u64 {
    let hash = xxh3_64(&index.to_le_bytes());
    let hit = ((hash >> 11) as f64) < vacancies * (1u64 << 53) as f64;
    if hit { 1 + hash % 1000 } else { 0 }
}

#[derive(Debug)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    /// Next sequence to be given.
    next_seq: u64,
    last_us: i64,
    keep_frames: bool,
}

impl Log {
    pub(crate) fn new(base: u64, keep_frames: bool) -> Self {
        Self { segments: [Segment::default()].into(), next_seq: base.max(1), last_us: i64::MIN, keep_frames }
    }

    /// An empty log like this one.
    pub(crate) fn anew(&self, base: u64) -> Self {
        Self::new(base, self.keep_frames)
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(crate) fn last_us(&self) -> i64 {
        self.last_us
    }

    pub(crate) fn segments(&self) -> &VecDeque<Segment> {
        &self.segments
    }

    /// The first sequence that is still there; the next one to be given where nothing is.
    pub(crate) fn oldest(&self) -> u64 {
        self.segments.front().filter(|segment| segment.rows() > 0).map_or(self.next_seq, Segment::first_seq)
    }

    /// Appends happenings with the times at which the host sees them.
    pub(crate) fn append(&mut self, seen: Vec<(i64, Arc<Happening>)>, config: &HostConfig) {
        let mut rows = Vec::new();
        for (seen_us, happening) in seen {
            let least = self.last_us.saturating_add(i64::from(config.flavour == Flavour::Old));
            let time_us = seen_us.max(least);
            let opens = rows.first().map_or(i64::MAX, |row: &Row| row.time_us);
            let full = self.open().is_full(time_us, config.segment_us) || time_us - config.segment_us >= opens;
            if rows.len() == FULL || full {
                self.push(std::mem::take(&mut rows));
            }
            if full {
                self.seal(config);
            }
            let left_out = vacancy(happening.index, config.vacancies);
            rows.push(Row { seq: self.next_seq, time_us, happening });
            self.next_seq += 1 + left_out;
            self.last_us = time_us;
        }
        self.push(rows);
    }

    fn open(&mut self) -> &mut Segment {
        if self.segments.is_empty() {
            self.segments.push_back(Segment::default());
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    fn push(&mut self, rows: Vec<Row>) {
        let keep_frames = self.keep_frames;
        if !rows.is_empty() {
            self.open().push(rows, keep_frames);
        }
    }

    /// Seals the open segment and lets go what is too old or too much.
    fn seal(&mut self, config: &HostConfig) {
        let keep_frames = self.keep_frames;
        self.open().merge(keep_frames);
        self.segments.push_back(Segment::default());
        let mut rows: usize = self.segments.iter().map(Segment::rows).sum();
        let oldest_us = self.last_us.saturating_sub(config.lookback_us);
        while let Some(front) = self.segments.front() {
            let too_many = config.keep > 0 && rows > config.keep;
            // Two stay: the open one, and a sealed one that the floor may name.
            if self.segments.len() <= 2 || !(too_many || front.last_us() < oldest_us) {
                break;
            }
            rows -= front.rows();
            self.segments.pop_front();
        }
    }

    /// The blocks from a sequence on, about `most` rows of them, with the row to begin at in the first.
    pub(crate) fn read(&self, from: u64, most: usize) -> Vec<(Arc<Block>, usize)> {
        let mut found = Vec::new();
        let mut rows = 0;
        let first = self.segments.partition_point(|segment| segment.rows() > 0 && segment.last_seq() < from);
        for segment in self.segments.iter().skip(first) {
            let skip = segment.blocks().partition_point(|block| block.last_seq() < from);
            for block in &segment.blocks()[skip..] {
                if rows >= most {
                    return found;
                }
                let at = block.rows().partition_point(|row| row.seq < from);
                rows += block.rows().len() - at;
                found.push((Arc::clone(block), at));
            }
        }
        found
    }

    /// The last `count` rows before a sequence.
    pub(crate) fn before(&self, seq: u64, count: usize) -> Vec<Row> {
        let from = seq.saturating_sub(count as u64);
        let blocks = self.read(from, count);
        let rows = blocks.iter().flat_map(|(block, at)| block.rows()[*at..].iter());
        rows.filter(|row| row.seq < seq).cloned().collect()
    }

    /// All that is there, in order.
    pub(crate) fn happenings(&self) -> impl Iterator<Item = &Arc<Happening>> {
        let blocks = self.segments.iter().flat_map(Segment::blocks);
        blocks.flat_map(|block| block.rows().iter().map(|row| &row.happening))
    }
}
