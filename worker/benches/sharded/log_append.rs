//! The log's writer against bare writers of the same messages: atomic batches of the same size, one in flight, and single
//! publishes with many in flight, which are no fence and are shown to compare.

use crate::work::Work;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SEQUENCE,
};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, HeaderMap, Subject};
use bytes::Bytes;
use futures_util::StreamExt;
use std::collections::VecDeque;
use std::time::Instant;
use turbo_testkit::Nats;
use turbo_worker::log::Entry;
use turbo_worker::log::nats::{Log, MAX_BATCH, Options, Writer};

/// Publishes in flight of the bare pipelined publisher; more bring nothing.
const IN_FLIGHT: usize = 1024;

/// Events a second.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) ours: f64,
    pub(crate) batches: f64,
    pub(crate) pipelined: f64,
}

/// What the log's writer stored, without what makes it a batch; and the stream's configuration.
pub(crate) struct Messages {
    all: Vec<(Subject, HeaderMap, Bytes)>,
    config: Config,
}

fn nats() -> Nats {
    Nats::start().expect("nats-server is installed: scripts/tools.sh test")
}

async fn open(nats: &Nats) -> Log {
    let options = Options {
        url: nats.url(),
        namespace: "default".into(),
        pipeline: "bench".into(),
        slices: "default".into(),
        replicas: 1,
        max_bytes: 20 << 30,
    };
    Log::open(&options, ConnectOptions::new()).await.unwrap()
}

/// Appends all entries as the feed does: whole batches, one after the other. Returns events a second.
async fn ours(nats: &Nats, work: &Work) -> f64 {
    let log = open(nats).await;
    let mut writer = Writer::new(log.clone(), work.slices.clone(), &log.tail(&work.slices).await.unwrap());
    let entries: Vec<Entry> = work.entries.iter().map(|numbered| numbered.entry.clone()).collect();
    let began = Instant::now();
    for part in entries.chunks(MAX_BATCH) {
        writer.append(part, |why| panic!("{why}")).await.unwrap();
    }
    work.rate(began.elapsed())
}

/// Writes the work once, and reads back what is in the log.
pub(crate) async fn messages(work: &Work) -> Messages {
    let nats = nats();
    ours(&nats, work).await;
    let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = context.get_stream(open(&nats).await.names.stream()).await.unwrap();
    let consumer = stream.create_consumer(OrderedConfig::default()).await.unwrap();
    let mut read = consumer.messages().await.unwrap().take(work.entries.len());
    let mut all = Vec::with_capacity(work.entries.len());
    while let Some(message) = read.next().await {
        let message = message.unwrap().message;
        let of_batch = |name: &str| name.starts_with("Nats-");
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
            if !of_batch(name.as_ref()) {
                headers.insert(name.clone(), values[0].clone());
            }
        }
        all.push((message.subject, headers, message.payload));
    }
    Messages { all, config: stream.cached_info().config.clone() }
}

async fn empty(nats: &Nats, config: &Config) -> (Client, Context) {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let context = jetstream::new(client.clone());
    context.create_stream(config.clone()).await.unwrap();
    (client, context)
}

async fn batches(messages: &Messages, work: &Work) -> f64 {
    let nats = nats();
    let (client, _) = empty(&nats, &messages.config).await;
    let mut left: VecDeque<_> = messages.all.clone().into();
    let (mut last, began) = (0, Instant::now());
    while !left.is_empty() {
        let (id, count) = (client.new_inbox(), left.len().min(MAX_BATCH));
        for ((subject, mut headers, payload), at) in left.drain(..count).zip(1..) {
            headers.insert(NATS_BATCH_ID, id.as_str());
            headers.insert(NATS_BATCH_SEQUENCE, at.to_string());
            if at == 1 {
                headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
            }
            if at < count {
                client.publish_with_headers(subject, headers, payload).await.unwrap();
                continue;
            }
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            let answer = client.request_with_headers(subject, headers, payload).await.unwrap();
            let Response::Ok(ack) = serde_json::from_slice::<Response<PublishAck>>(&answer.payload).unwrap() else {
                panic!("a batch was refused: {answer:?}")
            };
            last = ack.sequence;
        }
    }
    assert_eq!(last as usize, work.entries.len(), "all is stored");
    work.rate(began.elapsed())
}

async fn pipelined(messages: &Messages, work: &Work) -> f64 {
    let nats = nats();
    let (_, context) = empty(&nats, &messages.config).await;
    let all = messages.all.clone();
    let (mut waiting, began) = (VecDeque::with_capacity(IN_FLIGHT), Instant::now());
    for (subject, headers, payload) in all {
        let message = PublishMessage::build().headers(headers).payload(payload);
        waiting.push_back(context.send_publish(subject, message).await.unwrap());
        if waiting.len() == IN_FLIGHT {
            waiting.pop_front().unwrap().await.unwrap();
        }
    }
    for answer in waiting {
        answer.await.unwrap();
    }
    work.rate(began.elapsed())
}

/// One turn of each.
pub(crate) async fn turn(work: &Work, messages: &Messages) -> Rates {
    let ours = ours(&nats(), work).await;
    let (batches, pipelined) = (batches(messages, work).await, pipelined(messages, work).await);
    println!("  log: turbo {ours:.0}/s, bare batches {batches:.0}/s, bare pipelined {pipelined:.0}/s");
    Rates { ours, batches, pipelined }
}
