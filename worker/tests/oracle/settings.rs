//! What a run is made of: the environment, or the defaults of the short version.

use std::fmt;
use std::str::FromStr;

/// The figures of one run. Equal settings give the same world and the same schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the world and the schedule come from.
    pub seed: u64,
    /// Events of the world.
    pub events: u64,
    /// Worker processes at most; the run begins with half of them.
    pub workers: usize,
    /// NATS servers: one, or a cluster of three.
    pub nats: usize,
    /// Faults of the schedule.
    pub faults: usize,
    /// Events of the world in a second of wall time.
    pub rate: u64,
    /// Whether records are hydrated.
    pub hydrate: bool,
    /// Leaves the folder with logs, the pipeline file and the archive where it is.
    pub keep: bool,
}

/// What `cargo test` runs.
pub const SHORT: Settings =
    Settings { seed: 1, events: 20_000, workers: 3, nats: 1, faults: 12, rate: 800, hydrate: false, keep: false };
/// From so many events on, every kind of fault is in the schedule.
pub const LONG: u64 = 100_000;

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// A variable that is no number, or out of its range; the text names it.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let events = number(&variable, "EVENTS", SHORT.events, 100..=100_000_000)?;
        let long = events >= LONG;
        let workers = number(&variable, "WORKERS", if long { 6 } else { SHORT.workers }, 1..=6)?;
        // Every kind some times, and not so many that nothing goes on between them.
        let faults = if long { (40 + events / 10_000).min(2_000) as usize } else { SHORT.faults };
        let nats = number(&variable, "NATS", SHORT.nats, 1..=3)?;
        if nats == 2 {
            return Err("NATS: 2 servers have no majority when one is gone; give 1 or 3".into());
        }
        Ok(Self {
            seed: number(&variable, "SEED", SHORT.seed, 0..=u64::MAX)?,
            events,
            workers,
            nats,
            faults: number(&variable, "FAULTS", faults, 0..=100_000)?,
            rate: number(&variable, "RATE", if long { 2000 } else { SHORT.rate }, 10..=100_000)?,
            hydrate: switch(&variable, "HYDRATE"),
            keep: switch(&variable, "KEEP"),
        })
    }

    /// Whether every kind of fault has to be in the schedule.
    pub fn is_long(&self) -> bool {
        self.events >= LONG
    }
}

impl fmt::Display for Settings {
    /// The command that runs it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, events, workers, nats, faults, rate, .. } = self;
        write!(f, "make oracle SEED={seed} EVENTS={events} WORKERS={workers} NATS={nats} FAULTS={faults} RATE={rate}")?;
        if self.hydrate { f.write_str(" HYDRATE=1") } else { Ok(()) }
    }
}

fn switch(variable: impl Fn(&str) -> Option<String>, name: &str) -> bool {
    variable(name).is_some_and(|value| !matches!(&*value, "" | "0"))
}

fn number<N: FromStr + PartialOrd + fmt::Display>(
    variable: impl Fn(&str) -> Option<String>,
    name: &str,
    default: N,
    range: std::ops::RangeInclusive<N>,
) -> Result<N, String> {
    let Some(text) = variable(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    let (low, high) = (range.start(), range.end());
    let number = text.replace(['_', ','], "").parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{name}: {text} is no number from {low} to {high}"))
}
