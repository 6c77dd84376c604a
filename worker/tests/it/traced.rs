//! Tracing, with a collector that takes OTLP over gRPC: one trace for an event through everything, and nothing but spans is
//! lost when the collector is away.

use crate::enriched::{Owner, Source, catalog, claim, log, read, slices, stream};
use crate::harness::Pipeline;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;
use tokio::sync::{Mutex as Turn, MutexGuard as Taken};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use turbo_core::shard::{Shard, Slices};
use turbo_sim::{Network, NetworkConfig, Pace, WorldConfig};
use turbo_testkit::{Nats, Postgres};
use turbo_worker::ingest::Ingest;
use turbo_worker::live::Live;
use turbo_worker::log::nats::{Behind, Log, Next, Writer};
use turbo_worker::log::{Entry, Item, Numbered, embedded};
use turbo_worker::sinks::archive::{Archiver, Folder, Format};
use turbo_worker::sinks::intents::Handle;
use turbo_worker::sinks::postgres::{Committer, Database, Seen, Wanted};
use turbo_worker::sinks::sqlite::segments::{Roll, Segments};
use turbo_worker::sinks::sqlite::{self, Loaded};
use turbo_worker::sources::jetstream::{self, Filters, Jetstream, Version, client_config};
use turbo_worker::telemetry::trace;
use turbo_worker::work::Worker;

