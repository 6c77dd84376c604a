//! `turbo-sim truth`.

use super::world_args::WorldArgs;
use clap::Args;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use turbo_sim::{DEFAULT_START_US, Recording, Truth};

#[derive(Debug, Args)]
pub(super) struct TruthArgs {
    #[command(flatten)]
    world: WorldArgs,
    /// How many events have happened.
    #[arg(long, required_unless_present = "replay")]
    events: Option<u64>,
    /// The truth of a recording instead: JSON lines of v1 events, plain or zstd.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
}

pub(super) fn truth(args: &TruthArgs) -> anyhow::Result<()> {
    let truth = match &args.replay {
        Some(path) => {
            let recording = Recording::open(path)?;
            let most = args.events.map_or(usize::MAX, |events| events as usize);
            Truth::of(recording.happenings().iter().take(most))
        }
        None => {
            let world = args.world.world(args.world.start_us.unwrap_or(DEFAULT_START_US));
            Truth::of_world(&world, args.events.unwrap_or(0))
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    match truth.write(&mut out).and_then(|()| out.flush()) {
        // Whoever reads may stop reading, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        told => Ok(told?),
    }
}
