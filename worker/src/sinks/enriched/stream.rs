//! The enriched stream as the server holds it: made and kept as the spec says, and its last messages.

use super::document::{NUMBER, SEQ};
use crate::log::nats::batch;
use crate::log::nats::connection::context;
use crate::log::nats::message;
use crate::log::nats::stream::{DUPLICATES, keep};
use crate::log::nats::{Error, Log};
use crate::sinks::feed::SinkPosition;
use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, Stream};
use std::time::Duration;
use turbo_core::position::SourcePosition;

/// What the pipeline file calls it.
const FIELD: &str = "spec.sinks.enriched.nats";
/// The smallest `max_payload` of a server, in bytes: names, keys and headers have room in it.
const MIN_PAYLOAD: usize = 16 << 10;

/// What the spec says of the enriched stream.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that it may hold; above them the oldest messages go.
    pub max_bytes: u64,
    /// How old a message may become; `None` for no limit.
    pub max_age: Option<Duration>,
    /// Copies.
    pub replicas: usize,
}

/// The last message of a shard.
#[derive(Debug)]
pub(super) struct Last {
    /// Its sequence in the stream.
    pub(super) sequence: u64,
    /// The attempt that stored it.
    pub(super) batch: Option<String>,
    /// Where it stood in the log.
    pub(super) position: SinkPosition,
    /// Where the source was at it.
    pub(super) source: Option<SourcePosition>,
}

/// Why the last message is not known.
#[derive(Debug)]
pub(super) enum Unread {
    /// There is no stream: somebody has deleted it.
    Gone,
    /// What to do about it, or what happened: no answer, a message that is not ours, a batch that is just being stored.
    Failed(String),
}

/// Makes the stream, or brings its limits up to date.
///
/// # Errors
/// It is another's, it can not be had so, the server takes too small messages only, or does not answer.
pub(super) async fn open(log: &Log, options: &Options) -> Result<Stream, Error> {
    let name = log.names.enriched_stream().to_owned();
    let max_payload = log.client.max_payload();
    if max_payload < MIN_PAYLOAD {
        let why = format!("max_payload of the NATS server is {max_payload} bytes, and {MIN_PAYLOAD} are needed");
        return Err(Error::Limits { field: FIELD, stream: name, why, mend: "give the server more" });
    }
    let wanted = Config {
        name,
        description: Some("what the pipeline has committed, for those who follow it".to_owned()),
        subjects: vec![log.names.enriched_subjects()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_bytes: i64::try_from(options.max_bytes).unwrap_or(i64::MAX),
        max_age: options.max_age.unwrap_or_default(),
        num_replicas: options.replicas,
        duplicate_window: DUPLICATES,
        allow_atomic_publish: true,
        metadata: log.labels.clone(),
        ..Config::default()
    };
    keep(&context(&log.client), FIELD, wanted, |now, wanted| {
        (now.max_bytes, now.max_age) = (wanted.max_bytes, wanted.max_age);
        (now.num_replicas, now.discard) = (wanted.num_replicas, wanted.discard);
        (now.max_messages, now.max_messages_per_subject) = (-1, -1);
        now.allow_atomic_publish = wanted.allow_atomic_publish;
    })
    .await
}

/// The last message of the subjects that the filter matches, asked of the stream's leader; `None` where there is none.
///
/// # Errors
/// [`Unread`].
pub(super) async fn last(stream: &Stream, filter: &str) -> Result<Option<Last>, Unread> {
    let found = match stream.get_last_raw_message_by_subject(filter).await {
        Ok(found) => found,
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => return Ok(None),
            LastRawMessageErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                return Err(Unread::Gone);
            }
            _ => {
                let error = Error::request("the last message of the enriched stream")(&error);
                return Err(Unread::Failed(error.to_string()));
            }
        },
    };
    let number = |name: &str| header(&found.headers, name)?.parse::<u64>().ok();
    let (Some(seq), Some(number)) = (number(SEQ), number(NUMBER)) else {
        let (sequence, subject) = (found.sequence, &found.subject);
        let why = format!("message {sequence} of the enriched stream, {subject}, is another's; remove it");
        return Err(Unread::Failed(why));
    };
    if !batch::is_whole(&found.headers) {
        return Err(Unread::Failed("a batch is just being stored".to_owned()));
    }
    let batch = batch::id_of(&found.headers).map(str::to_owned);
    let source = message::placed(&found.headers);
    Ok(Some(Last { sequence: found.sequence, batch, position: SinkPosition { seq, number }, source }))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}
