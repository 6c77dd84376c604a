//! A stretch of a host's log, as it would be one file of the real server.

use super::block::{Block, FULL};
use crate::wire::Row;
use std::sync::Arc;

/// Rows of a segment at most.
const MOST: usize = 100_000;

/// Blocks in order. The last few of an open one may be small; they are merged as they fill up.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    blocks: Vec<Arc<Block>>,
    rows: usize,
    /// Blocks at the end that are not full, and their rows.
    loose: usize,
    loose_rows: usize,
}

impl Segment {
    /// Appends rows; merged blocks keep their frames only where `keep_frames` says so.
    pub(crate) fn push(&mut self, rows: Vec<Row>, keep_frames: bool) {
        self.rows += rows.len();
        if rows.len() == FULL && self.loose == 0 {
            self.blocks.push(Arc::new(Block::new(rows, keep_frames)));
            return;
        }
        self.loose += 1;
        self.loose_rows += rows.len();
        // What has just happened is sent to every subscriber, so its frames are worth keeping for a while.
        self.blocks.push(Arc::new(Block::new(rows, true)));
        if self.loose_rows >= FULL {
            self.merge(keep_frames);
        }
    }

    /// Makes full blocks of the loose ones; nothing more comes after sealing.
    pub(crate) fn merge(&mut self, keep_frames: bool) {
        let loose = self.blocks.split_off(self.blocks.len() - self.loose);
        let rows: Vec<Row> = loose.iter().flat_map(|block| block.rows().iter().cloned()).collect();
        self.blocks.extend(rows.chunks(FULL).map(|rows| Arc::new(Block::new(rows.to_vec(), keep_frames))));
        (self.loose, self.loose_rows) = (0, 0);
    }

    pub(crate) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.blocks.first().map_or(0, |block| block.first_seq())
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.last_seq())
    }

    pub(crate) fn last_us(&self) -> i64 {
        self.blocks.last().map_or(i64::MIN, |block| block.last_us())
    }

    /// Whether a row of this time belongs into the next segment.
    pub(crate) fn is_full(&self, time_us: i64, segment_us: i64) -> bool {
        self.rows >= MOST || self.blocks.first().is_some_and(|block| time_us - block.first_us() >= segment_us)
    }
}
