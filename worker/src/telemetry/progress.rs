//! Progress: a bar or a line that moves on a terminal, a log line now and then elsewhere.

use crate::live::Live;
use crate::sources::recording::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What is on the terminal while a pipeline runs; log lines make it step aside.
static SHOWN: OnceLock<ProgressBar> = OnceLock::new();

const DRAW: Duration = Duration::from_millis(250);
const SAY: Duration = Duration::from_secs(30);

/// Standard error, for log lines.
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match SHOWN.get() {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Shows progress until it is dropped. `recording` is how far a recording was read.
pub async fn show(live: Arc<Live>, recording: Option<Progress>) {
    if !io::stderr().is_terminal() {
        loop {
            tokio::time::sleep(SAY).await;
            let stats = live.stats();
            // One that only reads the source has no sinks.
            let committed = stats.sinks.first().map_or(0, |sink| sink.entries);
            tracing::info!(events = stats.source.events, committed, "{}", stats.summary);
        }
    }
    let bar = SHOWN.get_or_init(|| bar(recording.as_ref()));
    loop {
        let stats = live.stats();
        bar.set_message(format!("{} events, {}", stats.source.events, stats.summary));
        match &recording {
            Some(recording) => bar.set_position(recording.read()),
            None => bar.tick(),
        }
        tokio::time::sleep(DRAW).await;
    }
}

/// Takes the bar off the terminal.
pub fn clear() {
    if let Some(bar) = SHOWN.get() {
        bar.finish_and_clear();
    }
}

fn bar(recording: Option<&Progress>) -> ProgressBar {
    let (bar, template) = match recording {
        Some(recording) => (ProgressBar::new(recording.size()), "{wide_bar} {percent:>3} %  {eta:>4} left\n{msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    // A template that does not parse would be a mistake here, and no reason not to run.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
