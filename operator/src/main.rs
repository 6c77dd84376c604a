//! `turbo-operator`: runs pipelines on Kubernetes.

use clap::Parser;
use std::process::ExitCode;
use turbo_operator::cli::{Cli, Command};
use turbo_operator::commands;

fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(options) => commands::run(&options, cli.log_format),
        Command::Reference { page } => commands::reference(page),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => commands::fail(&error),
    }
}
