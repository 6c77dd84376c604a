//! `turbo`: reads the AT Protocol event stream, spreads it over shards and leaves it in the sinks.

use clap::Parser;
use std::process::ExitCode;
use turbo_worker::cli::{Cli, Command};
use turbo_worker::pipeline::Role;
use turbo_worker::{commands, telemetry};

/// Documents are larger than what the system's allocator keeps at hand for a thread: with it they cost a third of the time that
/// a worker has. `.cargo/config.toml` bounds what this one holds back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let cli = Cli::parse();
    telemetry::logging::init(cli.log_format);
    let outcome = match cli.command {
        Command::Run(options) => commands::run(&options, Role::Run),
        Command::Ingest(options) => commands::run(&options, Role::Ingest),
        Command::Work(options) => commands::run(&options, Role::Work),
        Command::Shards(options) => commands::shards(&options),
        Command::Dlq(options) => commands::dlq(options),
        Command::Segments(options) => commands::segments(&options),
        Command::Check(options) => commands::check(&options),
        Command::Schema => commands::schema(),
        Command::Reference(options) => commands::reference(options.page),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::fail(&error),
    }
}
