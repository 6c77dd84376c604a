//! Signals: the first SIGTERM or Ctrl-C drains, a second one exits at once.

use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told to stop twice.
const AT_ONCE: i32 = 130;
/// Signals this close together are one: a terminal and a script that passes it on send the same wish twice.
const SAME: Duration = Duration::from_millis(500);

/// Listens for signals; the first one fires the token that is returned.
///
/// # Errors
/// The system takes no handler.
pub fn listen() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        let mut first: Option<Instant> = None;
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if first.is_some_and(|first| first.elapsed() < SAME) {
                continue;
            }
            if first.is_some() {
                tracing::warn!("{name} again: exiting at once; what is not committed is read again next time");
                std::process::exit(AT_ONCE);
            }
            tracing::info!("{name}: committing what was read, then exiting; a second signal exits at once");
            first = Some(Instant::now());
            fired.cancel();
        }
    });
    Ok(stop)
}
