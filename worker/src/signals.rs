//! Signals: the first SIGTERM or Ctrl-C drains, a second one exits at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told to stop twice.
const AT_ONCE: i32 = 130;

/// Listens for signals; the first one fires the token that is returned.
///
/// # Errors
/// The system takes no handler.
pub fn listen() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if fired.is_cancelled() {
                tracing::warn!("{name} again: exiting at once; what is not committed is read again next time");
                std::process::exit(AT_ONCE);
            }
            tracing::info!("{name}: committing what was read, then exiting; a second signal exits at once");
            fired.cancel();
        }
    });
    Ok(stop)
}
