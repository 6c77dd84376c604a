//! What is known of what events point at is put together while those before them are being committed.
//!
//! Invariants:
//! - it is done in the order of the log over all shards, as far as they were read: a like that follows its post knows it;
//! - what the shard had already, before its log was begun anew, teaches nothing: only the commit knows what that is, so what
//!   is read behind a new beginning is left to it, until a claim is well behind that;
//! - of one claim, nothing that is put together here comes behind anything of its repository that is left to the commit.

use super::holder::Read;
use crate::hydration::hydrator::{Hydrator, Taken};
use crate::log::Item;
use crate::log::nats::{Message, Next};
use crate::sinks::postgres::Had;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;
use turbo_core::position::generation;

/// Bytes of documents that wait for the commit or for a sink, and of those of one batch. One of many mentions and long posts has
/// a hundred kilobytes.
const DOCUMENTS: usize = 32 << 20;
const DOCUMENTS_AT_ONCE: usize = 8 << 20;
/// By more than that no repository goes back in source time: hosts differ by less.
const WELL_BEHIND_US: i64 = 3600 * 1_000_000;

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
    /// Of what is read behind a claim at this position. `had_us`: events up to this source time may have been had before the log
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

/// The source time up to which events may have been had; all of them, where the shard is not well behind it yet: what is left to
/// the commit would be learned behind what came after it.
pub(super) fn had_us(had: Option<&Had>, now_us: Option<i64>) -> Option<i64> {
    let had_us = had?.time_us.unwrap_or(i64::MAX);
    let is_behind = now_us.is_some_and(|now_us| now_us > had_us.saturating_add(WELL_BEHIND_US));
    Some(if is_behind { had_us } else { i64::MAX })
}

/// What goes to a commit: in the order of the log, but that what is no message keeps its place behind its shard's.
pub(super) struct Batch {
    pub(super) read: Vec<Read>,
    /// Room of the documents.
    pub(super) room: OwnedSemaphorePermit,
}

/// Gives on what was read, at most so many at once and one batch ahead of who takes them, with what is known.
pub(super) fn ahead(
    mut from: mpsc::Receiver<Read>,
    most: usize,
    hydrator: Option<Hydrator>,
) -> (mpsc::Receiver<Batch>, AbortOnDropHandle<()>) {
    let (to, batches) = mpsc::channel(1);
    let room = Arc::new(Semaphore::new(DOCUMENTS));
    let running = tokio::spawn(async move {
        let mut read = Vec::new();
        while from.recv_many(&mut read, most).await > 0 {
            sort(&mut read);
            while !read.is_empty() {
                let (count, bytes) = put_together(&mut read, hydrator.as_ref());
                let later = read.split_off(count);
                let bytes = u32::try_from(bytes.min(DOCUMENTS)).unwrap_or(u32::MAX);
                let Ok(room) = room.clone().acquire_many_owned(bytes).await else { return };
                if to.send(Batch { read: std::mem::replace(&mut read, later), room }).await.is_err() {
                    return;
                }
            }
        }
    });
    (batches, AbortOnDropHandle::new(running))
}

fn sort(read: &mut Vec<Read>) {
    let mut last = BTreeMap::new();
    let mut placed: Vec<(u64, Read)> = Vec::with_capacity(read.len());
    for read in read.drain(..) {
        let last = last.entry((read.shard, read.epoch)).or_default();
        *last = read.message().map_or(*last, |message| message.seq);
        placed.push((*last, read));
    }
    placed.sort_by_key(|(place, _)| *place);
    read.extend(placed.into_iter().map(|(_, read)| read));
}

/// Puts together what is known for the first of these, as many as fit. Returns how many that are, and the bytes of their documents.
fn put_together(read: &mut [Read], hydrator: Option<&Hydrator>) -> (usize, usize) {
    let Some(hydrator) = hydrator else { return (read.len(), 0) };
    let mut bytes = 0;
    for (at, read) in read.iter_mut().enumerate() {
        if bytes >= DOCUMENTS_AT_ONCE {
            return (at, bytes);
        }
        let (Some(message), &Ahead::May { new }) = (read.message(), &read.ahead) else { continue };
        let Some(event) = message.item.as_ref().and_then(Item::event) else { continue };
        let new = new.then(|| appended_us(message.appended_ms)).flatten();
        let taken = hydrator.take(read.shard.slice, event, new);
        bytes += taken.as_ref().and_then(|taken| taken.hydrated.document.as_ref()).map_or(0, |document| document.len());
        read.ahead = Ahead::Taken(taken);
    }
    (read.len(), bytes)
}

/// When a message was appended, in microseconds since the Unix epoch.
pub(super) fn appended_us(appended_ms: Option<NonZeroU64>) -> Option<i64> {
    appended_ms.map(|at| at.get().saturating_mul(1000) as i64)
}

#[cfg(test)]
#[path = "ahead_tests.rs"]
mod tests;
