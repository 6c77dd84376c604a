//! From the host's log into the outbox.

use super::ending::Ending;
use super::{Next, Session, odd};
use crate::host::block::Block;
use crate::wire::Row;
use crate::wire::frames::Frames;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows that are read at once, at most about so many.
const ROWS: usize = 1024;
/// Bytes that are sent at once, about.
const BYTES: usize = 256 << 10;

impl Session {
    /// The next events, as far as there are any.
    pub(super) fn feed(&mut self) -> Result<Next, Ending> {
        // A host that has started anew cuts its sessions; this one has not heard of it yet.
        let Some(blocks) = self.host.read(self.life, self.position, ROWS) else { return Err(Ending::Drop) };
        if blocks.is_empty() {
            self.held = None;
            return Ok(Next::Wait);
        }
        let (mut out, alone) = (BytesMut::new(), blocks.len() == 1);
        for (block, from) in blocks {
            let frames = self.frames(&block)?;
            if self.instead.is_some() || !self.filter.is_open() {
                self.pick(&block, &frames, from, &mut out);
            } else {
                let to = frames.fit(from, BYTES.saturating_sub(out.len()));
                let bytes = frames.of(from..to);
                self.pass(&block.rows()[from..to]);
                if alone {
                    return Ok(if bytes.is_empty() { Next::Again } else { Next::Bytes(bytes) });
                }
                out.extend_from_slice(&bytes);
            }
            if out.len() >= BYTES || self.position <= block.last_seq() {
                break;
            }
        }
        Ok(if out.is_empty() { Next::Again } else { Next::Bytes(out.freeze()) })
    }

    /// Takes what passes the filter, row by row.
    fn pick(&mut self, block: &Block, frames: &Frames, from: usize, out: &mut BytesMut) {
        for (at, row) in block.rows().iter().enumerate().skip(from) {
            let bytes = frames.plain_len(at);
            self.pass(std::slice::from_ref(row));
            if bytes == 0 || !self.filter.passes(row, bytes) {
                continue;
            }
            match self.instead.take() {
                Some(odd) => out.extend_from_slice(&odd::odd(odd, self.wire, self.dictionary.as_deref())),
                None => out.extend_from_slice(&frames.of(at..at + 1)),
            }
            if out.len() >= BYTES {
                break;
            }
        }
    }

    fn pass(&mut self, rows: &[Row]) {
        if let Some(last) = rows.last() {
            self.position = last.seq + 1;
            self.host.counts.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        }
    }

    /// The frames of a block; those of the last one are held, as it may take several turns.
    fn frames(&mut self, block: &Arc<Block>) -> Result<Arc<Frames>, Ending> {
        if let Some((held, frames)) = &self.held
            && Arc::ptr_eq(held, block)
        {
            return Ok(Arc::clone(frames));
        }
        let made = block.frames(self.wire, self.host.dialect(), self.dictionary.as_deref());
        let frames = made.map_err(|_| self.failed())?;
        self.held = Some((Arc::clone(block), Arc::clone(&frames)));
        Ok(frames)
    }

    /// The frames of the last events that were sent, one after the other.
    pub(super) fn last(&self, count: usize) -> Bytes {
        let rows = self.host.before(self.life, self.position, count);
        let frames = Frames::encode(&rows, self.wire, self.host.dialect(), self.dictionary.as_deref());
        let Ok(frames) = frames else { return Bytes::new() };
        let passing = (0..rows.len()).filter(|at| self.filter.passes(&rows[*at], frames.plain_len(*at)));
        passing.map(|at| frames.of(at..at + 1)).collect::<Vec<_>>().concat().into()
    }
}
