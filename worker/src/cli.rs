//! The command line.

use crate::telemetry::logging::LogFormat;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Reads the AT Protocol event stream, spreads it over shards and leaves it in the sinks.
#[derive(Debug, Parser)]
#[command(name = "turbo", version, arg_required_else_help = true)]
pub struct Cli {
    /// How log lines look; they go to standard error. TURBO_LOG chooses levels (info).
    #[arg(long, global = true, value_enum, default_value_t, env = "TURBO_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a whole pipeline in this process: reads the source, owns shards.
    Run(Run),
    /// Reads the source of a pipeline into its log, or stands by while another process does.
    Ingest(Run),
    /// Owns shards of a pipeline: commits what is in its log.
    Work(Run),
    /// Checks a pipeline file, and says what is wrong with it.
    Check(Check),
    /// Prints the CustomResourceDefinition of the pipeline file, as YAML.
    Schema,
    /// Prints a reference page, made from the code.
    Reference(Reference),
}

/// Options of `run`, `ingest` and `work`.
#[derive(Args, Debug)]
pub struct Run {
    /// The pipeline file: a TurboPipeline manifest.
    #[arg(short, long)]
    pub file: PathBuf,
    /// Where HTTP listens: health, metrics, statistics and a page. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", value_parser = listen, default_value = "127.0.0.1:8080", env = "TURBO_LISTEN")]
    pub listen: SocketAddr,
    /// The folder of secrets: `secret: {name, key}` is the file <name>/<key> in it.
    #[arg(long, env = "TURBO_SECRETS")]
    pub secrets: Option<PathBuf>,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

/// Options of `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// The pipeline file: a TurboPipeline manifest.
    #[arg(short, long)]
    pub file: PathBuf,
    /// Also checks what a cluster asks for: NATS, PostgreSQL and S3, and secrets of the cluster.
    #[arg(long)]
    pub cluster: bool,
}

/// Options of `reference`.
#[derive(Args, Debug)]
pub struct Reference {
    /// Which page.
    #[arg(value_enum)]
    pub page: Page,
}

/// The pages that are made from the code.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Page {
    /// Every metric.
    Metrics,
    /// Every field of the pipeline file.
    PipelineFile,
}
