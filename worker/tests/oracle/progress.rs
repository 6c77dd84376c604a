//! What is going on: a bar on a terminal, a line now and then elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often there is a line.
const EVERY: Duration = Duration::from_secs(10);

/// Tells how far a run is.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    began: Instant,
    last: Instant,
}

impl Progress {
    /// Progress towards so many events.
    pub fn new(events: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(events), target);
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} committed, {msg}") {
            bar.set_style(style);
        }
        let now = Instant::now();
        Self { bar, terminal, began: now, last: now }
    }

    /// So many events are committed; `more` is said beside.
    pub fn at(&mut self, committed: u64, more: impl FnOnce() -> String) {
        self.bar.set_position(committed);
        if self.terminal {
            self.bar.set_message(more());
        } else if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            self.say(&format!("{committed} events committed, {}", more()));
        }
    }

    /// Says a line, with the time since the beginning.
    pub fn say(&self, line: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.bar.suspend(|| eprintln!("{seconds:8.1} s  {line}"));
    }

    /// The bar goes.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
