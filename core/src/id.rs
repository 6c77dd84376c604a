//! The id of an event: what tells whether it was seen before, whichever host sent it.
//!
//! A commit is (key, rev, collection, rkey, operation); any other kind is (key, kind, the event's own time) and what it
//! says: two changes of an account may bear one time, which has milliseconds only, and a server that resynced a
//! repository by itself gives the sync no time at all. Neither the host's clock nor its sequence numbers are in it, since
//! two hosts give one event different ones.

use crate::event::{Body, Event};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// 128 bits of xxh3 over the parts of the id, each with its length before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u128);

impl EventId {
    /// The id of an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let mut parts = Parts(Xxh3::new());
        parts.add(&event.key);
        parts.add(event.kind().as_str());
        match &event.body {
            Body::Commit(commit) => {
                parts.add(&commit.rev);
                parts.add(&commit.collection);
                parts.add(&commit.rkey);
                parts.add(commit.operation.as_str());
            }
            Body::Sync { rev, time } => {
                parts.add(rev);
                parts.add(time);
            }
            Body::Identity { handle, time } => {
                parts.add(time);
                parts.add_or_none(handle.as_deref());
            }
            Body::Account { active, status, time } => {
                parts.add(time);
                parts.add(if *active { "active" } else { "inactive" });
                parts.add_or_none(status.as_deref());
            }
        }
        Self(parts.0.digest128())
    }

    /// This id behind a sync of its repository: another event than the same one before it.
    #[must_use]
    pub fn behind(self, sync: Self) -> Self {
        let mut parts = Parts(Xxh3::new());
        parts.0.update(&self.0.to_le_bytes());
        parts.0.update(&sync.0.to_le_bytes());
        Self(parts.0.digest128())
    }

    /// The id of bytes that are no event and came behind the event `after`: the same bytes at another place are others.
    #[must_use]
    pub fn of_bytes(after: Option<Self>, bytes: &[u8]) -> Self {
        let mut parts = Parts(Xxh3::new());
        parts.add("unreadable");
        parts.0.update(&after.map_or(0, |id| id.0).to_le_bytes());
        parts.0.update(bytes);
        Self(parts.0.digest128())
    }
}

/// 64 bits for a key, where only events of one key are looked for.
#[must_use]
pub fn key_hash(key: &str) -> u64 {
    xxh3_64(key.as_bytes())
}

struct Parts(Xxh3);

impl Parts {
    fn add(&mut self, part: &str) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part.as_bytes());
    }

    /// What is not there is something else than an empty text.
    fn add_or_none(&mut self, part: Option<&str>) {
        self.0.update(&[u8::from(part.is_some())]);
        self.add(part.unwrap_or_default());
    }
}

#[cfg(test)]
#[path = "id_tests.rs"]
mod tests;
