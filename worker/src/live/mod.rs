//! What goes on now: kept up to date by the parts, read by `/stats`, the page and the health checks.

mod landed;
mod rates;
mod sharded;
mod stats;
mod summary;

pub use stats::{Latest, Log, Rates, ShardState, Sink, Source, SourceState, Stats};

use crate::hydration::report::Report as HydrationReport;
use crate::log::{Batch, Item};
use crate::sinks::feed::Report;
use crate::sinks::sqlite::{Claim, Committed, Loaded};
use crate::telemetry::events;
use crate::telemetry::metrics as m;
use landed::{Moved, Rows};
use metrics::{counter, gauge};
use rates::Samples;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use summary::summary;
use turbo_core::event::{Body, Event, Kind};
use turbo_core::join::Ask;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::Window;

/// Records kept for the page.
const LATEST: usize = 20;

/// The shared state.
pub struct Live {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pipeline: String,
    source: Source,
    log: Log,
    shards: BTreeMap<Shard, ShardState>,
    /// Shards that the plan gives this process.
    planned: usize,
    /// The sink that holds the checkpoint.
    database: Sink,
    archive: Option<Sink>,
    /// Sinks that tell by themselves.
    beside: Vec<(&'static str, Report)>,
    /// Where looking up tells by itself.
    hydration: Option<HydrationReport>,
    /// Sinks that the pipeline file no longer names.
    sinks_removed: BTreeSet<String>,
    /// Whether this process reads the source, and whether it owns shards.
    reads: bool,
    works: bool,
    /// Why the source is not read, where that is as it should be.
    standby: Option<String>,
    /// Why the log takes nothing now.
    log_held: Option<String>,
    /// What is not there yet at the start.
    starting: Option<String>,
    /// Why the log does not answer.
    log_away: Option<String>,
    /// Why the log's bucket takes nothing.
    bucket_refuses: Option<String>,
    /// What is wrong with a shard's log.
    unreadable: BTreeMap<Shard, String>,
    dead_letters: u64,
    latest: VecDeque<Latest>,
    samples: Samples,
    ready: bool,
    /// The sink that does not keep up, and holds the commits back.
    held_by: Option<&'static str>,
}

impl Live {
    /// The state of a pipeline that has just claimed its shards.
    #[must_use]
    pub fn new(pipeline: &str, slices: &Slices, loaded: &Loaded, max_bytes: u64, archive: bool) -> Self {
        let shard = |claim: &Claim| {
            let shard = ShardState {
                slice: slices.name(claim.shard).to_owned(),
                partition: claim.shard.partition,
                epoch: claim.epoch,
                position: claim.position,
                time_us: claim.time_us,
                entries: 0,
            };
            (claim.shard, shard)
        };
        let mut source = Source::default();
        source.read_to(loaded.start.position.as_ref(), &loaded.start.window);
        let state = State {
            pipeline: pipeline.to_owned(),
            source,
            shards: loaded.claims.iter().map(shard).collect(),
            database: Sink { name: "sqlite", ..Sink::default() },
            reads: true,
            works: true,
            archive: archive.then(|| Sink { name: "archive", ..Sink::default() }),
            log: Log { max_bytes, ..Log::default() },
            ..State::default()
        };
        gauge!(m::SHARDS_OWNED).set(state.shards.len() as f64);
        counter!(m::CLAIMS).increment(state.shards.len() as u64);
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream was opened.
    pub fn connected(&self, host: &str, ask: Ask) {
        events::Connected { host, ask }.emit();
        let mut state = self.state();
        state.source.host = host.to_owned();
        state.source.error = None;
        state.source.state = match ask {
            Ask::Tip | Ask::Given(_) => SourceState::Reading,
            Ask::Sequence(..) | Ask::Time { .. } => SourceState::Joining,
        };
        state.ready = true;
    }

    /// The join was seen.
    pub fn joined(&self, host: &str) {
        let mut state = self.state();
        state.source.host = host.to_owned();
        state.source.state = SourceState::Reading;
    }

    /// The stream ended, or could not be opened.
    pub fn disconnected(&self, host: &str, error: &str) {
        let mut state = self.state();
        state.source.host = host.to_owned();
        state.source.state = SourceState::Waiting;
        state.source.error = Some(error.to_owned());
    }

    /// The source was read to its end.
    pub fn ended(&self) {
        self.state().source.state = SourceState::Ended;
    }

    /// An event came again.
    pub fn known(&self) {
        counter!(m::SOURCE_KNOWN).increment(1);
        self.state().source.known += 1;
    }

    /// Part of the source was never seen.
    pub fn gap(&self) {
        self.state().source.gaps += 1;
    }

    /// A batch goes to the log.
    pub fn appended(&self, batch: &Batch, window: &Window) {
        let mut kinds = [0u64; 4];
        let mut unreadable = 0;
        for item in batch.items() {
            match item.event() {
                Some(event) => kinds[kind_index(event)] += 1,
                None => unreadable += 1,
            }
        }
        for (kind, count) in Kind::ALL.iter().zip(kinds).filter(|(_, count)| *count > 0) {
            counter!(m::SOURCE_EVENTS, "kind" => kind.as_str()).increment(count);
        }
        let mut state = self.state();
        state.source.events += kinds.iter().sum::<u64>();
        state.source.unreadable += unreadable;
        state.source.read_to(batch.position.as_ref(), window);
        state.log.entries += batch.entries.len() as u64;
        state.log.bytes += batch.bytes as u64;
    }

    /// A batch was committed.
    pub fn committed(&self, batch: &Batch, committed: &Committed, took: Duration) {
        let mut state = self.state();
        let shards = committed.shards.iter().map(|(shard, totals)| Moved {
            shard: *shard,
            position: totals.position,
            entries: totals.entries(),
            dead_letters: totals.dead_letters,
            time_us: totals.time_us,
        });
        let written = &committed.written;
        let (records, tombstones, refused) = (written.records, written.tombstones, written.refused);
        state.landed(Rows { records, tombstones, refused }, shards, took);
        state.log.entries = state.log.entries.saturating_sub(batch.entries.len() as u64);
        state.log.bytes = state.log.bytes.saturating_sub(batch.bytes as u64);
        state.show(batch.entries.iter().rev().filter_map(|entry| latest(&entry.item)));
    }

    /// A commit failed.
    pub fn commit_failed(&self, error: &str) {
        self.state().database.error = Some(error.to_owned());
    }

    /// A segment of the archive was committed.
    pub fn segment_committed(&self, rows: u64) {
        if let Some(archive) = &mut self.state().archive {
            archive.entries += rows;
            archive.commits += 1;
            archive.error = None;
        }
    }

    /// A segment could not be written.
    pub fn segment_failed(&self, error: &str) {
        if let Some(archive) = &mut self.state().archive {
            archive.error = Some(error.to_owned());
        }
    }

    /// Records are hydrated, and the looking up tells of itself there.
    pub fn hydrates(&self, report: HydrationReport) {
        self.state().hydration = Some(report);
    }

    /// Which sink commits wait for, if any.
    pub fn held_by(&self, sink: Option<&'static str>) {
        self.state().held_by = sink;
    }

    /// Whether what the process is for was reached since the start: from then on it is ready, also while it reconnects.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.state().ready
    }

