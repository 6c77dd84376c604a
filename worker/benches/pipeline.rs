//! From the socket to the committed row, against two floors on the same work: a client that reads the same socket and
//! drops everything, and a bare SQLite writer of the same rows. Turns are taken alternately; the median counts.
//!
//! Run by `make bench`. `BENCH_EVENTS` (200,000) and `BENCH_TURNS` (5) change the size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "for the terminal")]

#[allow(dead_code, reason = "each benchmark takes its own part")]
mod shared;

use bytes::Bytes;
use shared::{FROM, Running, median, network, read, setting};
use sqlx::{AssertSqlSafe, Connection};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use turbo_core::event::{Body, Event};
use turbo_core::shard::{Slice, Slices};
use turbo_core::wire::{Frame, decode};
use turbo_worker::log::{Content, Entry, Item};
use turbo_worker::sinks::sqlite::Database;
use turbo_worker::telemetry::trace::{self, Step};

/// Rows in a transaction and in a statement of the bare writer: as the pipeline has them.
const TRANSACTION: usize = 2048;
const STATEMENT: usize = 64;

/// Writes the rows of records, and nothing else.
async fn write(rows: &[Event], folder: &Path) -> Duration {
    let database = Database::open(&folder.join("floor.sqlite")).await.unwrap();
    let mut connection = database.write.acquire().await.unwrap();
    let columns = "did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq";
    let sql = |rows: usize| {
        let values = vec!["(?, ?, ?, ?, ?, ?, ?, '2026-11-21T00:00:00.000000Z', 'default', 0, 1)"; rows].join(", ");
        format!(
            "INSERT OR FAIL INTO record_state ({columns}) VALUES {values}
             ON CONFLICT DO UPDATE SET rev = excluded.rev, record = excluded.record"
        )
    };
    let began = Instant::now();
    for transaction in rows.chunks(TRANSACTION) {
        let mut open = connection.begin().await.unwrap();
        for chunk in transaction.chunks(STATEMENT) {
            let mut query = sqlx::query(AssertSqlSafe(sql(chunk.len())));
            for event in chunk {
                let Body::Commit(commit) = &event.body else { continue };
                let record = commit.record.as_ref().map(|record| String::from_utf8_lossy(record).into_owned());
                query = query
                    .bind(event.key.to_string())
                    .bind(commit.collection.to_string())
                    .bind(commit.rkey.to_string())
                    .bind(commit.rev.to_string())
                    .bind(commit.cid.as_ref().map(ToString::to_string))
                    .bind(record)
                    .bind(event.time_us);
            }
            query.execute(&mut *open).await.unwrap();
        }
        open.commit().await.unwrap();
    }
    began.elapsed()
}

/// Runs the pipeline until everything is committed: how long from the start of the process, and its peak memory in MB.
fn pipeline(url: &str, entries: u64, archive: bool, folder: &Path) -> (Duration, f64) {
    let archive = if archive { ", archive: {directory: archive}" } else { "" };
    let source = format!("{{endpoints: ['{url}'], cursor: {FROM}, compression: none}}");
    let head = "apiVersion: turbopipeline.dev/v1alpha1\nkind: TurboPipeline\nmetadata: {name: bench}\nspec:";
    let spec = format!("  source: {{jetstream: {source}}}\n  sinks: {{sqlite: {{path: out.sqlite}}{archive}}}");
    std::fs::write(folder.join("pipeline.yaml"), format!("{head}\n{spec}\n")).unwrap();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_turbo"))
        .args(["run", "-f", "pipeline.yaml", "--listen", "127.0.0.1:0"])
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child);
    let address = lines
        .find_map(|line| Some(line.ok()?.split_once("listening on http://")?.1.split_whitespace().next()?.to_owned()))
        .expect("turbo listens");
    std::thread::spawn(move || lines.for_each(drop));
    while committed(&address) < entries {
        assert!(began.elapsed() < Duration::from_secs(300), "the pipeline does not come to its end");
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (took, peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1000.0)
}

