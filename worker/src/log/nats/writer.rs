//! The writer: atomic batches, each behind the last one, one in flight.

use super::batch::{self, Answer, Expected, Outgoing};
use super::message::Encoder;
use super::{Error, Log, Tail};
use crate::log::Entry;
use crate::telemetry::trace::{self, Step};
use async_nats::jetstream::stream::RawMessageErrorKind;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::backoff::Backoff;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The log has gone on without this writer: another one is active.
#[derive(Debug, thiserror::Error)]
#[error("the log has gone on without this ingester, or is gone")]
pub struct Refused;

/// Writes to the log. Its numbers and sequences count from acknowledgements only.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    slices: Arc<Slices>,
    last_seq: u64,
    numbers: HashMap<Shard, u64>,
    position: Option<SourcePosition>,
    rejoined: bool,
}

impl Writer {
    /// A writer that goes on where the log ends.
    #[must_use]
    pub fn new(log: Log, slices: Arc<Slices>, tail: &Tail) -> Self {
        let Tail { last_seq, numbers, position, rejoined, .. } = tail;
        let (last_seq, rejoined) = (*last_seq, *rejoined);
        Self { log, slices, last_seq, numbers: numbers.clone(), position: position.clone(), rejoined }
    }

    /// The stream's last sequence.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The number of the last message of each shard that has one.
    #[must_use]
    pub fn numbers(&self) -> &HashMap<Shard, u64> {
        &self.numbers
    }

    /// Appends entries, [`MAX_BATCH`](super::MAX_BATCH) at most, all or none; the stream gives them their sequences. A full
    /// stream and a server that does not answer are waited for, and told.
    ///
    /// # Errors
    /// Another writer has written. Nothing of this batch is in the log then.
    pub async fn append(&mut self, entries: &[Entry], told: impl Fn(&str)) -> Result<(), Refused> {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.seq), "in the order in which they were read");
        let (mut encoder, began) = (self.encoder(), trace::now());
        let mut numbers = HashMap::new();
        let mut messages = Vec::with_capacity(entries.len());
        for entry in entries {
            let known = self.numbers.get(&entry.shard).copied().unwrap_or(0);
            let number = numbers.entry(entry.shard).or_insert(known);
            *number += 1;
            let (headers, payload) = encoder.item(&entry.item, *number);
            let subject = self.log.names.shard(&self.slices, entry.shard).into();
            messages.push(Outgoing { subject, headers, payload });
        }
        self.store(messages, told).await?;
        self.numbers.extend(numbers);
        (self.position, self.rejoined) = (encoder.position, encoder.rejoined);
        trace::done(Step::Append, began, &self.slices, entries);
        Ok(())
    }

    /// Says where the source was read to, where nothing was appended; older markers go.
    ///
    /// # Errors
    /// Another writer has written.
    pub async fn mark(&mut self, position: SourcePosition, rejoined: bool, told: impl Fn(&str)) -> Result<(), Refused> {
        (self.position, self.rejoined) = (Some(position), rejoined);
        let marker = self.log.names.marker();
        let message =
            Outgoing { subject: marker.clone().into(), headers: self.encoder().marker(), payload: Bytes::new() };
        self.store(vec![message], told).await?;
        if let Err(error) = self.log.stream.purge().filter(marker).keep(1).await {
            tracing::debug!(%error, "older markers stay for now");
        }
        Ok(())
    }

    fn encoder(&self) -> Encoder {
        let (max_payload, rejoined) = (self.log.client.max_payload(), self.rejoined);
        Encoder { max_payload, position: self.position.clone(), rejoined }
    }

    /// Sends the messages until they are stored once. However often they are sent, each attempt expects the same last
    /// sequence, so that at most one is stored; by its id it is known again.
    async fn store(&mut self, messages: Vec<Outgoing>, told: impl Fn(&str)) -> Result<(), Refused> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut ids = Vec::new();
        loop {
            let id = self.log.client.new_inbox();
            let answer = self.attempt(&messages, &id).await;
            ids.push(id);
            let why = match answer {
                Answer::Stored(_) => break,
                Answer::Not(why) => format!("the log {why}"),
                Answer::Refused if ids.len() == 1 => return Err(Refused),
                Answer::Refused | Answer::Unknown(_) => match (self.is_stored(&ids, messages.len()).await, answer) {
                    (Ok(Some(true)), _) => break,
                    (Ok(Some(false)), _) => return Err(Refused),
                    (Ok(None), Answer::Unknown(why)) => why,
                    (Ok(None), _) => "the log's end is not clear".to_owned(),
                    (Err(error), _) => error.to_string(),
                },
            };
            if matches!(self.log.end().await, Ok(None)) {
                // The stream is gone: whoever reads the source begins anew, from what the catalog holds.
                return Err(Refused);
            }
            told(&why);
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
        self.last_seq += messages.len() as u64;
        Ok(())
    }

    async fn attempt(&self, messages: &[Outgoing], id: &str) -> Answer {
        match batch::send(&self.log.client, messages, id, Expected::Stream(self.last_seq)).await {
            Answer::Stored(last) if last != self.last_seq + messages.len() as u64 => {
                Answer::Unknown(format!("the log's end is {last}, not what was written"))
            }
            answer => answer,
        }
    }

    /// Whether one of the attempts is in the log, also where another writer has gone on behind it: `None` where the log still
    /// ends before them.
    async fn is_stored(&self, ids: &[String], count: usize) -> Result<Option<bool>, Error> {
        let (last, its) = (self.log.info().await?.state.last_sequence, self.last_seq + count as u64);
        if last == self.last_seq {
            return Ok(None);
        }
        if last < its {
            return Ok(Some(false));
        }
        let message = match self.log.stream.get_raw_message(its).await {
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(Some(false)),
            message => message.map_err(|error| Error::request("the message where a batch would end")(&error))?,
        };
        let id = batch::id_of(&message.headers);
        Ok(Some(id.is_some_and(|id| ids.iter().any(|known| known == id))))
    }
}
