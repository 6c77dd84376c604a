//! Flags that say how the network is served.

use super::appview_args::AppViewArgs;
use super::world_args::{WorldArgs, duration};
use clap::{Args, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use turbo_sim::Kind;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) world: WorldArgs,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) address: IpAddr,
    /// Port of the first host; the others take the next ones. 0 takes any.
    #[arg(long, default_value_t = 6008)]
    pub(super) port: u16,
    /// How many hosts there are. They number and order events in their own ways.
    #[arg(long, default_value_t = 1)]
    pub(super) hosts: usize,
    /// Which implementation the hosts are; old ones speak v1 only.
    #[arg(long, value_enum, default_value_t = Generation::New)]
    pub(super) flavour: Generation,
    /// How far the hosts' clocks are apart.
    #[arg(long, value_parser = duration, default_value = "1s")]
    pub(super) clock_spread: Duration,
    /// How much later than others a host may see an account's events [one host: 0].
    #[arg(long, value_parser = duration)]
    pub(super) delay: Option<Duration>,
    #[command(flatten)]
    pub(super) appview: AppViewArgs,
    /// After so many events it is quiet.
    #[arg(long)]
    pub(super) events: Option<u64>,
    /// All events are there at once; needs --events.
    #[arg(long, requires = "events", conflicts_with = "speed")]
    pub(super) full: bool,
    /// World time per wall time.
    #[arg(long, default_value_t = 1.0)]
    pub(super) speed: f64,
    /// World time that has passed at the start.
    #[arg(long, value_parser = duration, default_value = "0s")]
    pub(super) history: Duration,
    /// How far back cursors reach.
    #[arg(long, value_parser = duration, default_value = "36h")]
    pub(super) lookback: Duration,
    /// How many events each host keeps, in whole segments; 0 for all within --lookback [--full: 0].
    #[arg(long)]
    pub(super) keep: Option<usize>,
    /// World time in a segment: a time cursor begins at the start of one.
    #[arg(long, value_parser = duration, default_value = "60s")]
    pub(super) segment: Duration,
    /// Share of events after which sequence numbers are left out.
    #[arg(long, default_value_t = 0.0)]
    pub(super) vacancies: f64,
    /// A time cursor begins at the very event.
    #[arg(long)]
    pub(super) exact_times: bool,
    /// v2 tells `#info FutureCursor`.
    #[arg(long)]
    pub(super) future_cursor: bool,
    /// v2 tells `witnessedAt`.
    #[arg(long)]
    pub(super) witnessed_at: bool,
    /// For so long after the start subscriptions meet 503.
    #[arg(long, value_parser = duration, default_value = "0s")]
    pub(super) loading: Duration,
    /// Faults over time, from this seed.
    #[arg(long, value_name = "SEED")]
    pub(super) faults: Option<u64>,
    /// Time between faults, on average.
    #[arg(long, value_parser = duration, default_value = "20s")]
    pub(super) fault_interval: Duration,
    /// Which faults [those that leave no odd frames].
    #[arg(long, value_delimiter = ',')]
    pub(super) fault_kinds: Vec<Kind>,
    /// Serve a recording instead: JSON lines of v1 events, plain or zstd, all there at once.
    #[arg(long, value_name = "FILE")]
    pub(super) replay: Option<PathBuf>,
    /// The zstd dictionary of v1 [trained].
    #[arg(long, value_name = "FILE")]
    pub(super) v1_dictionary: Option<PathBuf>,
    /// The zstd dictionary of v2 [trained].
    #[arg(long, value_name = "FILE")]
    pub(super) v2_dictionary: Option<PathBuf>,
    /// Write the zstd dictionary of v1 for clients.
    #[arg(long, value_name = "FILE")]
    pub(super) write_v1_dictionary: Option<PathBuf>,
    /// Encode everything before the first client comes; of use with --full.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) prepare: Vec<Prepared>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Generation {
    New,
    Old,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Prepared {
    V1,
    V1Zstd,
    V2,
    V2Zstd,
}
