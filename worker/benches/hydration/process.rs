//! The pipeline in a process of its own, and what it says of itself.

use crate::shared::{FROM, Running};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a part of a run may take.
const PATIENCE: Duration = Duration::from_secs(300);
const TARGETS: [&str; 5] = ["author", "mentions", "reply", "quote", "subject"];

/// What is hydrated: every target.
pub(crate) struct Hydration {
    pub(crate) appview: String,
    /// Calls in a second.
    pub(crate) rate: u32,
    pub(crate) ttl_seconds: u64,
}

/// A running pipeline.
pub(crate) struct Pipeline {
    _running: Running,
    address: String,
}

impl Pipeline {
    /// Of the source at `host:port`, in this folder.
    pub(crate) fn start(folder: &Path, source: &str, hydration: Option<&Hydration>) -> Self {
        let hydrate = hydration.map_or(String::new(), |one| {
            format!(", hydrate: {{{}}}", TARGETS.map(|target| format!("{target}: {}s", one.ttl_seconds)).join(", "))
        });
        let hosts = hydration.map_or(String::new(), |one| {
            let Hydration { appview, rate, .. } = one;
            format!("  hydration: {{hosts: ['{appview}'], requestsPerSecond: {rate}, cache: 256Mi}}\n")
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
    pub(crate) fn metrics(&self) -> Vec<(String, f64)> {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let value =
            |line: &str| line.rsplit_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        answer.lines().filter_map(value).collect()
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics().iter().find(|(own, _)| own == name).map_or(0.0, |(_, value)| *value)
    }

    pub(crate) fn committed(&self) -> u64 {
        self.metric("turbo_committed_entries_total") as u64
    }

    /// Waits until so many have landed. Returns how many have, and how long it took.
    pub(crate) fn reaches(&self, events: u64) -> (u64, Duration) {
        let began = Instant::now();
        loop {
            let committed = self.committed();
            if committed >= events {
                return (committed, began.elapsed());
            }
            assert!(began.elapsed() < PATIENCE, "{committed} of {events} have landed, and no more come");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until nothing more lands, and nothing waits to be completed. Returns what has landed.
    pub(crate) fn settle(&self) -> u64 {
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
