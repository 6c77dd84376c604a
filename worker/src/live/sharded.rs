//! What a process of a sharded pipeline tells beside what every pipeline tells.

use super::landed::{Moved, Rows};
use super::{Live, Log, ShardState, Sink, Source, State, latest};
use crate::log::Numbered;
use crate::sinks::feed::Report;
use crate::sinks::postgres::Committed;
use crate::telemetry::{events, metrics as m};
use metrics::gauge;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::Window;

impl Live {
    /// The state of a process that reads the source, owns shards, or both.
    #[must_use]
    pub fn sharded(pipeline: &str, reads: bool, works: bool, max_bytes: u64) -> Self {
        let state = State {
            pipeline: pipeline.to_owned(),
            database: Sink { name: "postgres", ..Sink::default() },
            log: Log { max_bytes, ..Log::default() },
            reads,
            works,
            standby: reads.then(|| "waiting for the lease of ingest".to_owned()),
            ..State::default()
        };
        Self { began: Instant::now(), state: Mutex::new(state) }
    }

    /// A sink beside the database tells by itself.
    pub fn beside(&self, name: &'static str, report: Report) {
        self.state().beside.push((name, report));
    }

    /// Another process reads the source. It is what this one is for, so it is ready.
    pub fn standing_by(&self, why: &str) {
        let mut state = self.state();
        state.standby = Some(why.to_owned());
        state.source = Source { gaps: state.source.gaps, events: state.source.events, ..Source::default() };
        state.log = Log { max_bytes: state.log.max_bytes, ..Log::default() };
        state.log_held = None;
        state.ready = true;
        gauge!(m::QUEUE_DEPTH).set(0.0);
    }

    /// This process reads the source, from where the log ends.
    pub fn active(&self, position: Option<&SourcePosition>, window: &Window) {
        let mut state = self.state();
        state.standby = None;
        state.source.read_to(position, window);
    }

    /// A batch of the queue is in the log.
    pub fn stored(&self, entries: usize, bytes: usize) {
        let mut state = self.state();
        state.log.entries = state.log.entries.saturating_sub(entries as u64);
        state.log.bytes = state.log.bytes.saturating_sub(bytes as u64);
        state.log_held = None;
    }

    /// The log takes nothing for now.
    pub fn log_held(&self, why: &str) {
        self.state().log_held = Some(why.to_owned());
    }

    /// This no longer keeps the log from taking more; something else may.
    pub fn log_held_no_more(&self, why: &str) {
        self.state().log_held.take_if(|held| held == why);
    }

    /// How many messages wait for the workers; `None`: not known.
    pub fn waiting(&self, waiting: Option<u64>) {
        self.state().log.waiting = waiting;
    }

    /// The same, and above how many of them the source is not read.
    pub fn depth(&self, waiting: Option<u64>, high_water: u64) {
        let mut state = self.state();
        state.log.waiting = waiting;
        state.log.high_water = Some(high_water);
        if let Some(waiting) = waiting {
            gauge!(m::QUEUE_DEPTH).set(waiting as f64);
        }
    }

    /// Something that the process needs is not there yet; `None`: everything is.
    pub fn starting(&self, waits_for: Option<String>) {
        self.state().starting = waits_for;
    }

    /// The process has begun to do what it is for.
    pub fn began(&self) {
        self.state().ready = true;
    }

    /// The log does not answer, and why; `None`: it does.
    pub fn log_away(&self, why: Option<String>) {
        self.state().log_away = why;
    }

    /// The bucket takes nothing, and why; `None`: it does.
    pub fn bucket_refuses(&self, bucket: &str, why: Option<String>) {
        let why = why.map(|why| format!("the bucket {bucket} of NATS takes nothing: {why}"));
        let mut state = self.state();
        match (&state.bucket_refuses, &why) {
            (None, Some(why)) => events::BucketRefuses { why }.emit(),
            (Some(_), None) => events::BucketTakes { bucket }.emit(),
            _ => {}
        }
        state.bucket_refuses = why;
    }

    /// A shard of one's own can not be read on.
    pub fn unreadable(&self, shard: Shard, error: &str) {
        self.state().unreadable.insert(shard, error.to_owned());
    }

    /// It can be, again.
    pub fn readable(&self, shard: Shard) {
        self.state().unreadable.remove(&shard);
    }

    /// A shard was claimed.
    pub fn claimed(&self, slices: &Slices, shard: Shard, epoch: u64, position: u64, time_us: Option<i64>) {
        let state = ShardState {
            slice: slices.name(shard).to_owned(),
            partition: shard.partition,
            epoch: epoch as i64,
            position,
            entries: 0,
            time_us,
        };
        let shards = &mut self.state().shards;
        shards.insert(shard, state);
        gauge!(m::SHARDS_OWNED).set(shards.len() as f64);
    }

    /// The plan gives this process so many shards.
    pub fn planned(&self, shards: usize) {
        self.state().planned = shards;
    }

    /// A sink that the pipeline file no longer names has lost its position in a shard.
    pub fn sink_removed(&self, sink: &str) {
        self.state().sinks_removed.insert(sink.to_owned());
    }

    /// A shard is no longer owned.
    pub fn gone(&self, shard: Shard) {
        let mut state = self.state();
        state.unreadable.remove(&shard);
        let shards = &mut state.shards;
        shards.remove(&shard);
        gauge!(m::SHARDS_OWNED).set(shards.len() as f64);
    }

    /// Nothing waits for a commit that failed: it landed, or it is another worker's.
    pub fn commits_again(&self) {
        self.state().database.error = None;
    }

    /// A commit of several shards landed.
    pub fn landed(&self, entries: &[Numbered], committed: &Committed, took: Duration) {
        let mut state = self.state();
        state.unreadable.retain(|shard, _| !committed.shards.contains_key(shard));
        let shards = committed.shards.iter().map(|(shard, totals)| Moved {
            shard: *shard,
            position: totals.position,
            entries: totals.entries,
            dead_letters: totals.dead_letters,
            time_us: totals.time_us,
        });
        let Committed { records, tombstones, refused, .. } = *committed;
        state.landed(Rows { records, tombstones, refused }, shards, took);
        if !state.reads {
            state.source.time_us = committed.shards.values().filter_map(|totals| totals.time_us).max();
        }
        state.show(entries.iter().rev().filter_map(|numbered| latest(&numbered.entry.item)));
    }
}
