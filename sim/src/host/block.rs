//! A few rows in a row, with their frames.

use crate::wire::dictionary::Dictionary;
use crate::wire::frames::Frames;
use crate::wire::{Dialect, Row, Wire};
use std::io;
use std::sync::{Arc, OnceLock};

/// Rows of a full block.
pub(crate) const FULL: usize = 1024;

/// Rows with increasing sequences and times that do not decrease. Never empty, never changed.
#[derive(Debug)]
pub(crate) struct Block {
    rows: Box<[Row]>,
    frames: Option<[OnceLock<Arc<Frames>>; 4]>,
}

impl Block {
    /// `keep_frames`: whether frames are kept once they were made.
    pub(crate) fn new(rows: Vec<Row>, keep_frames: bool) -> Self {
        Self { rows: rows.into(), frames: keep_frames.then(Default::default) }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn first_seq(&self) -> u64 {
        self.rows.first().map_or(0, |row| row.seq)
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.seq)
    }

    pub(crate) fn first_us(&self) -> i64 {
        self.rows.first().map_or(0, |row| row.time_us)
    }

    pub(crate) fn last_us(&self) -> i64 {
        self.rows.last().map_or(0, |row| row.time_us)
    }

    /// Its frames, made now where they were not kept.
    pub(crate) fn frames(&self, wire: Wire, dialect: Dialect, dict: Option<&Dictionary>) -> io::Result<Arc<Frames>> {
        let kept = self.frames.as_ref().map(|frames| &frames[wire.index()]);
        if let Some(frames) = kept.and_then(OnceLock::get).filter(|frames| frames.is_of(dict)) {
            return Ok(Arc::clone(frames));
        }
        let frames = Arc::new(Frames::encode(&self.rows, wire, dialect, dict)?);
        // Where another was quicker its frames stay, which are the same.
        let _ = kept.map(|slot| slot.set(Arc::clone(&frames)));
        Ok(frames)
    }
}
