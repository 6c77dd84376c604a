//! `turbo shards`: who owns which shard, by the catalog; who should, by the plan; how much waits; and why a shard waits.

use crate::log::nats::{Depth, Log};
use crate::ownership::{self, Heartbeat};
use crate::sinks::postgres::{Database, Standing};
use std::collections::BTreeMap;
use std::io::Write;
use turbo_core::plan::{Plan, WorkerId};
use turbo_core::shard::{Shard, Slices};

/// A heartbeat older than this is told.
const OLD_SECONDS: f64 = 5.0;

/// What is known of all shards.
struct Seen {
    plan: Plan,
    beats: BTreeMap<WorkerId, Heartbeat>,
    standing: BTreeMap<Shard, Standing>,
    depths: BTreeMap<Shard, Depth>,
    now_us: i64,
}

/// Lists the shards, and the workers.
///
/// # Errors
/// The catalog or the log does not answer, or the output refuses.
pub async fn list(
    database: &Database,
    log: &Log,
    slices: &Slices,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (plan, beats) = ownership::announced(log).await?;
    let seen = Seen {
        plan,
        beats,
        standing: database.standing(slices).await?,
        depths: log.depths(slices).await?,
        now_us: jiff::Timestamp::now().as_microsecond(),
    };
    if !json {
        workers(&seen, out)?;
        writeln!(
            out,
            "{:<20} {:>5}  {:<28} {:>6} {:>10} {:>9}  WHY",
            "SLICE", "SHARD", "OWNER", "EPOCH", "WAITING", "LAG"
        )?;
    }
    for shard in slices.shards() {
        line(&seen, slices, shard, json, out)?;
    }
    Ok(())
}

fn workers(seen: &Seen, out: &mut impl Write) -> std::io::Result<()> {
    for (worker, beat) in &seen.beats {
        let says = beat.says["summary"].as_str().unwrap_or("says nothing of itself");
        writeln!(out, "{worker}  heard {:.0} s ago: {says}", seen.age(beat))?;
    }
    if seen.beats.is_empty() {
        writeln!(out, "no worker announces itself")?;
    }
    writeln!(out)
}

fn line(seen: &Seen, slices: &Slices, shard: Shard, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let standing = seen.standing.get(&shard).cloned().unwrap_or_default();
    let depth = seen.depths.get(&shard).copied().unwrap_or_default();
    let lag = standing.time_us.map(|time_us| (seen.now_us - time_us).max(0) as f64 / 1e6);
    let owner = standing.row.owner.as_ref().map(WorkerId::to_string);
    let why = seen.why(shard, &standing, depth);
    let (slice, partition) = (slices.name(shard), shard.partition);
    if json {
        let line = serde_json::json!({
            "slice": slice, "partition": partition, "owner": owner, "planned": seen.plan.owner(shard).map(WorkerId::to_string),
            "epoch": standing.row.epoch, "position": standing.row.position, "sinks": standing.sinks,
            "waiting": depth.waiting, "lag_seconds": lag, "why": why,
        });
        return Ok(writeln!(out, "{line}")?);
    }
    let owner = owner.unwrap_or_else(|| "-".to_owned());
    let waiting = depth.waiting.map_or_else(|| "?".to_owned(), |waiting| waiting.to_string());
    // Nothing waits: the age of the last event says nothing.
    let lag = match (depth.waiting, lag) {
        (Some(0), _) | (_, None) => "-".to_owned(),
        (_, Some(lag)) => format!("{lag:.1} s"),
    };
    let epoch = standing.row.epoch;
    let why = why.unwrap_or_default();
    Ok(writeln!(out, "{slice:<20} {partition:>5}  {owner:<28} {epoch:>6} {waiting:>10} {lag:>9}  {why}")?)
}

impl Seen {
    fn age(&self, beat: &Heartbeat) -> f64 {
        (self.now_us - beat.at_us).max(0) as f64 / 1e6
    }

    /// Why the shard waits, where it does.
    fn why(&self, shard: Shard, standing: &Standing, depth: Depth) -> Option<String> {
        let planned = self.plan.owner(shard);
        let Some(owner) = &standing.row.owner else {
            return Some(match planned {
                None => "no worker lives that could own it".to_owned(),
                Some(planned) => format!("{planned} is about to claim it"),
            });
        };
        match self.beats.get(owner) {
            None => return Some(format!("its owner is gone; {} takes it over", shown(planned))),
            Some(beat) if self.age(beat) > OLD_SECONDS => {
                return Some(format!("its owner was not heard for {:.0} s", self.age(beat)));
            }
            Some(beat) => {
                if let Some(error) = beat.says["error"].as_str() {
                    return Some(format!("its owner is held: {error}"));
                }
            }
        }
        if planned != Some(owner) {
            return Some(format!("it moves to {}", shown(planned)));
        }
        let behind = standing.sinks.iter().filter(|(_, position)| **position < standing.row.position);
        if let Some((sink, position)) = behind.min_by_key(|(_, position)| **position) {
            return Some(format!("{sink} is at {position}, the checkpoint at {}", standing.row.position));
        }
        (depth.waiting.is_none()).then(|| "nothing is announced of it, so what waits is not known".to_owned())
    }
}

fn shown(worker: Option<&WorkerId>) -> String {
    worker.map_or_else(|| "nobody yet".to_owned(), WorkerId::to_string)
}
