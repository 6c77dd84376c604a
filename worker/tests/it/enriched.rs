//! The enriched stream on real servers: what the database has committed is published once, in order and as it came.

use crate::postgres::{Logging, event_of, open};
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use turbo_core::event::{Body, Event};
use turbo_core::shard::{Shard, Slice, Slices};
use turbo_core::wire::{Frame, decode};
use turbo_sim::{World, WorldConfig};
use turbo_testkit::{Nats, PgBouncer, Postgres};
use turbo_worker::log::nats::{Behind, Log, MAX_BATCH, Next, Options as LogOptions, Writer};
use turbo_worker::log::{Content, Entry, Item, Numbered};
use turbo_worker::sinks::enriched::{self, NAME, Options};
use turbo_worker::sinks::feed::{Order, SinkHandle, SinkPosition};
use turbo_worker::sinks::postgres::Database;

/// A slice of one collection, and one for the rest, with so many partitions each.
pub fn slices(partitions: u16) -> Arc<Slices> {
    let posts = Slice { name: "posts".into(), collections: Some(vec!["app.bsky.feed.post".into()]), partitions };
    let rest = Slice { name: "rest".into(), collections: None, partitions };
    Arc::new(Slices::new(vec![posts, rest]).unwrap())
}

pub fn options() -> Options {
    Options { max_bytes: 1 << 30, max_age: None, replicas: 1 }
}

pub async fn log(url: &str, replicas: usize) -> Log {
    let options = LogOptions {
        url: url.to_owned(),
        namespace: "test".into(),
        pipeline: "bluesky".into(),
        slices: "posts rest".into(),
        replicas,
        max_bytes: 1 << 30,
    };
    Log::open(&options, ConnectOptions::new()).await.unwrap()
}

/// The database with rows of the sink, at epoch 1.
pub async fn catalog(postgres: &Postgres, slices: &Slices) -> Database {
    let database = open(&postgres.url(), slices).await;
    postgres.execute(
        "postgres",
        "INSERT INTO positions (slice, partition, sink, epoch)
         SELECT slice, partition, 'enriched', 1 FROM positions WHERE sink = 'postgres'",
    );
    database
}

/// What a claim does: every shard's next epoch.
pub fn claim(postgres: &Postgres) -> u64 {
    let bump = "UPDATE positions SET epoch = epoch + 1 WHERE sink = 'enriched' RETURNING epoch";
    postgres.execute("postgres", bump).lines().next().unwrap().parse().unwrap()
}

/// The owner of every shard, as far as the sink can tell.
pub struct Owner {
    pub sink: SinkHandle,
    pub slices: Arc<Slices>,
}

impl Owner {
    /// Starts a sink that has claimed every shard under this epoch.
    pub async fn start(log: &Log, database: &Database, slices: &Arc<Slices>, epoch: u64) -> Self {
        Self::with(&options(), log, database, slices, epoch).await
    }

    pub async fn with(options: &Options, log: &Log, database: &Database, slices: &Arc<Slices>, epoch: u64) -> Self {
        let sink = enriched::spawn(options, log, database.clone(), slices.clone()).await.unwrap();
        for shard in slices.shards() {
            let (_, position) = database.sink_position(slices, NAME, shard).await.unwrap().unwrap();
            sink.orders.send(Order::Claimed { shard, epoch, position }).await.unwrap();
        }
        Self { sink, slices: slices.clone() }
    }

    /// Hands it entries, as commits of this size.
    pub async fn give(&self, entries: &[Numbered], commit: usize) {
        for entries in entries.chunks(commit) {
            self.sink.orders.send(Order::Entries(entries.to_vec().into())).await.unwrap();
        }
    }

    /// Releases every shard: what was given has landed then, or the shard is lost.
    pub async fn release(&self) {
        let mut released = Vec::new();
        for shard in self.slices.shards() {
            let (done, answer) = oneshot::channel();
            self.sink.orders.send(Order::Release(shard, done)).await.unwrap();
            released.push(answer);
        }
        for answer in released {
            let _ = answer.await;
        }
    }

    /// Ends it in the middle, as `kill -9` would.
    pub async fn crash(self) {
        self.sink.task.abort();
        let _ = self.sink.task.await;
    }
}

/// A message of the stream, as a consumer gets it.
#[derive(Debug)]
pub struct Found {
    pub subject: String,
    pub seq: u64,
    pub number: u64,
    pub encoding: Option<String>,
    pub omitted: Option<String>,
    pub document: Document,
    pub last_of_batch: bool,
}

/// What the page says of the document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub v: u8,
    pub did: Option<String>,
    pub kind: String,
    pub seq: u64,
    pub time_us: i64,
    pub slice: String,
    pub partition: u16,
    pub operation: Option<String>,
    pub collection: Option<String>,
    pub rkey: Option<String>,
    pub rev: Option<String>,
    pub cid: Option<String>,
    pub hydration: String,
    pub record: Option<Box<RawValue>>,
    pub event: Option<Box<RawValue>>,
}