fn committed(address: &str) -> u64 {
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix("turbo_committed_entries_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

/// What the turns measured: events a second, and MB.
#[derive(Default)]
struct Measured {
    socket: Vec<f64>,
    sqlite: Vec<f64>,
    whole: Vec<f64>,
    rows_only: Vec<f64>,
    memory: Vec<f64>,
}

impl Measured {
    fn report(&self) {
        let (socket, sqlite) = (median(&self.socket), median(&self.sqlite));
        for (name, rates) in [("socket_to_row", &self.whole), ("socket_to_row_without_archive", &self.rows_only)] {
            let rate = median(rates);
            println!(
                "bench {name} ratio={:.2} goal=0.5 events_per_second={rate:.0} floor_socket={socket:.0} floor_sqlite={sqlite:.0}",
                rate / socket.min(sqlite)
            );
        }
        let peak = median(&self.memory);
        println!("bench peak_memory ratio={:.2} goal=1 megabytes={peak:.0} bound=100", 100.0 / peak);
    }
}

/// What the looks of tracing that is switched off cost beside the decoding of the same events.
fn tracing_off(events: Vec<Event>) {
    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]).unwrap();
    let shard = slices.of_unreadable();
    let lines: Vec<Bytes> = events.iter().map(|event| event.bytes.clone()).collect();
    let (mut decoding, mut looking) = (Vec::new(), Vec::new());
    let item = |event| Item {
        content: Content::Event(Box::new(event)),
        host: "h".into(),
        marks: Vec::new(),
        trace: None,
        rejoined: false,
    };
    let entries: Vec<Entry> =
        events.into_iter().zip(1..).map(|(event, seq)| Entry::new(seq, shard, Arc::new(item(event)))).collect();
    for _ in 0..5 {
        let began = Instant::now();
        lines.iter().for_each(|line| drop(std::hint::black_box(decode(line))));
        decoding.push(began.elapsed().as_nanos() as f64 / lines.len() as f64);
        let began = Instant::now();
        for entry in &entries {
            drop(std::hint::black_box(trace::begin()));
            for step in [Step::Append, Step::Commit, Step::Publish] {
                trace::done(step, std::hint::black_box(trace::now()), &slices, [entry]);
            }
        }
        looking.push(began.elapsed().as_nanos() as f64 / entries.len() as f64);
    }
    let (decode, look) = (median(&decoding), median(&looking));
    println!(
        "bench tracing_off ratio={:.3} goal=0.99 look_nanoseconds={look:.1} decode_nanoseconds={decode:.0}",
        decode / (decode + look)
    );
}

fn main() {
    let (events, turns) = (setting("BENCH_EVENTS", 200_000), setting("BENCH_TURNS", 5));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_network, url) = network(events);
    let mut all = Vec::with_capacity(events);
    runtime.block_on(read(&url, events, |text| {
        if let Ok(Frame::Event(event)) = decode(&text) {
            all.push(*event);
        }
    }));
    let entries = all.len() as u64;
    let rows: Vec<Event> = all.into_iter().filter(|event| matches!(&event.body, Body::Commit(_))).collect();
    let rate = |took: Duration| events as f64 / took.as_secs_f64();
    let mut measured = Measured::default();
    for turn in 1..=turns {
        let folder = || tempfile::tempdir().unwrap();
        let socket = rate(runtime.block_on(read(&url, events, drop)));
        let sqlite = rate(runtime.block_on(write(&rows, folder().path())));
        let (whole, peak) = pipeline(&url, entries, true, folder().path());
        let (rows_only, _) = pipeline(&url, entries, false, folder().path());
        let (whole, rows_only) = (rate(whole), rate(rows_only));
        println!(
            "turn {turn} of {turns}: socket {socket:.0}/s, SQLite {sqlite:.0}/s, pipeline {whole:.0}/s, \
             without archive {rows_only:.0}/s, peak {peak:.0} MB"
        );
        measured.socket.push(socket);
        measured.sqlite.push(sqlite);
        measured.whole.push(whole);
        measured.rows_only.push(rows_only);
        measured.memory.push(peak);
    }
    measured.report();
    tracing_off(rows);
}
