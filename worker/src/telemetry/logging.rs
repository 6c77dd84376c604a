//! Logs go to standard error: for people on a terminal, as JSON lines elsewhere on request.

use super::progress::Stderr;
use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The levels where nothing else is said.
const DEFAULT: &str = "info,actix_server=warn,async_nats=off,sqlx=warn";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// One readable line for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// Begins to log. `TURBO_LOG` chooses levels (`info` by default), in the syntax of `tracing_subscriber::EnvFilter`.
pub fn init(format: LogFormat) {
    let (filter, refused) = match std::env::var("TURBO_LOG").ok().map(|levels| EnvFilter::try_new(&levels)) {
        Some(Ok(filter)) => (filter, None),
        given => (EnvFilter::new(DEFAULT), given.and_then(Result::err)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second initialisation, as in tests, keeps the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Some(error) = refused {
        tracing::warn!("TURBO_LOG: {error}; it is left aside: give levels like info or debug,sqlx=warn");
    }
}
