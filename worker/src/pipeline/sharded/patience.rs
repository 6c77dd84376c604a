//! Servers that are not there at the start: they may be starting too.

use crate::live::Live;
use crate::log::nats;
use crate::sinks::postgres;
use std::time::Duration;
use tokio::time::Instant;

/// How long they are waited for.
pub(super) const START: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(2);

/// Tries until it works, or fails for something that does not pass by itself; `live` tells what is waited for.
///
/// # Errors
/// What an attempt says last.
pub(super) async fn patiently<T>(
    live: &Live,
    what: &str,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match attempt().await {
            Err(error) if is_outage(&error) && began.elapsed() < START => {
                tracing::warn!("waiting for {what}: {error:#}");
                live.starting(Some(format!("{what}: {error:#}")));
                tokio::time::sleep(AGAIN).await;
            }
            outcome => {
                live.starting(None);
                return outcome;
            }
        }
    }
}

fn is_outage(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(nats::Error::is_outage)
        || error.downcast_ref().is_some_and(postgres::Error::is_outage)
}
