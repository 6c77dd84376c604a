//! What hydration costs: an hour of the network's own pace that begins with a cold cache ([`hour`]): how far it is behind, how
//! often what a record points at is known, and how many calls the rest takes. Then the whole path of one process with a warm
//! cache, to the same without hydration.
//!
//! The first part of the events warms the cache up, in a world of so few accounts that the rest points at little else: a gate
//! before the source holds it back until everything that has landed is complete. What comes behind the gate is measured. Turns
//! are taken alternately; the median counts.
//!
//! Run by `make bench`. `BENCH_EVENTS` (200,000), `BENCH_TURNS` (5), `BENCH_HOUR` (60 minutes) and `BENCH_CLOCK` (4 times as
//! fast) change the size; `BENCH_HYDRATION_PLOT=FILE` writes a plot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "for the terminal")]

#[allow(dead_code, reason = "each benchmark takes its own part")]
#[path = "../shared/mod.rs"]
mod shared;

mod hour;
mod plot;
mod process;

use process::{Hydration, Pipeline};
use shared::gate::Gate;
use shared::{EVENT, RECORDS, hydrated_network, known, median, setting};

/// Events a second behind the gate, and how warm the cache was for them.
fn turn(source: &str, hydration: Option<&Hydration>, events: usize) -> (f64, String) {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::before(source, events as u64 / 2 * EVENT);
    let pipeline = Pipeline::start(folder.path(), &gate.address, hydration);
    let warm = pipeline.settle();
    gate.open();
    // Who has waited long connects anew, which is none of it.
    let (from, _) = pipeline.reaches(warm + 1);
    let landed = || RECORDS.map(|of| pipeline.metric(of));
    let before = landed();
    let (to, took) = pipeline.reaches(events as u64);
    let after = landed();
    ((to - from) as f64 / took.as_secs_f64(), known(std::array::from_fn(|at| after[at] - before[at])))
}

fn main() {
    let (events, turns) = (setting("BENCH_EVENTS", 200_000), setting("BENCH_TURNS", 5));
    let minutes = hour::measure(setting("BENCH_HOUR", 60) as u64, setting("BENCH_CLOCK", 4) as u32);
    if let Some(path) = std::env::var_os("BENCH_HYDRATION_PLOT") {
        std::fs::write(path, plot::svg(&minutes)).unwrap();
    }
    let (_network, source, appview) = hydrated_network(events);
    let source = source.strip_prefix("ws://").unwrap();
    let hydration = Hydration { appview, rate: 1000, ttl_seconds: 3600 };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 1..=turns {
        let (plain, _) = turn(source, None, events);
        let (hydrated, known) = turn(source, Some(&hydration), events);
        println!("turn {number} of {turns}: without {plain:.0}/s, with a warm cache {hydrated:.0}/s, {known}");
        with.push(hydrated);
        without.push(plain);
    }
    let (with, without) = (median(&with), median(&without));
    println!(
        "bench hydration_warm ratio={:.2} goal=0.8 events_per_second={with:.0} without={without:.0}",
        with / without
    );
}
