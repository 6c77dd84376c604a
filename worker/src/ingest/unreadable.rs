//! What is no event: asked for once more, then given up, and held back where the join is not seen yet.
//!
//! Invariants:
//! - a broken transport does not repeat itself, so only what comes again at the same place is given up, once;
//! - a frame above the limit is left out by the connection behind the one that met it, and by no other.

use super::reader::{Ingest, Over};
use crate::sources::Source;
use crate::telemetry::events;
use bytes::Bytes;
use turbo_core::id::EventId;
use turbo_core::join::{Join, MAX_HELD_BYTES};

/// What an entry of [`Held`] takes in memory beside its bytes, roughly.
const OVERHEAD: usize = 256;

/// Bytes that came twice and are no event.
pub(super) struct Unreadable {
    id: EventId,
    bytes: Bytes,
    reason: String,
}

/// What is given up, but came before the join was seen. It outlives connections: each may meet one more.
#[derive(Default)]
pub(super) struct Held {
    items: Vec<Unreadable>,
    bytes: usize,
}

impl Held {
    fn push(&mut self, item: Unreadable) {
        self.bytes += item.bytes.len() + OVERHEAD;
        self.items.push(item);
    }
}

impl<S: Source> Ingest<S> {
    /// Bytes that are no event.
    pub(super) fn unreadable(&mut self, bytes: Bytes, reason: String, join: &mut Join, host: &str) -> Option<Over> {
        let id = EventId::of_bytes(self.last, &bytes);
        self.last = Some(id);
        if self.is_given_up(id) {
            return None;
        }
        if S::MAY_GARBLE && self.garbled != Some(id) {
            return Some(Over::Garbled(id, reason));
        }
        self.give_up(Unreadable { id, bytes, reason }, join.joined(), host);
        if self.held.bytes <= MAX_HELD_BYTES {
            return None;
        }
        // They come again with the next connection.
        self.held = Held::default();
        Some(Over::NotJoined)
    }

    /// A frame above the limit. Given up, it is a dead letter without bytes, and the next connection leaves it out.
    pub(super) fn oversized(&mut self, size: usize, limit: usize, join: &Join, host: &str) {
        let position = self.appending.position.as_ref();
        // A stream that begins with it is at the position.
        let before = self.last.or(position.map(|position| position.id));
        let id = EventId::of_bytes(before, format!("oversized: {size}").as_bytes());
        if !self.is_given_up(id) {
            if self.garbled.replace(id) != Some(id) {
                return;
            }
            let place = position.map_or_else(|| host.to_owned(), ToString::to_string);
            let reason = format!("a frame of {size} bytes behind {place} is above the limit of {limit} bytes");
            self.give_up(Unreadable { id, bytes: Bytes::new(), reason }, join.joined(), host);
        }
        // Smaller ones above the limit still come, and are told apart.
        self.at_most = Some(size.saturating_sub(1));
    }

    /// Appends what was held back.
    pub(super) fn release(&mut self, host: &str) {
        std::mem::take(&mut self.held).items.into_iter().for_each(|item| self.give_up(item, true, host));
    }

    fn is_given_up(&self, id: EventId) -> bool {
        self.appending.window.contains(id) || self.held.items.iter().any(|item| item.id == id)
    }

    fn give_up(&mut self, item: Unreadable, joined: bool, host: &str) {
        if !joined {
            return self.held.push(item);
        }
        let Unreadable { id, bytes, reason } = item;
        events::Unreadable { reason: &reason, bytes: bytes.len() }.emit();
        self.appending.unreadable(id, bytes, reason, host);
    }
}
