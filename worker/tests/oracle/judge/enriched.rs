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
struct Document<'a> {
    seq: u64,
    #[serde(borrow)]
    did: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    slice: Cow<'a, str>,
    partition: i64,
    #[serde(borrow)]
    operation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    collection: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rkey: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rev: Option<Cow<'a, str>>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

/// Reads all messages, in the order of the stream.
///
/// # Errors
/// A server that does not answer, a message that can not be read.
pub async fn enriched(nats: Vec<String>, wrong: &mut Wrong) -> Result<Events, Failure> {
    let context = async_nats::jetstream::new(async_nats::connect(nats).await?);
    let mut stream = context.get_stream(format!("tpe_default_{NAME}")).await?;
    let mut left = stream.info().await?.state.messages;
    let mut events = Events::default();
    if left == 0 {
        return Ok(events);
    }
    let mut messages = stream.create_consumer(OrderedConfig::default()).await?.messages().await?;
    while left > 0 {
        let next = tokio::time::timeout(LIMIT, messages.next()).await;
        let message = next.map_err(|_| format!("{left} messages do not come"))?.ok_or("the consumer ended")??;
        let header = |name| message.headers.as_ref().and_then(|headers| headers.get(name)).map(|value| value.as_str());
        let payload = match header("Turbo-Encoding") {
            Some("zstd") => zstd::decode_all(&*message.payload)?.into(),
            _ => message.payload.clone(),
        };
        let document: Document<'_> = serde_json::from_slice(&payload)?;
        if header("Turbo-Seq") != Some(&*document.seq.to_string()) {
            return Err(format!("Turbo-Seq is {:?}, in the document {}", header("Turbo-Seq"), document.seq).into());
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
        events.take(&told, wrong)?;
        left -= 1;
    }
    Ok(events)
}
