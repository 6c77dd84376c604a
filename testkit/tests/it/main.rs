//! Each server starts, answers, keeps its data over a restart and a crash, stands still when it is paused, and ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod ending;
mod kubernetes;
mod nats;
#[cfg(target_os = "linux")]
mod node;
mod postgres;
mod s3;

use std::time::{Duration, Instant};

/// Runs something, and says how long it took.
pub(crate) fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = run();
    eprintln!("{what}: {:.2} s", began.elapsed().as_secs_f64());
    done
}

/// Waits until something holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
