//! The command line.

mod appview_args;
mod serve;
mod serve_args;
mod stdout;
mod truth;
mod world_args;

use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// A simulated AT Protocol network: Jetstream v1 and v2, with faults on demand, and its ground truth.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve_args::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the network until Ctrl-C or SIGTERM. This is also what happens without a command.
    Serve(Box<serve_args::ServeArgs>),
    /// Print the ground truth as JSON lines: every record, account and event, and what v1 cannot know.
    Truth(truth::TruthArgs),
}

pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    match cli.command {
        None => serve::serve(cli.serve),
        Some(Command::Serve(args)) => serve::serve(*args),
        Some(Command::Truth(args)) => truth::truth(&args),
    }
}
