//! What hydration costs: the whole path of one process with a warm cache, to the same without hydration; and, with a cold
//! cache, how often what a record points at is known already, and how many calls the rest takes.
//!
//! The first part of the events warms the cache up: a gate before the source holds the rest back until everything that has
//! landed is complete. What comes behind the gate is measured. Turns are taken alternately; the median counts.
//!
//! Run by `make bench`. `BENCH_EVENTS` (200,000) and `BENCH_TURNS` (5) change the size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "for the terminal")]

#[allow(dead_code, reason = "each benchmark takes its own part")]
mod shared;

use shared::{FROM, Running, median, setting};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes of an event on the socket, about.
const EVENT: u64 = 700;
/// How long a part of a run may take.
const PATIENCE: Duration = Duration::from_secs(300);
const HYDRATE: &str = "hydrate: {author: 1h, mentions: 1h, reply: 1h, quote: 1h, subject: 1h}";

/// The simulated network with its AppView, whose limits are out of the way: `ws://…` and `http://…`.
fn network(events: usize) -> (Running, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_turbo")).with_file_name("turbo-sim");
    let events = events.to_string();
    let mut child = Command::new(&program)
        .args(["serve", "--full", "--port", "0", "--nasty", "0", "--prepare", "v2", "--events", &events])
        .args(["--appview", "0", "--appview-requests", "4000000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let source = lines.find(|line| line.starts_with("ws://")).expect("turbo-sim says where");
    let appview = lines.find(|line| line.starts_with("http://")).expect("turbo-sim says where its AppView is");
    let url: url::Url = source.split_whitespace().next().unwrap().parse().unwrap();
    (Running(child), url.authority().to_owned(), appview)
}

/// A proxy that lets so many bytes of the source through, and the rest when it is opened.
struct Gate {
    address: String,
    open_to: Arc<AtomicU64>,
}

impl Gate {
    fn before(source: &str, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, open_to) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU64::new(bytes)));
        let (source, limit) = (source.to_owned(), open_to.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&source).unwrap();
                let (mut said, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut said, &mut asked));
                let limit = limit.clone();
                std::thread::spawn(move || pass(server, client, &limit));
            }
        });
        Self { address, open_to }
    }

    fn open(&self) {
        self.open_to.store(u64::MAX, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: &AtomicU64) {
    let (mut passed, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        while passed >= limit.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) if to.write_all(&buffer[..read]).is_err() => return,
            Ok(read) => passed += read as u64,
        }
    }
}

/// A running pipeline.
struct Pipeline {
    _running: Running,
    address: String,
}

impl Pipeline {
    fn start(folder: &Path, source: &str, appview: Option<&str>) -> Self {
        let hydrate = appview.map_or(String::new(), |_| format!(", {HYDRATE}"));
        let hosts = appview.map_or(String::new(), |url| {
            format!("  hydration: {{hosts: ['{url}'], requestsPerSecond: 1000, cache: 256Mi}}\n")
        });
        let source = format!("{{jetstream: {{endpoints: ['ws://{source}'], cursor: {FROM}, compression: none}}}}");
        let head = "apiVersion: turbopipeline.dev/v1alpha1\nkind: TurboPipeline\nmetadata: {name: bench}\nspec:";
        let slices = format!("[{{name: all, partitions: 4{hydrate}}}]");
        let sinks = "{sqlite: {path: out.sqlite}}";
        let file = format!("{head}\n  source: {source}\n  slices: {slices}\n{hosts}  sinks: {sinks}\n");
        std::fs::write(folder.join("pipeline.yaml"), file).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_turbo"))
            .args(["run", "-f", "pipeline.yaml", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let running = Running(child);
        let address = lines
            .find_map(|line| {
                Some(line.ok()?.split_once("listening on http://")?.1.split_whitespace().next()?.to_owned())
            })
            .expect("turbo listens");
        std::thread::spawn(move || lines.for_each(drop));
        Self { _running: running, address }
    }

    /// The values of metrics, by name and labels.
    fn metrics(&self) -> Vec<(String, f64)> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let value =
            |line: &str| line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        answer.lines().filter_map(value).collect()
    }

    fn metric(&self, name: &str) -> f64 {
        self.metrics().iter().find(|(own, _)| own == name).map_or(0.0, |(_, value)| *value)
    }

    fn committed(&self) -> u64 {
        self.metric("turbo_committed_entries_total") as u64
    }

    /// Waits until nothing more lands, and nothing waits to be completed. Returns what has landed.
    fn settle(&self) -> u64 {
        let (began, mut last, mut since) = (Instant::now(), (0, f64::MAX), Instant::now());
        while since.elapsed() < Duration::from_secs(6) || last.1 > 0.0 {
            assert!(began.elapsed() < PATIENCE, "it does not come to rest: {last:?}");
            std::thread::sleep(Duration::from_millis(100));
            let now = (self.committed(), self.metric("turbo_hydration_queue"));
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last.0
    }
}

/// Events a second behind the gate; with hydration also what is said of the first part.
fn turn(source: &str, appview: Option<&str>, events: usize) -> (f64, Vec<(String, f64)>, u64) {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::before(source, events as u64 / 2 * EVENT);
    let pipeline = Pipeline::start(folder.path(), &gate.address, appview);
    let warm = pipeline.settle();
    let metrics = pipeline.metrics();
    let began = Instant::now();
    gate.open();
    while pipeline.committed() < events as u64 {
        assert!(began.elapsed() < PATIENCE, "the pipeline does not come to its end");
        std::thread::sleep(Duration::from_millis(20));
    }
    ((events as u64 - warm) as f64 / began.elapsed().as_secs_f64(), metrics, warm)
}

/// With a cold cache: calls for each 1,000 events, and what part of the profiles and posts was known.
fn cold(metrics: &[(String, f64)], events: u64) {
    let value = |name: &str| metrics.iter().find(|(own, _)| own == name).map_or(0.0, |(_, value)| *value);
    let known = |kind: &str| {
        let of = |lookup: &str| value(&format!("turbo_hydration_{kind}_total{{lookup=\"{lookup}\"}}"));
        of("hit") / (of("hit") + of("miss")).max(1.0)
    };
    let calls = value("turbo_hydration_requests_total{outcome=\"answered\"}") / events as f64 * 1000.0;
    // Without a cache each record asks for two items and more: 80 calls for 1,000 events at the least.
    println!(
        "bench hydration_cold ratio={:.2} goal=1 calls_per_1000_events={calls:.1} known_profiles={:.3} known_posts={:.3}",
        80.0 / calls.max(0.1),
        known("profiles"),
        known("posts")
    );
}

fn main() {
    let (events, turns) = (setting("BENCH_EVENTS", 200_000), setting("BENCH_TURNS", 5));
    let (_network, source, appview) = network(events);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 1..=turns {
        let (plain, ..) = turn(&source, None, events);
        let (hydrated, metrics, warm) = turn(&source, Some(&appview), events);
        println!("turn {number} of {turns}: without {plain:.0}/s, with a warm cache {hydrated:.0}/s");
        if number == turns {
            cold(&metrics, warm);
        }
        with.push(hydrated);
        without.push(plain);
    }
    let (with, without) = (median(&with), median(&without));
    println!(
        "bench hydration_warm ratio={:.2} goal=0.8 events_per_second={with:.0} without={without:.0}",
        with / without
    );
}
