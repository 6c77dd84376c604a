//! What is known of what events point at is put together while those before them are being committed.
//!
//! Invariants:
//! - it is done in the order of the log over all shards, as far as they were read: a like that follows its post knows it;
//! - what the shard had already, before its log was begun anew, teaches nothing: only the commit knows what that is, so what
//!   is read behind a new beginning is left to it.

use super::holder::Read;
use crate::hydration::hydrator::{Hydrator, Taken};
use crate::log::Item;
use crate::log::nats::{Message, Next};
use std::num::NonZeroU64;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::position::generation;

/// What is put together of what was read.
#[derive(Debug)]
pub(super) enum Ahead {
    /// It may be, of an event that is new or is read again: that is older than what was learned since.
    May {
        /// Whether it is new.
        new: bool,
    },
    /// It was: that is all that is known of it.
    Taken(Option<Taken>),
    /// That is left to the commit.
    Not,
}

impl Ahead {
    /// Of what is read behind a claim at this position. `had_us`: the source time up to which events were had before the log
    /// was begun anew.
    pub(super) fn of<E>(next: &Result<Option<Next>, E>, position: u64, had_us: Option<i64>) -> Self {
        let Ok(Some(Next::Message(Message { seq, item: Some(item), .. }))) = next else { return Self::Not };
        let is_behind = |had_us| item.event().is_some_and(|event| event.time_us > had_us);
        match generation(*seq) == generation(position) && had_us.is_none_or(is_behind) {
            true => Self::May { new: *seq > position },
            false => Self::Not,
        }
    }
}

/// Gives on what was read, at most so many at once, one such batch ahead of who takes them; what is known was put together.
pub(super) fn ahead(
    mut from: mpsc::Receiver<Read>,
    most: usize,
    hydrator: Option<Hydrator>,
) -> (mpsc::Receiver<Vec<Read>>, AbortOnDropHandle<()>) {
    let (to, batches) = mpsc::channel(1);
    let running = tokio::spawn(async move {
        let mut batch = Vec::new();
        while from.recv_many(&mut batch, most).await > 0 {
            if let Some(hydrator) = &hydrator {
                put_together(&mut batch, hydrator);
            }
            if to.send(std::mem::take(&mut batch)).await.is_err() {
                return;
            }
        }
    });
    (batches, AbortOnDropHandle::new(running))
}

fn put_together(batch: &mut [Read], hydrator: &Hydrator) {
    let mut may: Vec<&mut Read> = batch.iter_mut().filter(|read| matches!(read.ahead, Ahead::May { .. })).collect();
    may.sort_by_key(|read| read.message().map(|message| message.seq));
    for read in may {
        let (Some(message), &Ahead::May { new }) = (read.message(), &read.ahead) else { continue };
        let Some(event) = message.item.as_ref().and_then(Item::event) else { continue };
        let new = new.then(|| appended_us(message.appended_ms)).flatten();
        read.ahead = Ahead::Taken(hydrator.take(read.shard.slice, event, new));
    }
}

/// When a message was appended, in microseconds since the Unix epoch.
pub(super) fn appended_us(appended_ms: Option<NonZeroU64>) -> Option<i64> {
    appended_ms.map(|at| at.get().saturating_mul(1000) as i64)
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
