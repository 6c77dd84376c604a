//! The commands: what each does, and how it ends.
#![allow(clippy::print_stderr, reason = "this is the edge to the terminal")]

use crate::cli::{LogFormat, Page, Run};
use crate::{logging, process};
use std::io::Write as _;
use std::process::ExitCode;

/// `turbo-operator run`.
///
/// # Errors
/// It can not begin, or loses its Lease.
pub fn run(options: &Run, format: LogFormat) -> anyhow::Result<()> {
    let levels = logging::init(format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(process::run(options, levels));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// `turbo-operator reference`.
///
/// # Errors
/// The output refuses.
pub fn reference(page: Page) -> anyhow::Result<()> {
    let text = match page {
        Page::Conditions => turbo_core::reason::page(),
        Page::Metrics => crate::telemetry::page(),
    };
    Ok(write!(std::io::stdout(), "{text}")?)
}

/// Says what went wrong, cause by cause.
#[must_use]
pub fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("turbo-operator: {error:#}");
    ExitCode::FAILURE
}
