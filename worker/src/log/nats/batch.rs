//! An atomic batch: messages that are stored together and side by side, or not at all, behind what is expected to be
//! there. Used for the log and for the enriched stream.
//!
//! Invariants:
//! - the first message alone bears the expectation, and whoever sends has one batch in flight for it;
//! - every attempt has an id of its own, which is stored with the messages: so an attempt whose answer was lost is known
//!   again.

use super::said;
use async_nats::connection::State;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
    NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{Client, HeaderMap, HeaderValue, Subject};
use bytes::Bytes;
use std::time::Duration;

/// Messages in a batch at most; the server's own limit.
pub const MAX_BATCH: usize = 1000;
/// How long the sending of a batch, with the wait for its answer, may take.
const SENDING: Duration = Duration::from_secs(20);
const EXPECTED_SUBJECT: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// A message to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

/// Behind what a batch has to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected<'a> {
    /// The stream's last sequence.
    Stream(u64),
    /// The last sequence among the subjects that the filter matches; 0 for none.
    Subjects { filter: &'a str, last: u64 },
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Stored; this is the sequence of the last message.
    Stored(u64),
    /// What was expected is not so; nothing of this attempt is stored.
    Refused,
    /// Nothing of this attempt is stored; what the stream does instead: "is full", say.
    Not(String),
    /// It may be stored, or may be later.
    Unknown(String),
}

/// Sends the messages, [`MAX_BATCH`] at most, as one batch with this id.
pub(crate) async fn send(client: &Client, messages: &[Outgoing], id: &str, expected: Expected<'_>) -> Answer {
    debug_assert!(messages.len() <= MAX_BATCH, "the server refuses more");
    if client.connection_state() != State::Connected {
        return Answer::Not("is out of reach: there is no connection".to_owned());
    }
    match tokio::time::timeout(SENDING, attempt(client, messages, id, expected)).await {
        Ok(answer) => answer,
        Err(_) => Answer::Unknown("the batch could not be sent in time".to_owned()),
    }
}

async fn attempt(client: &Client, messages: &[Outgoing], id: &str, expected: Expected<'_>) -> Answer {
    let Some((last, before)) = messages.split_last() else {
        return Answer::Not("gets nothing: the batch is empty".to_owned());
    };
    for (message, sequence) in before.iter().zip(1..) {
        let headers = headers(message, id, sequence, expected);
        let sent = client.publish_with_headers(message.subject.clone(), headers, message.payload.clone()).await;
        if let Err(error) = sent {
            return Answer::Unknown(said(&error));
        }
    }
    let mut headers = headers(last, id, messages.len(), expected);
    headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
    match client.request_with_headers(last.subject.clone(), headers, last.payload.clone()).await {
        Ok(answer) => judge(&answer.payload),
        Err(error) => Answer::Unknown(said(&error)),
    }
}

fn headers(message: &Outgoing, id: &str, sequence: usize, expected: Expected<'_>) -> HeaderMap {
    let mut headers = message.headers.clone();
    headers.insert(NATS_BATCH_ID, id);
    headers.insert(NATS_BATCH_SEQUENCE, sequence.to_string());
    if sequence == 1 {
        match expected {
            Expected::Stream(last) => headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string()),
            Expected::Subjects { filter, last } => {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
                headers.insert(EXPECTED_SUBJECT, filter);
            }
        }
    }
    headers
}

fn judge(answer: &[u8]) -> Answer {
    match serde_json::from_slice::<Response<PublishAck>>(answer) {
        Ok(Response::Ok(ack)) => Answer::Stored(ack.sequence),
        Ok(Response::Err { error }) => match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Answer::Refused,
            ErrorCode::STREAM_STORE_FAILED => Answer::Not(format!("is full: {error}")),
            _ => Answer::Unknown(said(&error)),
        },
        Err(error) => Answer::Unknown(format!("an answer that can not be read: {error}")),
    }
}

/// The id of the attempt that stored a message.
pub(crate) fn id_of(headers: &HeaderMap) -> Option<&str> {
    headers.get(NATS_BATCH_ID).map(HeaderValue::as_str)
}

/// Whether a message is the last one of its batch. A stream whose last message is not is just storing one.
pub(crate) fn is_whole(headers: &HeaderMap) -> bool {
    headers.get(NATS_BATCH_COMMIT).is_some()
}
