//! `turbo segments`: the objects of the archive, as the catalog has them; with `--verify` as the store has them too.

use crate::sinks::archive::Store;
use crate::sinks::archive::verify::{Error, verify};
use crate::sinks::postgres::{Database, Segment};
use anyhow::Context;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Segments that are asked for at once.
const PAGE: u32 = 500;
/// How often a process without a terminal says how far it is.
const SAY: Duration = Duration::from_secs(10);

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask {
    /// Whether every committed object is read back.
    pub verify: bool,
    /// Whether lines of JSON are written instead of a table.
    pub json: bool,
}

/// Lists the segments.
///
/// # Errors
/// The catalog or the store do not answer, or what was read back is not what was committed: then every problem is in the
/// output, and the error says how many there are.
pub async fn list(database: &Database, store: &Store, ask: Ask, out: &mut impl Write) -> anyhow::Result<()> {
    let mut listing = Listing { store, ask, scratch: Scratch::new()?, progress: Progress::new(database, ask).await? };
    let (mut totals, mut problems, mut after, mut before) = (Totals::default(), 0u64, None, None::<Segment>);
    loop {
        let page = database.segments(after.as_ref(), PAGE).await.context("the catalog")?;
        if after.is_none() && !ask.json {
            let header = ["STATE", "SHARD", "EPOCH", "FIRST", "LAST", "ROWS", "BYTES"];
            writeln!(out, "{}", table(header, "CHECKSUM", "SINCE", "OBJECT"))?;
        }
        for segment in &page {
            before = before.filter(|before| is_same_shard(before, segment));
            let problem = listing.problem_of(segment, before.as_ref()).await?;
            problems += u64::from(problem.is_some());
            totals.add(segment);
            listing.progress.suspend(|| line(ask, segment, problem.as_deref(), out))?;
            let further = |before: &Segment| before.object.last_seq < segment.object.last_seq;
            if segment.state == "committed" && before.as_ref().is_none_or(further) {
                before = Some(segment.clone());
            }
        }
        after = page.last().cloned();
        if after.is_none() {
            break;
        }
    }
    listing.progress.clear();
    if !ask.json {
        writeln!(out, "{}", totals.sentence(ask.verify, problems))?;
    }
    anyhow::ensure!(problems == 0, "{problems} committed segments are not what the catalog says");
    Ok(())
}

struct Listing<'a> {
    store: &'a Store,
    ask: Ask,
    scratch: Scratch,
    progress: Progress,
}

impl Listing<'_> {
    async fn problem_of(&mut self, segment: &Segment, before: Option<&Segment>) -> anyhow::Result<Option<String>> {
        if !self.ask.verify || segment.state != "committed" {
            return Ok(None);
        }
        let looked = verify(self.store, segment, before, &self.scratch.object()).await;
        let problem = match looked {
            Ok(problem) => problem.map(|problem| problem.to_string()),
            // One object that the store does not give says nothing about the others.
            Err(Error::Store(error)) if !error.is_outage() => Some(format!("it could not be read: {error}")),
            Err(error) => return Err(error).with_context(|| self.store.address(&segment.object.path)),
        };
        self.progress.verified(segment.object.bytes);
        Ok(problem)
    }
}

fn is_same_shard(one: &Segment, other: &Segment) -> bool {
    one.of.slice == other.of.slice && one.of.partition == other.of.partition
}

fn line(ask: Ask, segment: &Segment, problem: Option<&str>, out: &mut impl Write) -> io::Result<()> {
    let Segment { of, object, state, .. } = segment;
    let since = jiff::Timestamp::from_microsecond(segment.changed_us).unwrap_or_default();
    if ask.json {
        let mut line = serde_json::json!({
            "state": state, "slice": of.slice, "partition": of.partition, "epoch": of.epoch,
            "first_seq": object.first_seq, "last_seq": object.last_seq, "rows": object.rows, "bytes": object.bytes,
            "checksum": object.checksum, "since": since.to_string(), "path": object.path,
        });
        if ask.verify && state == "committed" {
            line["problem"] = problem.into();
        }
        return writeln!(out, "{line}");
    }
    let shard = format!("{}/{}", of.slice, of.partition);
    let numbers = [of.epoch, object.first_seq, object.last_seq, object.rows, object.bytes].map(|n| n.to_string());
    let [epoch, first, last, rows, bytes] = &numbers;
    let since = since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    writeln!(
        out,
        "{}",
        table([state, &shard, epoch, first, last, rows, bytes], &object.checksum, &since, &object.path)
    )?;
    problem.map_or(Ok(()), |problem| writeln!(out, "  WRONG: {problem}"))
}

fn table(
    [state, shard, epoch, first, last, rows, bytes]: [&str; 7],
    checksum: &str,
    since: &str,
    path: &str,
) -> String {
    format!(
        "{state:<9}  {shard:<16}  {epoch:>6}  {first:>12}  {last:>12}  {rows:>9}  {bytes:>11}  {checksum:<21}  {since:<20}  {path}"
    )
}

/// Segments, rows and bytes, by state.
#[derive(Default)]
struct Totals(BTreeMap<String, [u64; 3]>);

impl Totals {
    fn add(&mut self, segment: &Segment) {
        let totals = self.0.entry(segment.state.clone()).or_default();
        totals.iter_mut().zip([1, segment.object.rows, segment.object.bytes]).for_each(|(total, more)| *total += more);
    }

    fn sentence(&self, verified: bool, problems: u64) -> String {
        let of = |state: &str| self.0.get(state).copied().unwrap_or_default();
        let ([committed, rows, bytes], [open, ..], [burnt, ..]) = (of("committed"), of("intent"), of("burnt"));
        let verified = match (verified, problems) {
            (false, _) => String::new(),
            (true, 0) => "; all of them read back as committed".to_owned(),
            (true, problems) => format!("; {problems} of them are WRONG"),
        };
        let bytes = HumanBytes(bytes);
        format!("total: {committed} committed, {rows} rows, {bytes}{verified}; {open} on their way, {burnt} burnt")
    }
}

/// A folder for the object that is looked at; it goes with the listing.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("turbo-segments-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder).with_context(|| format!("{}: can not be made", folder.display()))?;
        Ok(Self(folder))
    }

    fn object(&self) -> PathBuf {
        self.0.join("object")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How far the reading is: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    segments: u64,
    said: Instant,
}

impl Progress {
    async fn new(database: &Database, ask: Ask) -> anyhow::Result<Self> {
        let shown = ask.verify && io::stderr().is_terminal();
        let (segments, bytes) =
            if ask.verify { database.committed_segments().await.context("the catalog")? } else { (0, 0) };
        let bar = if shown { ProgressBar::new(bytes) } else { ProgressBar::hidden() };
        bar.set_length(bytes);
        let template = "{wide_bar} {bytes}/{total_bytes}  {eta:>4} left";
        let bar =
            bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self { bar, segments, said: Instant::now() })
    }

    fn verified(&mut self, bytes: u64) {
        self.bar.inc(bytes);
        if self.bar.is_hidden() && self.said.elapsed() >= SAY {
            self.said = Instant::now();
            let (done, all) = (HumanBytes(self.bar.position()), HumanBytes(self.bar.length().unwrap_or_default()));
            tracing::info!("{done} of {all} in {} segments read back", self.segments);
        }
    }

    fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
