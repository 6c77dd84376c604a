//! The writer: atomic batches, each behind the last one, one in flight.

use super::message::Encoder;
use super::{Error, Log, Tail, said};
use crate::log::Entry;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{HeaderMap, Subject, header};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::backoff::Backoff;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};

/// Messages in a batch at most; the server's own limit.
pub const MAX_BATCH: usize = 1000;
const BATCH_ID: &str = "Nats-Batch-Id";
const BATCH_SEQUENCE: &str = "Nats-Batch-Sequence";
const BATCH_COMMIT: &str = "Nats-Batch-Commit";
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The log has gone on without this writer: another one is active.
#[derive(Debug, thiserror::Error)]
#[error("another ingester has written to the log; this one stands back")]
pub struct Refused;

/// What became of an attempt.
enum Outcome {
    Stored,
    /// The stream's last sequence is not the one expected.
    Refused,
    /// Nothing of it is stored: the stream is full.
    Full(String),
    /// It may be stored, or may be later.
    Unknown(String),
}

/// Writes to the log. Its numbers and sequences count from acknowledgements only.
#[derive(Debug)]
pub struct Writer {
    log: Log,
    slices: Arc<Slices>,
    last_seq: u64,
    numbers: HashMap<Shard, u64>,
    position: Option<SourcePosition>,
}

/// Messages as they are sent: subject, headers, payload.
type Messages = Vec<(Subject, HeaderMap, Bytes)>;

impl Writer {
    /// A writer that goes on where the log ends.
    #[must_use]
    pub fn new(log: Log, slices: Arc<Slices>, tail: &Tail) -> Self {
        let Tail { last_seq, numbers, position, .. } = tail;
        Self { log, slices, last_seq: *last_seq, numbers: numbers.clone(), position: position.clone() }
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

    /// Appends entries, [`MAX_BATCH`] at most, all or none; the stream gives them their sequences. A full stream and a
    /// server that does not answer are waited for, and told.
    ///
    /// # Errors
    /// Another writer has written. Nothing of this batch is in the log then.
    pub async fn append(&mut self, entries: &[Entry], told: impl Fn(&str)) -> Result<(), Refused> {
        debug_assert!(entries.is_sorted_by_key(|entry| entry.seq), "in the order in which they were read");
        let mut encoder = self.encoder();
        let mut numbers = HashMap::new();
        let mut messages = Messages::with_capacity(entries.len());
        for entry in entries {
            let known = self.numbers.get(&entry.shard).copied().unwrap_or(0);
            let number = numbers.entry(entry.shard).or_insert(known);
            *number += 1;
            let (headers, payload) = encoder.item(&entry.item, *number);
            messages.push((self.log.names.shard(&self.slices, entry.shard).into(), headers, payload));
        }
        self.store(messages, told).await?;
        self.numbers.extend(numbers);
        self.position = encoder.position;
        Ok(())
    }

    /// Says where the source was read to, where nothing was appended; older markers go.
    ///
    /// # Errors
    /// Another writer has written.
    pub async fn mark(&mut self, position: SourcePosition, told: impl Fn(&str)) -> Result<(), Refused> {
        self.position = Some(position);
        let marker = self.log.names.marker();
        self.store(vec![(marker.clone().into(), self.encoder().marker(), Bytes::new())], told).await?;
        if let Err(error) = self.log.stream.purge().filter(marker).keep(1).await {
            tracing::debug!(%error, "older markers stay for now");
        }
        Ok(())
    }

    fn encoder(&self) -> Encoder {
        Encoder { max_payload: self.log.client.max_payload(), position: self.position.clone() }
    }

    /// Sends the messages until they are stored once. However often they are sent, each attempt expects the same last
    /// sequence, so that at most one is stored; by its id it is known again.
    async fn store(&mut self, messages: Messages, told: impl Fn(&str)) -> Result<(), Refused> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut ids = Vec::new();
        loop {
            let id = self.log.client.new_inbox();
            let outcome = self.attempt(&messages, &id).await;
            ids.push(id);
            let why = match outcome {
                Outcome::Stored => break,
                Outcome::Full(why) => why,
                Outcome::Refused if ids.len() == 1 => return Err(Refused),
                Outcome::Refused | Outcome::Unknown(_) => match (self.is_stored(&ids, messages.len()).await, outcome) {
                    (Ok(Some(true)), _) => break,
                    (Ok(Some(false)), _) => return Err(Refused),
                    (Ok(None), Outcome::Unknown(why)) => why,
                    (Ok(None), _) => "the log's end is not clear".to_owned(),
                    (Err(error), _) => error.to_string(),
                },
            };
            told(&why);
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
        self.last_seq += messages.len() as u64;
        Ok(())
    }

    async fn attempt(&self, messages: &Messages, id: &str) -> Outcome {
        let Some(((last_subject, last_headers, last_payload), before)) = messages.split_last() else {
            return Outcome::Stored;
        };
        let batch = |headers: &HeaderMap, sequence: usize| {
            let mut headers = headers.clone();
            headers.insert(BATCH_ID, id);
            headers.insert(BATCH_SEQUENCE, sequence.to_string());
            if sequence == 1 {
                headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, self.last_seq.to_string());
            }
            headers
        };
        let client = &self.log.client;
        for ((subject, headers, payload), sequence) in before.iter().zip(1..) {
            let sent = client.publish_with_headers(subject.clone(), batch(headers, sequence), payload.clone()).await;
            if let Err(error) = sent {
                return Outcome::Unknown(said(&error));
            }
        }
        let mut headers = batch(last_headers, messages.len());
        headers.insert(BATCH_COMMIT, "1");
        match client.request_with_headers(last_subject.clone(), headers, last_payload.clone()).await {
            Ok(answer) => self.judge(&answer.payload, messages.len()),
            Err(error) => Outcome::Unknown(said(&error)),
        }
    }

    fn judge(&self, answer: &[u8], count: usize) -> Outcome {
        match serde_json::from_slice::<Response<PublishAck>>(answer) {
            Ok(Response::Ok(ack)) if ack.sequence == self.last_seq + count as u64 => Outcome::Stored,
            Ok(Response::Ok(ack)) => {
                Outcome::Unknown(format!("the log's end is {}, not what was written", ack.sequence))
            }
            Ok(Response::Err { error }) => match error.error_code() {
                ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Outcome::Refused,
                ErrorCode::STREAM_STORE_FAILED => Outcome::Full(format!("the log is full: {error}")),
                _ => Outcome::Unknown(said(&error)),
            },
            Err(error) => Outcome::Unknown(format!("an answer that can not be read: {error}")),
        }
    }

    /// Whether one of the attempts is what the log ends with: `None` where the log still ends before them.
    async fn is_stored(&self, ids: &[String], count: usize) -> Result<Option<bool>, Error> {
        let last = self.log.info().await?.state.last_sequence;
        if last == self.last_seq {
            return Ok(None);
        }
        if last != self.last_seq + count as u64 {
            return Ok(Some(false));
        }
        let message = self.log.stream.get_raw_message(last).await;
        let message = message.map_err(|error| Error::request("the last message of the log")(&error))?;
        let id = message.headers.get(BATCH_ID).map(async_nats::HeaderValue::as_str);
        Ok(Some(id.is_some_and(|id| ids.iter().any(|known| known == id))))
    }
}
