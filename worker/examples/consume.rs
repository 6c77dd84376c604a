//! A consumer of the enriched stream: prints the text of every new post, and goes on where it stopped.
//!
//! ```console
//! $ cargo run -p turbo-worker --example consume -- nats://127.0.0.1:4222 default bluesky consume.json
//! ```
//!
//! It keeps its own place: the sequence in the stream, to resume from, and for each shard the highest log sequence that it
//! is done with, to pass over what it has seen. Both are in a file here; what has effects in a database keeps them there,
//! in the transaction of the effects, and so has every event once.
//!
//! The consumer is an ordered one. One with acknowledgements hands out later messages before lost ones come again, so that
//! "the highest one" would not mean that all before it are done.

use anyhow::Context as _;
use async_nats::Message;
use async_nats::jetstream::{self, consumer::DeliverPolicy, consumer::pull::OrderedConfig};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

/// How often the place is written down.
const SAVE: Duration = Duration::from_secs(1);

/// What is used of the document. Fields that are not named here may be new, and are passed over.
#[derive(Deserialize)]
struct Document<'a> {
    v: u32,
    seq: u64,
    slice: &'a str,
    partition: u16,
    did: Option<&'a str>,
    operation: Option<&'a str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

/// Where this consumer is.
#[derive(Default, Deserialize, Serialize)]
struct Place {
    /// The last sequence in the stream that it is done with.
    sequence: u64,
    /// The highest log sequence of each shard that it is done with.
    shards: BTreeMap<String, u64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = |otherwise: &str| arguments.next().unwrap_or_else(|| otherwise.to_owned());
    let (url, namespace, pipeline) = (argument("nats://127.0.0.1:4222"), argument("default"), argument("bluesky"));
    let path = argument("consume.json");
    let mut place = load(&path)?;
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream(format!("tpe_{namespace}_{pipeline}")).await.context("the enriched stream")?;
    let config = OrderedConfig {
        filter_subject: format!("tpe.{namespace}.{pipeline}.*.*.app.bsky.feed.post"),
        // What the retention has taken meanwhile is not there any more: it begins at the first one that is.
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: place.sequence + 1 },
        ..OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let mut save = tokio::time::interval(SAVE);
    let mut saved = place.sequence;
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.context("the stream has ended")??;
                consume(&message, &mut place)?;
                place.sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
            }
            _ = save.tick() => if place.sequence > saved {
                std::fs::write(format!("{path}.new"), serde_json::to_vec(&place)?)?;
                std::fs::rename(format!("{path}.new"), &path)?;
                saved = place.sequence;
            }
        }
    }
}

fn load(path: &str) -> anyhow::Result<Place> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{path} is no place of this consumer")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Place::default()),
        Err(error) => Err(error).with_context(|| path.to_owned()),
    }
}

fn consume(message: &Message, place: &mut Place) -> anyhow::Result<()> {
    let compressed = message.headers.as_ref().is_some_and(|headers| headers.get("Turbo-Encoding").is_some());
    let payload = if compressed { zstd::decode_all(&message.payload[..])? } else { message.payload.to_vec() };
    let document: Document<'_> = serde_json::from_slice(&payload)?;
    anyhow::ensure!(document.v == 1, "version {} of the document is not known here", document.v);
    let done = place.shards.entry(format!("{}.{}", document.slice, document.partition)).or_default();
    if document.seq <= *done {
        return Ok(());
    }
    *done = document.seq;
    // A delete has no record, and neither has a message that says Turbo-Omitted. A record is what a user sent: any field may
    // be missing, stand there twice, or be something else.
    let post = document.record.and_then(|record| serde_json::from_str::<serde_json::Value>(record.get()).ok());
    let text = post.as_ref().and_then(|post| post["text"].as_str());
    if let (Some(text), Some("create")) = (text, document.operation) {
        let text = text.replace(char::is_control, " ");
        writeln!(std::io::stdout(), "{}: {text}", document.did.unwrap_or("?"))?;
    }
    Ok(())
}