pub async fn stream(log: &Log, url: &str) -> Stream {
    let context = async_nats::jetstream::new(async_nats::connect(url.split(',').collect::<Vec<_>>()).await.unwrap());
    context.get_stream(log.names.enriched_stream()).await.unwrap()
}

/// Everything that stands in the stream, in its order.
pub async fn read(stream: &Stream, filter: &str) -> Vec<Found> {
    let messages = stream.get_info().await.unwrap().state.messages;
    let config = OrderedConfig { filter_subject: filter.to_owned(), ..OrderedConfig::default() };
    let mut received = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let mut all = Vec::new();
    let mut pending = messages;
    while pending > 0 {
        let next = tokio::time::timeout(Duration::from_secs(30), received.next()).await;
        let Ok(Some(message)) = next else { break };
        let message = message.unwrap();
        pending = message.info().unwrap().pending;
        all.push(found(&message));
    }
    all
}

fn found(message: &async_nats::Message) -> Found {
    let header = |name: &str| message.headers.as_ref().unwrap().get(name).map(ToString::to_string);
    let encoding = header("Turbo-Encoding");
    let payload = match &encoding {
        Some(_) => zstd::decode_all(&message.payload[..]).unwrap(),
        None => message.payload.to_vec(),
    };
    Found {
        subject: message.subject.to_string(),
        seq: header("Turbo-Seq").unwrap().parse().unwrap(),
        number: header("Turbo-N").unwrap().parse().unwrap(),
        encoding,
        omitted: header("Turbo-Omitted"),
        document: serde_json::from_slice(&payload).unwrap(),
        last_of_batch: header("Nats-Batch-Commit").is_some(),
    }
}

/// Every entry that is an event once, in the order of its shard, with what it carries; and nothing else.
pub fn assert_published(slices: &Slices, found: &[Found], entries: &[Numbered]) {
    let mut expected = BTreeMap::<Shard, Vec<&Numbered>>::new();
    for numbered in entries.iter().filter(|numbered| numbered.entry.item.event().is_some()) {
        expected.entry(numbered.entry.shard).or_default().push(numbered);
    }
    for shard in slices.shards() {
        let (slice, partition) = (slices.name(shard), shard.partition);
        let is_of = |found: &&Found| found.document.slice == slice && found.document.partition == partition;
        let got: Vec<&Found> = found.iter().filter(is_of).collect();
        let wanted = expected.remove(&shard).unwrap_or_default();
        let numbers = |of: &[&Found]| of.iter().map(|found| found.number).collect::<Vec<_>>();
        let wanted_numbers: Vec<u64> = wanted.iter().map(|numbered| numbered.number).collect();
        assert_eq!(numbers(&got), wanted_numbers, "{slice}.{partition}: each once, in order");
        for (found, wanted) in got.iter().zip(wanted) {
            assert_same(slice, found, wanted);
        }
    }
}

fn assert_same(slice: &str, found: &Found, wanted: &Numbered) {
    let (Entry { seq, shard, item, .. }, document) = (&wanted.entry, &found.document);
    let event = item.event().unwrap();
    assert_eq!((found.seq, document.seq, document.v, &*document.hydration), (*seq, *seq, 1, "none"));
    assert_eq!((document.did.as_deref(), &*document.kind), (Some(&*event.key), event.kind().as_str()));
    assert_eq!((document.time_us, document.rev.as_deref()), (event.time_us, event.rev()));
    let subject = |last: &str| format!("tpe.test.bluesky.{slice}.{}.{last}", shard.partition);
    match &event.body {
        Body::Commit(commit) => {
            assert_eq!(found.subject, subject(&commit.collection));
            assert_eq!(document.operation.as_deref(), Some(commit.operation.as_str()));
            assert_eq!(document.collection.as_deref(), Some(&*commit.collection));
            assert_eq!(document.rkey.as_deref(), Some(&*commit.rkey));
            assert_eq!(document.cid.as_deref(), commit.cid.as_deref());
            let record = document.record.as_ref().map(|record| record.get().as_bytes());
            assert_eq!(record, commit.record.as_deref(), "byte for byte");
        }
        _ => {
            assert_eq!(found.subject, subject(event.kind().as_str()));
            assert_eq!(document.event.as_ref().unwrap().get().as_bytes(), &event.bytes[..], "byte for byte");
        }
    }
}

/// Events of a simulated network, as the log gives them.
pub struct Source {
    world: World,
    logging: Logging,
    slices: Arc<Slices>,
}

