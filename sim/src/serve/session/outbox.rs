//! Bytes on their way to the client.

use bytes::Bytes;
use std::time::Instant;

/// What is being written. Frames end only where it is empty.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Bytes,
    at: usize,
    /// When the client last took something, or when there was something new for it.
    moved: Instant,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { bytes: Bytes::new(), at: 0, moved: Instant::now() }
    }

    pub(super) fn fill(&mut self, bytes: Bytes) {
        (self.bytes, self.at, self.moved) = (bytes, 0, Instant::now());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Whether a part was taken, and a part not yet.
    pub(super) fn is_torn(&self) -> bool {
        self.at > 0 && !self.is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn took(&mut self, count: usize) {
        self.at += count;
        self.moved = Instant::now();
    }

    pub(super) fn moved(&self) -> Instant {
        self.moved
    }
}
