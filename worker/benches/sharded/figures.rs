//! What the turns measured, and the lines that tell it.

use crate::latency::Latency;
use crate::shared::median;
use crate::whole::Run;
use crate::{commit, log_append};
use std::collections::BTreeMap;

/// MB for each process.
const MEMORY: f64 = 200.0;
/// Milliseconds from the socket to the committed row for 99 of 100 events.
const LATENCY: f64 = 250.0;
/// Seconds of a crash take-over.
const TAKEOVER: f64 = 15.0;

/// One value for each turn; runs of the whole path by workers and shards.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) log: Vec<log_append::Rates>,
    pub(crate) commit: Vec<commit::Rates>,
    pub(crate) whole: BTreeMap<(usize, u16), Vec<Run>>,
    pub(crate) latency: Vec<Latency>,
    pub(crate) takeover: Vec<f64>,
    /// Calls for each 1,000 events: without what is shared, and with it.
    pub(crate) hydration: Vec<(f64, f64)>,
    /// Events a second: without hydration, and with a warm cache.
    pub(crate) warm: Vec<(f64, f64)>,
}

/// The median of something of each turn; not a number where there was none.
pub(crate) fn middle<T>(turns: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let values: Vec<f64> = turns.iter().map(of).collect();
    if values.is_empty() { f64::NAN } else { median(&values) }
}

impl Measured {
    /// The median of something of the runs with so many workers and shards.
    pub(crate) fn run(&self, workers: usize, shards: u16, of: impl Fn(&Run) -> f64) -> f64 {
        self.whole.get(&(workers, shards)).map_or(f64::NAN, |runs| middle(runs, of))
    }

    /// Prints a line for each figure.
    pub(crate) fn report(&self) {
        if !self.log.is_empty() {
            self.log_lines();
        }
        if !self.commit.is_empty() {
            let (ours, bare) = (middle(&self.commit, |turn| turn.ours), middle(&self.commit, |turn| turn.bare));
            println!(
                "bench postgres_commit ratio={:.2} goal=0.6 events_per_second={ours:.0} floor_copy_and_merge={bare:.0}",
                ours / bare
            );
        }
        if !self.whole.is_empty() {
            self.whole_lines();
        }
        if !self.latency.is_empty() {
            let of = |of: fn(&Latency) -> f64| middle(&self.latency, of);
            let (p50, p99, rate) = (of(|turn| turn.p50), of(|turn| turn.p99), of(|turn| turn.rate));
            println!(
                "bench latency_p99 ratio={:.2} goal=1 p50_ms={p50:.0} p99_ms={p99:.0} bound_ms={LATENCY} rows_per_second={rate:.0}",
                LATENCY / p99
            );
        }
        if !self.hydration.is_empty() {
            let (alone, shared) = (middle(&self.hydration, |of| of.0), middle(&self.hydration, |of| of.1));
            let ratio = alone / shared;
            println!(
                "bench hydration_shared ratio={ratio:.2} goal=1 calls_per_1000_events={shared:.1} without={alone:.1}"
            );
        }
        if !self.warm.is_empty() {
            let (without, with) = (middle(&self.warm, |of| of.0), middle(&self.warm, |of| of.1));
            let ratio = with / without;
            println!(
                "bench hydration_warm_sharded ratio={ratio:.2} goal=0.8 events_per_second={with:.0} without={without:.0}"
            );
        }
        if !self.takeover.is_empty() {
            let seconds = middle(&self.takeover, |seconds| *seconds);
            println!("bench takeover ratio={:.2} goal=1 seconds={seconds:.1} bound={TAKEOVER}", TAKEOVER / seconds);
        }
    }

    fn log_lines(&self) {
        let of = |of: fn(&log_append::Rates) -> f64| middle(&self.log, of);
        let (ours, batches, pipelined) = (of(|turn| turn.ours), of(|turn| turn.batches), of(|turn| turn.pipelined));
        println!(
            "bench log_append ratio={:.2} goal=0.7 events_per_second={ours:.0} floor_batches={batches:.0}",
            ours / batches
        );
        // A publisher with many in flight is no fence: to compare, without a goal.
        println!("bench log_append_to_pipelined ratio={:.2} goal=0 pipelined={pipelined:.0}", ours / pipelined);
    }

    fn whole_lines(&self) {
        let rate = |workers, shards| self.run(workers, shards, |run| run.rate);
        let one = rate(1, 4);
        // Where one of the two floors was not measured there is no lower one.
        if !self.log.is_empty() && !self.commit.is_empty() {
            let floor = middle(&self.log, |turn| turn.batches).min(middle(&self.commit, |turn| turn.bare));
            println!(
                "bench sharded_socket_to_row ratio={:.2} goal=0.5 events_per_second={one:.0} lower_floor={floor:.0}",
                one / floor
            );
        }
        for workers in [2, 4] {
            let many = rate(workers, 4);
            println!("bench workers_{workers} ratio={:.2} goal=1 events_per_second={many:.0} one={one:.0}", many / one);
        }
        let peak = |at: usize| {
            let runs: Vec<f64> = self.whole.values().map(|runs| middle(runs, |run| run.peaks[at])).collect();
            runs.into_iter().fold(0.0, f64::max)
        };
        let (ingest, work) = (peak(0), peak(1));
        println!(
            "bench sharded_memory ratio={:.2} goal=1 ingest_megabytes={ingest:.0} work_megabytes={work:.0} bound={MEMORY}",
            MEMORY / ingest.max(work)
        );
        let (single, cost) = (rate(1, 1), |shards| self.run(1, shards, Run::cost));
        println!(
            "bench shards_64 ratio={:.2} goal=0.8 events_per_second={:.0} one_shard={single:.0} cpu_microseconds={:.0} \
             cpu_microseconds_one_shard={:.0}",
            rate(1, 64) / single,
            rate(1, 64),
            cost(64),
            cost(1)
        );
    }
}
