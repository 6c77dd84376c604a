//! `turbo-sim serve`.

use super::serve_args::{Generation, Prepared, ServeArgs};
use super::stdout;
use super::world_args::flags;
use anyhow::Context;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use turbo_sim::{
    DEFAULT_START_US, Flavour, HostConfig, Kind, Network, NetworkConfig, Pace, Recording, Schedule, TimeCursors, Wire,
};

/// What a host keeps where nobody says: some minutes of the network at 500 events per second.
const KEEP: usize = 100_000;

pub(super) fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let network = Network::start(config(&args)?)?;
    if let Some(path) = &args.write_v1_dictionary {
        std::fs::write(path, network.v1_dictionary()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    for host in 0..network.hosts() {
        for wire in &args.prepare {
            network.prepare(host, (*wire).into())?;
        }
        stdout::line(&network.url(host));
    }
    if let Some(url) = network.appview_url() {
        stdout::line(&url);
    }
    if let Some(seed) = args.faults {
        let kinds = if args.fault_kinds.is_empty() { Kind::clean() } else { args.fault_kinds };
        network.run(Schedule::seeded(seed, args.fault_interval, &kinds));
    }
    wait(args.appview.moods(&network))?;
    info!(happened = network.happened(), "stopping");
    network.stop();
    Ok(())
}

fn config(args: &ServeArgs) -> anyhow::Result<NetworkConfig> {
    let recording = args.replay.as_deref().map(Recording::open).transpose()?.map(Arc::new);
    let pace = match args.events {
        _ if recording.is_some() => Pace::Full { events: args.events.unwrap_or(u64::MAX) },
        Some(events) if args.full => Pace::Full { events },
        _ => Pace::Real { speed: args.speed },
    };
    let history_us = i64::try_from(args.history.as_micros())?;
    let start_us = args.world.start_us.unwrap_or_else(|| match pace {
        Pace::Real { .. } => Timestamp::now().as_microsecond() - history_us,
        _ => DEFAULT_START_US,
    });
    let world = args.world.world(start_us);
    let of = args
        .replay
        .as_ref()
        .map_or_else(|| format!("{} --events N", flags(&world)), |path| format!("--replay {}", path.display()));
    info!("the truth: turbo-sim truth {of}");
    Ok(NetworkConfig {
        hosts: hosts(args, pace),
        world,
        recording,
        pace,
        history_us,
        events: args.events,
        address: args.address,
        port: args.port,
        loading: args.loading,
        appview: args.appview.config(args.world.seed),
        v1_dictionary: args.v1_dictionary.as_deref().map(read).transpose()?,
        v2_dictionary: args.v2_dictionary.as_deref().map(read).transpose()?,
        ..NetworkConfig::default()
    })
}

fn hosts(args: &ServeArgs, pace: Pace) -> Vec<HostConfig> {
    let delay = args.delay.map_or(if args.hosts > 1 { 500_000 } else { 0 }, |delay| delay.as_micros() as i64);
    let keep = args.keep.unwrap_or(if matches!(pace, Pace::Full { .. }) { 0 } else { KEEP });
    let common = HostConfig {
        flavour: match args.flavour {
            Generation::New => Flavour::New,
            Generation::Old => Flavour::Old,
        },
        vacancies: args.vacancies,
        skew_us: delay,
        lookback_us: args.lookback.as_micros() as i64,
        keep,
        segment_us: args.segment.as_micros() as i64,
        time_cursors: if args.exact_times { TimeCursors::Exact } else { TimeCursors::SegmentStart },
        witnessed_at: args.witnessed_at,
        future_cursor: args.future_cursor,
        ..HostConfig::default()
    };
    common.several(args.hosts, args.clock_spread)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Waits for Ctrl-C or SIGTERM; the moods come meanwhile.
fn wait(moods: impl Future<Output = ()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let moods = async {
            moods.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = moods => {}
        }
        Ok(())
    })
}

impl From<Prepared> for Wire {
    fn from(prepared: Prepared) -> Self {
        match prepared {
            Prepared::V1 => Self::V1,
            Prepared::V1Zstd => Self::V1Zstd,
            Prepared::V2 => Self::V2,
            Prepared::V2Zstd => Self::V2Zstd,
        }
    }
}
