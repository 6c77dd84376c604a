//! The enriched stream, read from its start as its users read it.

use super::events::Told;
use super::{Events, Failure};
use crate::manifest::NAME;
use crate::order::Wrong;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(30);

/// The document of a message.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    pub(super) seq: u64,
    #[serde(borrow)]
    pub(super) did: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) slice: Cow<'a, str>,
    pub(super) partition: i64,
    #[serde(borrow)]
    pub(super) operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) collection: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) rkey: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) rev: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) record: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) event: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) cid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) hydrated: Option<&'a RawValue>,
}

/// Reads all messages, in the order of the stream.
///
/// # Errors
/// A server that does not answer, a message that can not be read.
pub async fn enriched(nats: Vec<String>, wrong: &mut Wrong) -> Result<Events, Failure> {
    let mut events = Events::default();
    messages(nats, |_, seq, document| {
        if seq != Some(&*document.seq.to_string()) {
            return Err(format!("Turbo-Seq is {seq:?}, in the document {}", document.seq).into());
        }
        let told = Told {
            seq: document.seq,
            slice: &document.slice,
            partition: document.partition,
            did: &document.did,
            kind: &document.kind,
            operation: document.operation.as_deref(),
            collection: document.collection.as_deref(),
            rkey: document.rkey.as_deref(),
            rev: document.rev.as_deref(),
            record: document.record.map(RawValue::get),
            event: document.event.map(RawValue::get),
        };
        events.take(&told, wrong)
    })
    .await?;
    Ok(events)
}

/// Gives every message to `take`: when it was published, in microseconds since the Unix epoch, its header `Turbo-Seq`, its
/// document.
///
/// # Errors
/// A server that does not answer, a message that can not be read.
pub(super) async fn messages(
    nats: Vec<String>,
    mut take: impl FnMut(i64, Option<&str>, &Document<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let context = async_nats::jetstream::new(async_nats::connect(nats).await?);
    let mut stream = context.get_stream(format!("tpe_default_{NAME}")).await?;
    let mut left = stream.info().await?.state.messages;
    if left == 0 {
        return Ok(());
    }
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?;
    while left > 0 {
        let next = tokio::time::timeout(LIMIT, messages.next()).await;
        let message = next.map_err(|_| format!("{left} messages do not come"))?.ok_or("the consumer ended")??;
        let published_us = (message.info()?.published.unix_timestamp_nanos() / 1000) as i64;
        let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str());
        let payload = match header("Turbo-Encoding") {
            Some("zstd") => zstd::decode_all(&*message.payload)?.into(),
            _ => message.payload.clone(),
        };
        take(published_us, header("Turbo-Seq"), &serde_json::from_slice(&payload)?)?;
        left -= 1;
    }
    Ok(())
}
