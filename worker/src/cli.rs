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
    /// Shows who owns which shard, how much waits, and why.
    Shards(Listing),
    /// Shows dead letters, sends them again, or drops them.
    Dlq(Dlq),
    /// Lists the objects of the archive, and reads them back.
    Segments(Segments),
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

/// A pipeline that is looked at.
#[derive(Args, Debug)]
pub struct Looked {
    /// The pipeline file: a TurboPipeline manifest.
    #[arg(short, long)]
    pub file: PathBuf,
    /// The folder of secrets: `secret: {name, key}` is the file <name>/<key> in it.
    #[arg(long, env = "TURBO_SECRETS")]
    pub secrets: Option<PathBuf>,
}

/// Options of `shards`.
#[derive(Args, Debug)]
pub struct Listing {
    /// Which pipeline.
    #[command(flatten)]
    pub looked: Looked,
    /// One JSON object on each line, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Options of `segments`.
#[derive(Args, Debug)]
pub struct Segments {
    /// Which pipeline.
    #[command(flatten)]
    pub looked: Looked,
    /// Reads every committed object back, and compares it with the catalog.
    #[arg(long)]
    pub verify: bool,
    /// One JSON object on each line, instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Options of `dlq`.
#[derive(Args, Debug)]
pub struct Dlq {
    /// The pipeline file: a TurboPipeline manifest.
    #[arg(short, long, global = true)]
    pub file: Option<PathBuf>,
    /// The folder of secrets: `secret: {name, key}` is the file <name>/<key> in it.
    #[arg(long, env = "TURBO_SECRETS", global = true)]
    pub secrets: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub action: DlqAction,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqAction {
    /// Lists them, the newest first.
    List {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// How many at most.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// One JSON object on each line, instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Shows one with its bytes.
    Show {
        /// Its id.
        id: i64,
        /// A file for its bytes, instead of the terminal.
        #[arg(long)]
        out: Option<PathBuf>,
        /// One JSON object, instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Asks for them again: the owners of their shards take them up.
    Redrive {
        /// Which; nothing means all.
        #[command(flatten)]
        which: Which,
        /// It is certain. Needed where nothing says which.
        #[arg(long)]
        yes: bool,
    },
    /// Drops them for good.
    Drop {
        /// Which; nothing means all.
        #[command(flatten)]
        which: Which,
        /// It is certain. Needed unless the letters are named by their ids.
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters.
#[derive(Args, Debug)]
pub struct Which {
    /// Their ids.
    pub ids: Vec<i64>,
    /// Of this reason.
    #[arg(long, value_parser = ["Unreadable", "Refused", "Misplaced"])]
    pub reason: Option<String>,
    /// Of this slice.
    #[arg(long)]
    pub slice: Option<String>,
    /// Of this account.
    #[arg(long)]
    pub did: Option<String>,
    /// Given up for the first time longer ago than this: 30s, 10m, 1h, 7d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older: Option<std::time::Duration>,
    /// Given up for the first time within this time: a redrive that fails changes TRIES alone.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub younger: Option<std::time::Duration>,
}

fn age(text: &str) -> Result<std::time::Duration, String> {
    let duration: Result<turbo_crds::Duration, _> = text.parse();
    duration.map(turbo_crds::Duration::as_std).map_err(|error| error.to_string())
}
