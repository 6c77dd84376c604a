//! The sharded data plane against bare writers of the same work, on real servers.
//!
//! Each figure is a ratio to a floor or a peer that is taken in the same run, alternately; the median of the turns counts.
//! For a bound in time or memory it is the bound divided by what was measured.
//!
//! Run by `make bench`. `BENCH_EVENTS` (100,000), `BENCH_TURNS` (3) and `BENCH_SECONDS` (20) change the size;
//! `BENCH_PLOT=FILE` writes a plot; `BENCH_ONLY` names the parts to run: log, commit, whole, latency, takeover,
//! hydration, warm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "for the terminal")]

mod bare_commit;
mod commit;
mod figures;
mod hydrating;
mod latency;
mod log_append;
mod plot;
mod process;
mod stage;
mod takeover;
mod usage;
mod warm;
mod whole;
mod work;

#[allow(dead_code, reason = "each benchmark takes its own part")]
#[path = "../shared/mod.rs"]
mod shared;

use figures::Measured;
use shared::setting;
use work::Work;

/// Workers and shards of the runs of the whole path; the first one is what the others are compared with.
const RUNS: [(usize, u16); 6] = [(1, 4), (2, 4), (4, 4), (1, 1), (1, 16), (1, 64)];

fn part(name: &str) -> bool {
    std::env::var("BENCH_ONLY").map_or(true, |only| only.split(',').any(|part| part == name))
}

async fn measure(turns: usize) -> Measured {
    let work = Work::read(setting("BENCH_EVENTS", 100_000)).await;
    let messages = log_append::messages(&work).await;
    let mut measured = Measured::default();
    for turn in 1..=turns {
        println!("turn {turn} of {turns}");
        if part("log") {
            measured.log.push(log_append::turn(&work, &messages).await);
        }
        if part("commit") {
            measured.commit.push(commit::turn(&work).await);
        }
        if part("whole") {
            for (workers, shards) in RUNS {
                let run = whole::run(&work, workers, shards).await;
                measured.whole.entry((workers, shards)).or_default().push(run);
            }
        }
        if part("takeover") {
            measured.takeover.push(takeover::turn().await);
        }
        if part("hydration") {
            measured.hydration.push(hydrating::turn(setting("BENCH_HYDRATED", 30_000) as u64).await);
        }
        if part("warm") {
            measured.warm.push(warm::turn(setting("BENCH_EVENTS", 100_000)).await);
        }
        if part("latency") {
            measured.latency.push(latency::turn(setting("BENCH_SECONDS", 20) as u64).await);
        }
    }
    measured
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let measured = runtime.block_on(measure(setting("BENCH_TURNS", 3).max(1)));
    if let Some(path) = std::env::var_os("BENCH_PLOT") {
        std::fs::write(path, plot::svg(&measured)).unwrap();
    }
    measured.report();
}
