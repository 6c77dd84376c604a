//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;

/// Runs pipelines on Kubernetes: each `TurboPipeline` gives ingesters, workers and what belongs to them.
#[derive(Debug, Parser)]
#[command(name = "turbo-operator", version, arg_required_else_help = true)]
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
    /// Runs the operator.
    Run(Run),
    /// Prints a reference page, made from the code.
    Reference {
        /// Which page.
        #[arg(value_enum)]
        page: Page,
    },
}

/// The pages that are made from the code.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Page {
    /// Every reason of a condition, with its mend.
    Conditions,
    /// Every metric.
    Metrics,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// One readable line for each event.
    #[default]
    Text,
    /// One JSON object for each event.
    Json,
}

/// Options of `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// The image of pipelines that name none.
    #[arg(long, env = "TURBO_IMAGE")]
    pub image: String,
    /// The namespaces whose pipelines are run, separated by commas. Default: all.
    #[arg(long, value_delimiter = ',', env = "TURBO_NAMESPACES")]
    pub namespaces: Vec<String>,
    /// The namespace of the Lease, which is that of the operator.
    #[arg(long, env = "TURBO_NAMESPACE", default_value = "default")]
    pub namespace: String,
    /// The name of the Lease by which one of several operators acts.
    #[arg(long, default_value = "turbo-operator")]
    pub lease: String,
    /// Seconds after which another operator takes the place of one that is gone, 8 to 300.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(8..=300))]
    pub lease_seconds: u64,
    /// Seconds between two looks at what the cluster serves of the kinds that not every cluster does, 1 to 3600.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub discovery_seconds: u64,
    /// Who this operator is; no other may be called the same. Default: the host's name and a random number.
    #[arg(long, env = "TURBO_IDENTITY")]
    pub identity: Option<String>,
    /// Where HTTP listens: health and metrics. Port 0 takes a free one.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081", env = "TURBO_LISTEN")]
    pub listen: SocketAddr,
}
