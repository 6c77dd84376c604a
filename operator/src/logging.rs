//! Logs go to standard error, and their levels can be changed while the operator runs.

use crate::cli::LogFormat;
use std::io::IsTerminal;
use std::sync::Arc;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// The levels where nothing else is said.
const DEFAULT: &str = "info,actix_server=warn,kube=warn";

/// Changes the levels, in the syntax of `tracing_subscriber::EnvFilter`; an error says what is wrong with them.
pub(crate) type Levels = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Begins to log. `TURBO_LOG` chooses levels (`info` by default).
pub(crate) fn init(format: LogFormat) -> Levels {
    let (filter, refused) = match std::env::var("TURBO_LOG").ok().map(|levels| EnvFilter::try_new(&levels)) {
        Some(Ok(filter)) => (filter, None),
        given => (EnvFilter::new(DEFAULT), given.and_then(Result::err)),
    };
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(filter);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // A second initialisation, as in tests, keeps the first.
    let _ = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    if let Some(error) = refused {
        tracing::warn!("TURBO_LOG: {error}; it is left aside: give levels like info or debug,kube=warn");
    }
    Arc::new(move |levels| {
        let filter = EnvFilter::try_new(levels).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    })
}