    /// Takes a sample for the rates, and sets the gauges. Called once a second.
    pub fn sample(&self) {
        let mut state = self.state();
        let (read, committed) = (state.source.events, state.database.entries);
        state.samples.take(read, committed);
        state.hydration.iter().for_each(HydrationReport::sample);
        gauge!(m::LOG_BYTES).set(state.log.bytes as f64);
        if let Some(lag) = state.source.lag() {
            gauge!(m::SOURCE_LAG).set(lag);
        }
    }

    /// The statistics now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let state = self.state();
        let mut source = state.source.clone();
        source.lag_seconds = source.lag();
        let rates = state.samples.rates();
        Stats {
            pipeline: state.pipeline.clone(),
            summary: summary(&state, &source, rates),
            uptime_seconds: self.began.elapsed().as_secs_f64(),
            rates,
            source,
            log: Log { error: state.log_error(), ..state.log.clone() },
            shards: state.shards.values().cloned().collect(),
            sinks: state.sinks(),
            hydration: state.hydration.as_ref().map(HydrationReport::now),
            sinks_removed: state.sinks_removed.clone(),
            dead_letters: state.dead_letters,
            latest: state.latest.iter().cloned().collect(),
        }
    }
}

impl State {
    /// Shows the newest records, newest first, above those before them.
    fn show(&mut self, newest: impl Iterator<Item = Latest>) {
        let mut newest: VecDeque<Latest> = newest.take(LATEST).collect();
        newest.extend(std::mem::take(&mut self.latest));
        newest.truncate(LATEST);
        self.latest = newest;
    }

    fn log_error(&self) -> Option<String> {
        self.log_away.clone().or_else(|| self.shard_error()).or_else(|| self.bucket_refuses.clone())
    }

    /// Which shard can not be read on.
    fn shard_error(&self) -> Option<String> {
        let (shard, error) = self.unreadable.iter().next()?;
        let named = self.shards.get(shard).map(|state| format!("{}/{}", state.slice, state.partition));
        Some(format!("the shard {} can not be read on: {error}", named.unwrap_or_default()))
    }

    fn sinks(&self) -> Vec<Sink> {
        let database = self.works.then_some(&self.database);
        let beside = self.beside.iter().map(|(name, report)| {
            let told = report.now();
            Sink { name, error: told.error, entries: told.entries, commits: told.commits }
        });
        database.into_iter().chain(&self.archive).cloned().chain(beside).collect()
    }
}

impl Source {
    fn read_to(&mut self, position: Option<&SourcePosition>, window: &Window) {
        self.position = position.map(ToString::to_string);
        self.time_us = position.map(|position| position.time_us);
        self.window_events = window.len();
        self.window_seconds = window.span_us() as f64 / 1e6;
    }
}

fn kind_index(event: &Event) -> usize {
    Kind::ALL.iter().position(|kind| *kind == event.kind()).unwrap_or_default()
}

fn latest(item: &Item) -> Option<Latest> {
    let event = item.event()?;
    let Body::Commit(commit) = &event.body else { return None };
    let text = |record: &bytes::Bytes| String::from_utf8_lossy(record).chars().take(400).collect();
    Some(Latest {
        did: event.key.to_string(),
        collection: commit.collection.to_string(),
        rkey: commit.rkey.to_string(),
        operation: commit.operation.as_str(),
        time_us: event.time_us,
        record: commit.record.as_ref().map(text),
    })
}
