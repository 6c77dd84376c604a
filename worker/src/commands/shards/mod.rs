//! `turbo shards`: who owns which shard, by the catalog; who should, by the plan; how much waits; and why a shard waits.
//!
//! It is for when something is wrong: a part that does not answer leaves its columns empty, and is told at the end.

mod why;

use crate::log::nats::{Depth, Log};
use crate::ownership::{self, Heartbeat};
use crate::sinks::postgres::{Database, Standing, answered};
use anyhow::Context;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;
use turbo_core::plan::{Plan, WorkerId};
use turbo_core::shard::{Shard, Slices};

/// What is known of all shards.
struct Seen {
    plan: Plan,
    beats: BTreeMap<WorkerId, Heartbeat>,
    /// `None` where the catalog does not answer.
    standing: Option<BTreeMap<Shard, Standing>>,
    depths: BTreeMap<Shard, Depth>,
    /// Records that wait to be completed.
    incomplete: BTreeMap<Shard, u64>,
    now_us: i64,
}

/// How long the catalog is waited for.
const CATALOG: Duration = Duration::from_secs(5);

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
    let depths = log.depths(slices).await?;
    let catalog = async { Ok((database.standing(slices).await?, database.incomplete(slices).await?)) };
    let (standing, incomplete, away) = match answered(CATALOG, catalog).await {
        Ok((standing, incomplete)) => (Some(standing), incomplete, None),
        Err(error) => (None, BTreeMap::new(), Some(error)),
    };
    let seen = Seen { plan, beats, standing, depths, incomplete, now_us: jiff::Timestamp::now().as_microsecond() };
    if !json {
        workers(&seen, out)?;
        let titles = ["SLICE", "SHARD", "OWNER", "EPOCH", "WAITING", "LAG", "INCOMPLETE", "WHY"];
        row(titles.each_ref().map(|title| title as &dyn Display), out)?;
    }
    for shard in slices.shards() {
        line(&seen, slices, shard, json, out)?;
    }
    away.map_or(Ok(()), |error| Err(error).context("the catalog, which says who owns what"))
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
    let standing = seen.standing.as_ref().map(|all| all.get(&shard).cloned().unwrap_or_default());
    let depth = seen.depths.get(&shard).copied().unwrap_or_default();
    let why = seen.why(shard, standing.as_ref(), depth);
    let incomplete = standing.as_ref().map(|_| seen.incomplete.get(&shard).copied().unwrap_or_default());
    let standing = standing.unwrap_or_default();
    // Where nothing waits the age of the last event says nothing.
    let time_us = standing.time_us.filter(|_| depth.waiting != Some(0));
    let lag = time_us.map(|time_us| (seen.now_us - time_us).max(0) as f64 / 1e6);
    let owner = standing.row.owner.as_ref().map(WorkerId::to_string);
    let (slice, partition) = (slices.name(shard), shard.partition);
    if json {
        let line = serde_json::json!({
            "slice": slice, "partition": partition, "owner": owner, "planned": seen.plan.owner(shard).map(WorkerId::to_string),
            "epoch": standing.row.epoch, "position": standing.row.position, "sinks": standing.sinks,
            "waiting": depth.waiting, "lag_seconds": lag, "incomplete": incomplete, "why": why,
        });
        return Ok(writeln!(out, "{line}")?);
    }
    let owner = owner.unwrap_or_else(|| "-".to_owned());
    let count = |count: Option<u64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let lag = lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s"));
    let (epoch, why) = (standing.row.epoch, why.unwrap_or_default());
    Ok(row([&slice, &partition, &owner, &epoch, &count(depth.waiting), &lag, &count(incomplete), &why], out)?)
}

fn row(columns: [&dyn Display; 8], out: &mut impl Write) -> std::io::Result<()> {
    let [slice, shard, owner, epoch, waiting, lag, incomplete, why] = columns;
    writeln!(out, "{slice:<20} {shard:>5}  {owner:<28} {epoch:>6} {waiting:>10} {lag:>9} {incomplete:>10}  {why}")
}

impl Seen {
    fn age(&self, beat: &Heartbeat) -> f64 {
        (self.now_us - beat.at_us).max(0) as f64 / 1e6
    }
}