impl Source {
    pub fn seeded(seed: u64, slices: &Arc<Slices>) -> Self {
        let config = WorldConfig { accounts: 60, resyncs: 0.002, removals: 0.002, ..WorldConfig::seeded(seed) };
        Self { world: World::new(config), logging: Logging::default(), slices: slices.clone() }
    }

    pub fn take(&mut self, events: usize) -> Vec<Numbered> {
        (0..events).flat_map(|_| self.logging.log(&self.slices, event_of(&self.world.next()))).collect()
    }
}

/// Sends entries through the log, and gives what its readers read.
async fn through(log: &Log, slices: &Arc<Slices>, entries: &[Numbered]) -> Vec<Numbered> {
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(slices).await.unwrap());
    let entries: Vec<Entry> = entries.iter().map(|numbered| numbered.entry.clone()).collect();
    for entries in entries.chunks(MAX_BATCH) {
        writer.append(entries, |why| panic!("{why}")).await.unwrap();
    }
    let mut read = Vec::new();
    for shard in slices.shards() {
        let mut reader = log.shard(slices, shard, Behind { seq: 0, number: Some(0) });
        let (mut seq, last) = (0, log.last_of(slices, shard).await.unwrap());
        while seq < last {
            let Next::Message(message) = reader.next().await.unwrap() else { panic!("nothing is missing") };
            seq = message.seq;
            let entry = Entry::new(seq, shard, Arc::new(message.item.unwrap()));
            read.push(Numbered { entry, number: message.number });
        }
    }
    read.sort_by_key(|numbered| numbered.entry.seq);
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_is_published_once_in_order_and_as_it_came() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices(3);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let mut sent = Source::seeded(21, &slices).take(2500);
    // Now and then something that is no event, in the end of a shard too.
    for n in (0..sent.len()).step_by(97).chain([sent.len() - 1]) {
        let content = Content::Unreadable { bytes: format!("garbage {n}").into(), reason: "garbage".into() };
        sent[n].entry.item =
            Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None, rejoined: false });
    }
    let entries = through(&log, &slices, &sent).await;
    assert_eq!(entries.len(), sent.len());
    let owner = Owner::start(&log, &database, &slices, 1).await;
    for (n, part) in entries.chunks(entries.len().div_ceil(4)).enumerate() {
        owner.give(part, [1, 7, 300, 2048][n]).await;
    }
    owner.release().await;
    let stream = stream(&log, &nats.url()).await;
    let found = read(&stream, "").await;
    assert_published(&slices, &found, &entries);
    assert!(found.last().unwrap().last_of_batch, "a message says that it is the last of its batch");
    for shard in slices.shards() {
        let last = entries.iter().rfind(|numbered| numbered.entry.shard == shard).unwrap();
        let position = SinkPosition { seq: last.entry.seq, number: last.number };
        let row = database.sink_position(&slices, NAME, shard).await.unwrap();
        assert_eq!(row, Some((1, position)), "the catalog's position covers dead letters too");
    }
    let told = owner.sink.report.now();
    assert_eq!((told.entries, told.error, told.positions.len()), (found.len() as u64, None, 0));
    // What it has already it passes over.
    let again = Owner::start(&log, &database, &slices, claim(&postgres)).await;
    again.give(&entries, 500).await;
    again.release().await;
    assert_eq!(stream.get_info().await.unwrap().state.messages, found.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_filtered_by_its_parts_and_an_odd_one_goes_to_a_subject_of_its_own() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices(1);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let long = "a".repeat(2048);
    let odd = ["a.*.c", "a.b.>", "identity", "a..b", ".", " ", "a.b.c\r\nPUB x 0\r\n", "a.b.ç", "\u{0}", &long];
    let plain = ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.follow", "com.example.a-b.thing"];
    let mut logging = Logging::default();
    let mut entries = Vec::new();
    for collection in odd.iter().chain(&plain) {
        let collection = serde_json::to_string(collection).unwrap();
        let line = format!(
            r#"{{"did":"did:plc:a","time_us":1,"kind":"commit","commit":{{"rev":"r","operation":"create","collection":{collection},"rkey":"k","record":{{}},"cid":"c"}}}}"#
        );
        let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!() };
        entries.extend(logging.log(&slices, event));
    }
    let owner = Owner::start(&log, &database, &slices, 1).await;
    owner.give(&entries, 100).await;
    owner.release().await;
    let stream = stream(&log, &nats.url()).await;
    let collections = async |filter: &str| {
        let found = read(&stream, filter).await;
        found.into_iter().map(|found| found.document.collection.unwrap()).collect::<Vec<_>>()
    };
    // Of two shards: there is no order between them.
    let mut feed = collections("tpe.test.bluesky.*.*.app.bsky.feed.>").await;
    feed.sort();
    assert_eq!(feed, [plain[1], plain[0]]);
    assert_eq!(collections("tpe.test.bluesky.posts.>").await, plain[..1]);
    assert_eq!(collections("tpe.test.bluesky.*.*.commit").await, odd);
    assert_eq!(collections("").await.len(), odd.len() + plain.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_shards_side_by_side_do_not_get_in_each_others_way() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices(4);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let entries = Source::seeded(5, &slices).take(6000);
    let owner = Owner::start(&log, &database, &slices, 1).await;
    owner.give(&entries, 2048).await;
    owner.release().await;
    assert_published(&slices, &read(&stream(&log, &nats.url()).await, "").await, &entries);
    assert_eq!(owner.sink.report.now().error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_little_gets_large_events_all_the_same() {
    let (Some(nats), Some(postgres)) = (Nats::options().config("max_payload: 32KB").start(), Postgres::start()) else {
        return;
    };
    let slices = slices(1);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let mut logging = Logging::default();
    let event = |record: &str| -> Box<Event> {
        let line = format!(
            r#"{{"did":"did:plc:a","time_us":1,"kind":"commit","commit":{{"rev":"r","operation":"create","collection":"a.b.c","rkey":"k","record":{record},"cid":"c"}}}}"#
        );
        let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!() };
        event
    };
    let noise: Vec<u64> = (1..20_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let records = ["{}".to_owned(), format!("\"{}\"", "x".repeat(200_000)), serde_json::to_string(&noise).unwrap()];
    let entries: Vec<Numbered> = records.iter().flat_map(|record| logging.log(&slices, event(record))).collect();
    let owner = Owner::start(&log, &database, &slices, 1).await;
    owner.give(&entries, 100).await;
    owner.release().await;
    let found = read(&stream(&log, &nats.url()).await, "").await;
    let said: Vec<_> = found.iter().map(|found| (found.encoding.as_deref(), found.omitted.as_deref())).collect();
    assert_eq!(said, [(None, None), (Some("zstd"), None), (None, Some("content"))]);
    assert_eq!(found[1].document.record.as_ref().unwrap().get(), records[1]);
    assert_eq!((found[2].document.rkey.as_deref(), found[2].document.record.is_none()), (Some("k"), true));
}

#[tokio::test]
async fn a_stream_of_another_is_refused_and_limits_are_brought_up_to_date() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices(1);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let refused = async |options: Options| {
        let spawned = enriched::spawn(&options, &log, database.clone(), slices.clone()).await;
        spawned.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(refused(options()).await, "");
    let age = Some(Duration::from_secs(3600));
    assert_eq!(refused(Options { max_bytes: 1 << 29, max_age: age, ..options() }).await, "");
    let stream = stream(&log, &nats.url()).await;
    let config = stream.cached_info().config.clone();
    assert_eq!((config.max_bytes, Some(config.max_age), config.allow_atomic_publish), (1 << 29, age, true));
    // Servers before 2.15 take three copies alone; more than five is refused by all.
    let said = refused(Options { replicas: 6, ..options() }).await;
    assert!(said.starts_with("spec.sinks.enriched.nats: tpe_test_bluesky can not be made so"), "{said}");
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let mut theirs = config.clone();
    theirs.metadata.insert("turbopipeline.dev/pipeline".into(), "test/other".into());
    context.update_stream(theirs).await.unwrap();
    let said = refused(options()).await;
    assert!(said.contains("tpe_test_bluesky is of the pipeline test/other"), "{said}");
}

#[tokio::test]
async fn a_position_moves_under_its_epoch_only_behind_a_pooler_too() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices(1);
    catalog(&postgres, &slices).await;
    let Some(pooler) = PgBouncer::start(&postgres) else { return };
    let database = Database::open(&pooler.url(), 4).unwrap();
    let shard = Shard { slice: 1, partition: 0 };
    let at = |seq: u64| SinkPosition { seq, number: seq / 2 };
    let moved =
        async |epoch, had, to| database.move_position(&slices, NAME, shard, epoch, had, (at(to), None)).await.unwrap();
    assert!(moved(1, 0, 10).await);
    assert!(!moved(1, 0, 12).await, "it is not where it was moved from");
    assert!(!moved(2, 10, 12).await, "nobody has claimed that");
    let epoch = claim(&postgres);
    assert!(!moved(1, 10, 12).await, "the epoch is over");
    assert!(moved(epoch, 10, 1 << 41).await);
    assert_eq!(database.sink_position(&slices, NAME, shard).await.unwrap(), Some((epoch, at(1 << 41))));
    assert_eq!(database.sink_position(&slices, "archive", shard).await.unwrap(), None);
    let other = Shard { slice: 0, partition: 0 };
    assert_eq!(database.sink_position(&slices, NAME, other).await.unwrap(), Some((epoch, at(0))));
}
