//! What tells the commits behind a sync from those before it, on one stream.

use crate::id::{EventId, key_hash};
use std::collections::HashMap;

/// From how many syncs on those of a stream are looked through.
pub(super) const PRUNE: usize = 1024;

/// The syncs that one stream has passed: what tells the commits behind a sync from those before it.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Whether the stream goes on behind the last event taken, and so behind every sync in the window.
    pub(super) all: bool,
    /// Whether every sync that it has passed was taken. Until it is seen to join, new ones are held back.
    pub(super) taken: bool,
    /// The last sync of a key.
    pub(super) last: HashMap<u64, EventId>,
    /// With how many of them those are looked for that are forgotten.
    prune_at: usize,
}

impl Passed {
    /// A stream that has just begun. `all`: behind everything that was taken.
    #[must_use]
    pub fn new(all: bool) -> Self {
        Self { all, taken: all, last: HashMap::new(), prune_at: PRUNE }
    }

    /// The stream was seen to join: whatever it has passed and passes is taken at once.
    pub fn join(&mut self) {
        self.taken = true;
    }

    /// The stream shows nothing that was taken any more: it is behind all of it.
    pub fn confirm(&mut self) {
        self.all = true;
    }

    /// The last sync of the key is from before the window: it was not held back, and salts nothing.
    pub fn is_old(&mut self, key: &str) {
        self.last.remove(&key_hash(key));
    }

    /// Whether the stream is known to be behind the key's newest sync.
    #[must_use]
    pub fn is_behind(&self, key: &str) -> bool {
        self.all || self.last.contains_key(&key_hash(key))
    }

    /// What was taken and is forgotten since salts nothing: it need not be remembered either. `is_known`: whether the window
    /// has this sync of the key.
    pub(super) fn prune(&mut self, is_known: impl Fn(u64, EventId) -> bool) {
        if self.taken && self.last.len() >= self.prune_at {
            self.last.retain(|key, last| is_known(*key, *last));
            self.prune_at = (2 * self.last.len()).max(PRUNE);
        }
    }
}
