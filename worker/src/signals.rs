//! Signals: the first SIGTERM or Ctrl-C drains, a second one exits at once.

use std::sync::{Arc, OnceLock};
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

/// The end of a process: everything that finishes then has one limit, from the moment on at which the token fired.
#[derive(Clone, Debug)]
pub struct Ending {
    stop: CancellationToken,
    since: Arc<OnceLock<tokio::time::Instant>>,
}

impl Ending {
    /// The end that this token begins. Within a Tokio runtime.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        let ending = Self { stop, since: Arc::default() };
        let (stop, since) = (ending.stop.clone(), ending.since.clone());
        tokio::spawn(async move {
            stop.cancelled().await;
            since.get_or_init(tokio::time::Instant::now);
        });
        ending
    }

    /// Waits until the token fired so long ago.
    pub async fn passed(&self, limit: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep_until(*self.since.get_or_init(tokio::time::Instant::now) + limit).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_late_has_no_more_time_than_the_others() {
        let stop = CancellationToken::new();
        let ending = Ending::new(stop.clone());
        let limit = Duration::from_secs(10);
        assert!(tokio::time::timeout(Duration::from_secs(60), ending.passed(limit)).await.is_err(), "nothing ends yet");
        stop.cancel();
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert!(tokio::time::timeout(Duration::from_secs(2), ending.passed(limit)).await.is_err());
        tokio::time::timeout(Duration::from_millis(1100), ending.passed(limit)).await.unwrap();
    }
}