/// What a collector has taken, and whether it answers.
#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
    silent: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.silent.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        for resource in request.into_inner().resource_spans {
            for attribute in resource.resource.unwrap_or_default().attributes {
                if let Some(Value::StringValue(value)) = attribute.value.and_then(|value| value.value) {
                    self.services.lock().unwrap().insert(format!("{}={value}", attribute.key));
                }
            }
            for scope in resource.scope_spans {
                self.spans.lock().unwrap().extend(scope.spans);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The collector of this process, and the tracer that is installed for it: there is one of each, on a runtime of its own.
struct Collector {
    runtime: tokio::runtime::Handle,
    address: SocketAddr,
    received: Received,
    serving: Mutex<Option<JoinHandle<()>>>,
    /// Traces that are no test's own.
    markers: Mutex<BTreeSet<String>>,
    /// One test at a time.
    turn: Turn<()>,
}

impl Collector {
    async fn taken() -> (&'static Self, Taken<'static, ()>) {
        static COLLECTOR: OnceLock<Collector> = OnceLock::new();
        let collector = COLLECTOR.get_or_init(Self::start);
        let turn = collector.turn.lock().await;
        collector.drain().await;
        collector.received.spans.lock().unwrap().clear();
        (collector, turn)
    }

    fn start() -> Self {
        let (to, from) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let received = Received::default();
            runtime.block_on(async {
                let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let address = incoming.local_addr().unwrap();
                let serving = tokio::spawn(serve(received.clone(), incoming));
                let options = trace::Options {
                    endpoint: format!("http://{address}"),
                    sample: 1.0,
                    service: "turbo-worker".into(),
                    pipeline: "test/bluesky".into(),
                    instance: "this".into(),
                };
                trace::install(&options).unwrap();
                assert!(trace::install(&options).is_err(), "once");
                let runtime = tokio::runtime::Handle::current();
                let serving = Mutex::new(Some(serving));
                to.send(Self { runtime, address, received, serving, markers: Mutex::default(), turn: Turn::default() })
                    .unwrap();
                std::future::pending::<()>().await;
            });
        });
        from.recv().unwrap()
    }

    /// Ends the collector: nothing listens any more.
    async fn kill(&self) {
        let serving = self.serving.lock().unwrap().take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    fn restart(&self) {
        let (address, received) = (self.address, self.received.clone());
        let serving = self.runtime.spawn(async move {
            let incoming = loop {
                match TcpIncoming::bind(address) {
                    Ok(incoming) => break incoming,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            };
            serve(received, incoming).await;
        });
        *self.serving.lock().unwrap() = Some(serving);
    }

    /// Waits until a span that is made now has come, and so all before it that were not lost.
    async fn drain(&self) {
        let mut made = BTreeSet::new();
        for round in 0..1200 {
            if round % 20 == 0 {
                let context = trace::begin().unwrap();
                made.insert(trace_of(&context.traceparent()));
                trace::received(&[context]);
            }
            let is_there = |span: &Span| made.contains(&hex(&span.trace_id));
            if self.received.spans.lock().unwrap().iter().any(is_there) {
                self.markers.lock().unwrap().extend(made);
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no span comes");
    }

    /// How many spans of the test's own have come.
    fn came(&self) -> usize {
        let markers = self.markers.lock().unwrap();
        let spans = self.received.spans.lock().unwrap();
        spans.iter().filter(|span| !markers.contains(&hex(&span.trace_id))).count()
    }

    /// Waits until the spans that came are as asked for, and gives them, by trace.
    async fn until(&self, what: &str, holds: impl Fn(&BTreeMap<Vec<u8>, Vec<Span>>) -> bool) -> Traces {
        for _ in 0..1200 {
            let mut traces = BTreeMap::<Vec<u8>, Vec<Span>>::new();
            let markers = self.markers.lock().unwrap().clone();
            let is_marker = |span: &&Span| markers.contains(&hex(&span.trace_id));
            for span in self.received.spans.lock().unwrap().iter().filter(|span| !is_marker(span)) {
                traces.entry(span.trace_id.clone()).or_default().push(span.clone());
            }
            if holds(&traces) {
                return traces;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let names: Vec<String> = self.received.spans.lock().unwrap().iter().map(|span| span.name.clone()).collect();
        panic!("it does not come to be: {what}; there is {names:?}");
    }
}

async fn serve(received: Received, incoming: TcpIncoming) {
    Server::builder().add_service(TraceServiceServer::new(received)).serve_with_incoming(incoming).await.unwrap();
}

/// Spans by their trace.
type Traces = BTreeMap<Vec<u8>, Vec<Span>>;

/// How many spans of a trace have this name.
fn count(spans: &[Span], name: &str) -> usize {
    spans.iter().filter(|span| span.name == name).count()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace of a header.
fn trace_of(traceparent: &str) -> String {
    traceparent.split('-').nth(1).unwrap().to_owned()
}

fn number(span: &Span, name: &str) -> Option<i64> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value {
        Some(Value::IntValue(number)) => Some(number),
        _ => None,
    }
}

/// All but the first are children of `parent`, and none ends before it begins.
fn assert_children(spans: &[Span], parent: &[u8]) {
    for span in spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        match span.name.as_str() {
            "receive" => assert_eq!((&span.span_id[..], span.parent_span_id.len()), (parent, 0)),
            _ => assert_eq!(span.parent_span_id, parent, "{}", span.name),
        }
    }
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len(), "each span once");
}

/// A whole embedded pipeline, from the socket to the archive's objects; how many entries it committed.
async fn embedded_pipeline(events: u64) -> u64 {
    let world = WorldConfig { accounts: 30, nasty: 0.0, ..WorldConfig::seeded(3) };
    let network = Network::start(NetworkConfig { world, pace: Pace::Full { events }, ..NetworkConfig::default() });
    let network = network.unwrap();
    let slices: Arc<Slices> = slices(1);
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(sqlite::Database::open(&folder.path().join("x.sqlite")).await.unwrap());
    let loaded = database.claim("test", &slices).await.unwrap();
    let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 24, true));
    let Loaded { start, claims } = loaded;
    let roll = Roll { size: 1 << 20, age: Duration::from_secs(600), extension: Format::Jsonl.extension() };
    let segments = Segments::load(&database, slices.clone(), &claims, roll).await.unwrap();
    let archive = Folder::open(&folder.path().join("archive")).unwrap();
    let archiver = Handle::spawn(Archiver { database: database.clone(), folder: archive, live: live.clone() });
    let committer = sqlite::Committer::new(database, slices.clone(), &claims, Some(segments));
    let (appender, reader) = embedded::log(1 << 24);
    let worker =
        Worker { log: reader, hydrator: None, committer, archiver: Some(archiver), rotation: None, live: live.clone() };
    let working = tokio::spawn(worker.run());
    let options = jetstream::Options {
        version: Version::V2,
        endpoints: vec![network.url(0).parse().unwrap()],
        filters: Filters { collections: Vec::new(), dids: Vec::new(), max_message_size: None },
        max_frame: 1 << 24,
        quiet: Duration::from_secs(60),
        silent: Duration::from_secs(60),
    };
    let source = Jetstream::new(options, client_config(None).unwrap(), None).unwrap();
    let ingest = Ingest::new(source, start, slices, appender, live.clone(), Some(1_000_000_000_000_000));
    let reading = async {
        while live.stats().source.events < events {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = ingest.run() => {}
        () = reading => {}
    }
    working.await.unwrap().unwrap();
    live.stats().sinks[0].entries
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_the_socket_to_the_commit_and_the_object_in_one_process() {
    let (collector, _turn) = Collector::taken().await;
    let entries = embedded_pipeline(300).await as usize;
    let all = |traces: &Traces, name: &str| traces.values().map(|spans| count(spans, name)).sum::<usize>();
    let traces = collector.until("all spans are there", |traces| all(traces, "put") == entries).await;
    assert_eq!((all(&traces, "receive"), all(&traces, "commit")), (traces.len(), entries));
    assert!((300..=entries).contains(&traces.len()), "a trace for each event: {}", traces.len());
    for spans in traces.values() {
        let first = spans.iter().find(|span| span.name == "receive").unwrap();
        assert_children(spans, &first.span_id);
        assert_eq!(count(spans, "commit"), count(spans, "put"), "one for each copy");
        assert!(spans.iter().all(|span| span.start_time_unix_nano >= first.start_time_unix_nano), "{spans:?}");
    }
    let services = collector.received.services.lock().unwrap().clone();
    for attribute in ["service.name=turbo-worker", "turbo.pipeline=test/bluesky", "service.instance.id=this"] {
        assert!(services.contains(attribute), "{services:?}");
    }
}

/// Entries with a trace each, as an ingester makes them.
fn traced(entries: Vec<Numbered>) -> Vec<Entry> {
    let traced = |numbered: Numbered| {
        let Entry { seq, shard, item, .. } = numbered.entry;
        let item = Arc::into_inner(item).map(|item| Item { trace: trace::begin(), ..item });
        item.map(|item| Entry::new(seq, shard, Arc::new(item)))
    };
    // Events of a repository go to every slice; one copy is enough here.
    let entries: Vec<Entry> = entries.into_iter().filter_map(traced).collect();
    entries.into_iter().zip(1..).map(|(entry, seq)| Entry { seq, ..entry }).collect()
}

/// Writes entries to the log, commits and publishes them.
async fn through_everything(
    log: &Log,
    database: &Database,
    postgres: &Postgres,
    slices: &Arc<Slices>,
    entries: &[Entry],
) {
    let tail = log.tail(slices).await.unwrap();
    let mut writer = Writer::new(log.clone(), slices.clone(), &tail);
    for part in entries.chunks(900) {
        writer.append(part, |why| panic!("{why}")).await.unwrap();
    }
    let committer = Committer::new(database.clone(), slices.clone());
    let owner = Owner::start(log, database, slices, claim(postgres)).await;
    for shard in slices.shards() {
        let read = read_shard(log, slices, shard).await;
        let claimed = database
            .claim(slices, shard, &crate::postgres::worker("me"), Seen::default(), &[], &Wanted::default())
            .await
            .unwrap()
            .unwrap();
        committer.commit(&[(shard, claimed.owned)].into(), &read).await.unwrap();
        owner.give(&read, 200).await;
    }
    owner.release().await;
}

async fn read_shard(log: &Log, slices: &Slices, shard: Shard) -> Vec<Numbered> {
    let (mut read, last) = (Vec::new(), log.last_of(slices, shard).await.unwrap());
    let mut reader = log.shard(slices, shard, Behind { seq: 0, number: Some(0) });
    while read.last().map_or(0, |numbered: &Numbered| numbered.entry.seq) < last {
        let Next::Message(message) = reader.next().await.unwrap() else { panic!("nothing is missing") };
        let entry = Entry::new(message.seq, shard, Arc::new(message.item.unwrap()));
        read.push(Numbered { entry, number: message.number });
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_through_the_log_to_the_commit_and_on_in_the_enriched_stream() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let (collector, _turn) = Collector::taken().await;
    let slices = slices(2);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let entries = traced(Source::seeded(61, &slices).take(400));
    through_everything(&log, &database, &postgres, &slices, &entries).await;
    let all = |traces: &Traces| traces.values().map(Vec::len).sum::<usize>();
    let traces = collector.until("all spans are there", |traces| all(traces) == 3 * entries.len()).await;
    assert_eq!(traces.len(), entries.len());
    let stream_of_it = stream(&log, &nats.url()).await;
    assert_eq!(read(&stream_of_it, "").await.len(), entries.len());
    for sequence in 1..=entries.len() as u64 {
        let message = stream_of_it.get_raw_message(sequence).await.unwrap();
        let header = |name: &str| message.headers.get(name).unwrap().as_str().to_owned();
        let (parent, seq) = (header("traceparent"), header("Turbo-Seq").parse::<i64>().unwrap());
        let parts: Vec<&str> = parent.split('-').collect();
        let spans = traces.iter().find(|(trace, _)| hex(trace) == parts[1]).unwrap().1;
        for name in ["append", "commit", "publish"] {
            assert_eq!(count(spans, name), 1);
        }
        assert!(spans.iter().all(|span| number(span, "turbo.seq") == Some(seq)), "{spans:?}");
        let publish = spans.iter().find(|span| span.name == "publish").unwrap();
        assert_eq!(hex(&publish.span_id), parts[2], "those who follow go on from the publishing");
        assert_children(spans, &publish.parent_span_id);
        // The header in the log is the first span's.
        let logged = entries.iter().find(|entry| entry.seq == seq as u64).unwrap();
        let first = logged.item.trace.as_ref().unwrap().traceparent();
        assert_eq!(first, format!("00-{}-{}-01", parts[1], hex(&publish.parent_span_id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_or_says_nothing_costs_spans_and_nothing_else() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let (collector, _turn) = Collector::taken().await;
    let slices = slices(2);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let entries = traced(Source::seeded(62, &slices).take(3000));
    // It takes requests and does not answer; many more spans come than the queue holds.
    collector.received.silent.store(true, Ordering::Relaxed);
    through_everything(&log, &database, &postgres, &slices, &entries).await;
    assert_eq!(read(&stream(&log, &nats.url()).await, "").await.len(), entries.len());
    assert_eq!(collector.came(), 0);
    // It is gone.
    collector.kill().await;
    let committed = embedded_pipeline(500).await;
    assert!(committed >= 500);
    assert_eq!(collector.came(), 0);
    // It is back, and gets the spans of what comes now.
    collector.received.silent.store(false, Ordering::Relaxed);
    collector.restart();
    collector.drain().await;
    let ours: BTreeSet<String> =
        entries.iter().map(|entry| trace_of(&entry.item.trace.as_ref().unwrap().traceparent())).collect();
    let came =
        collector.received.spans.lock().unwrap().iter().filter(|span| ours.contains(&hex(&span.trace_id))).count();
    assert!(came < 3 * entries.len(), "more was made than is kept for one who does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_events_are_traced_as_the_file_asks_for() {
    const EVENTS: usize = 2000;
    let (collector, _turn) = Collector::taken().await;
    let folder = tempfile::tempdir().unwrap();
    let line = |n| format!(r#"{{"did":"did:plc:{n}","time_us":{n},"kind":"identity","identity":{{"time":"{n}"}}}}"#);
    std::fs::write(folder.path().join("events.jsonl"), (1..=EVENTS).map(|n| line(n) + "\n").collect::<String>())
        .unwrap();
    for (sample, expected) in [("0", 0..1), ("0.25", 350..650)] {
        let source = format!("{{recording: {{path: '{}'}}}}", folder.path().join("events.jsonl").display());
        let tracing = format!("tracing: {{endpoint: 'http://{}', sample: {sample}}}", collector.address);
        let pipeline = Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite}}", &tracing);
        // What it has is sent before it ends.
        tokio::task::spawn_blocking(move || pipeline.run()).await.unwrap();
        let traces = collector.until("they are as many", |traces| expected.contains(&traces.len())).await;
        assert!(traces.values().all(|spans| count(spans, "receive") == 1 && count(spans, "commit") == 1));
    }
}
