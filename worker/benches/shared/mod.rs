//! What the benchmarks need: the simulated network, a bare reader of it, a gate before it, the median.

pub(crate) mod gate;

use bytes::Bytes;
use futures_util::StreamExt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

/// A time that every host answers with all that it has.
pub(crate) const FROM: u64 = 1_000_000_000_000_000;

/// Few enough that half of the events point at nearly all that there is: 64 old posts of each.
const ACCOUNTS: &str = "200";

/// Bytes of an event on the socket, about.
pub(crate) const EVENT: u64 = 550;

/// Records that have landed: full, partial, and none.
pub(crate) const RECORDS: [&str; 3] = [
    r#"turbo_hydration_records_total{hydration="full"}"#,
    r#"turbo_hydration_records_total{hydration="partial"}"#,
    r#"turbo_hydration_records_total{hydration="none"}"#,
];

/// How warm a cache was, by how these have landed.
pub(crate) fn known(records: [f64; 3]) -> String {
    format!("{:.1} % of the records full", 100.0 * records[0] / records.iter().sum::<f64>())
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A process that ends with its owner.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The simulated network with all its events there at once, encoded beforehand, and its URL.
pub(crate) fn network(events: usize) -> (Running, String) {
    let (running, mut said) = simulated(events, &[]);
    let source = address(&mut said, "ws://");
    (running, source)
}

/// The same, a small world with its AppView, whose limits are out of the way: its URL, and the AppView's. Its accounts are at
/// rest: as few as they are, each that changes would take a share of what is known with it that is beyond all measure.
pub(crate) fn hydrated_network(events: usize) -> (Running, String, String) {
    let more = ["--accounts", ACCOUNTS, "--appview", "0", "--appview-requests", "4000000000"];
    let rest = ["--resyncs", "0", "--removals", "0", "--unrest", "0"];
    let more = [&more[..], &rest[..]].concat();
    let (running, mut said) = simulated(events, &more);
    let source = address(&mut said, "ws://");
    let appview = address(&mut said, "http://");
    (running, source, appview)
}

/// The simulator with these arguments, and the words that it says.
fn simulated(events: usize, more: &[&str]) -> (Running, impl Iterator<Item = String>) {
    let program = Path::new(env!("CARGO_BIN_EXE_turbo")).with_file_name("turbo-sim");
    let mut child = Command::new(&program)
        .args(["serve", "--full", "--port", "0", "--nasty", "0", "--prepare", "v2", "--events", &events.to_string()])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let words = lines.flat_map(|line| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>());
    (Running(child), words)
}

/// The next address with this scheme, without its path.
fn address(words: &mut impl Iterator<Item = String>, scheme: &str) -> String {
    let url = words.find(|word| word.starts_with(scheme)).expect("turbo-sim says where");
    format!("{scheme}{}", url.parse::<url::Url>().unwrap().authority())
}

/// Reads `count` events from the socket.
pub(crate) async fn read(url: &str, count: usize, mut take: impl FnMut(Bytes)) -> Duration {
    let url = format!("{url}/xrpc/network.bsky.jetstream.subscribeEvents?cursor={FROM}");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let began = Instant::now();
    let mut seen = 0;
    while seen < count {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
        // An #info is no event, and is small and first.
        seen += usize::from(seen > 0 || !text.contains("#info"));
        take(text.into());
    }
    began.elapsed()
}

/// The one in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
