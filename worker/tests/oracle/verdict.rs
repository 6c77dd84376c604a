//! What a run came to, sink by sink.

use crate::Failure;
use crate::judge::{self, compare_all};
use crate::manifest::{ARCHIVE, ENRICHED};
use crate::order::Wrong;
use crate::stage::Stage;
use crate::{fetch, truth::Truth};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tokio::runtime::Runtime;

/// Processes that ended by themselves and are told.
const ODD: usize = 10;

/// What is wrong in each sink.
#[derive(Debug, Default)]
pub struct Verdict {
    pub events: u64,
    pub sinks: Vec<(&'static str, Wrong)>,
    /// Calls beyond the budget, as the AppView counted, where records were hydrated.
    pub over_budget: Option<u64>,
    /// The run did not come to its end.
    pub stuck: bool,
    /// Where a process panicked, be it in a task that it outlived.
    pub panics: Vec<String>,
    /// Processes that did not stop within their drain.
    pub overdue: Vec<String>,
    /// Processes that ended though nobody told them to, or not as they were told.
    pub odd: Vec<String>,
}

impl Verdict {
    /// Looks at what was looked up, where it was.
    ///
    /// # Errors
    /// A sink that can not be read.
    pub fn hydrated(&mut self, runtime: &Runtime, stage: &Stage, hydrate: bool) -> Result<(), Failure> {
        if !hydrate {
            return Ok(());
        }
        self.over_budget = Some(stage.network.appview_stats().over);
        let mut wrong = Wrong::default();
        runtime.block_on(async {
            let versions = judge::hydrated::versions(stage.nats.urls()).await?;
            let mut connection = PgConnection::connect(&stage.database()).await?;
            judge::hydrated::completed(&mut connection, &versions, &mut wrong).await?;
            judge::hydrated::published(stage.nats.urls(), &versions, &mut wrong).await
        })?;
        self.sinks.push(("hydrated", wrong));
        Ok(())
    }

    /// Whether all of it is as it should be.
    pub fn is_right(&self) -> bool {
        !self.stuck
            && self.over_budget.is_none_or(|over| over == 0)
            && self.panics.is_empty()
            && self.overdue.is_empty()
            && self.sinks.iter().all(|(_, wrong)| wrong.is_nothing())
    }
}

/// Compares every sink with the truth, side by side. `left` are the processes that left in good order.
///
/// # Errors
/// A sink that can not be read.
pub fn reach(
    runtime: &Runtime,
    stage: &Stage,
    folder: &Path,
    truth: &Truth,
    left: &BTreeSet<String>,
) -> Result<Verdict, Failure> {
    let mut sinks = Vec::new();
    std::thread::scope(|scope| {
        let postgres = scope.spawn(|| runtime.block_on(judge::postgres(&stage.database(), truth, left)));
        let archive = ARCHIVE.then(|| scope.spawn(|| archive(runtime, stage, folder, truth)));
        let enriched = ENRICHED.then(|| scope.spawn(|| enriched(runtime, stage, truth)));
        for (name, sink) in [("Postgres", Some(postgres)), ("archive", archive), ("enriched", enriched)] {
            let Some(sink) = sink else { continue };
            let wrong = sink.join().map_err(|_| format!("{name}: the comparison has panicked"))?;
            sinks.push((name, wrong.map_err(|error| format!("{name}: {error}"))?));
        }
        Ok::<(), Failure>(())
    })?;
    Ok(Verdict { events: truth.events, sinks, panics: panics(folder)?, ..Verdict::default() })
}

/// Lines of the logs that tell of a panic, each with the one behind it.
fn panics(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let mut lines = BufReader::new(File::open(&path)?).lines().map_while(Result::ok);
        while let Some(line) = lines.next() {
            if line.contains("panicked at") {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                found.push(format!("{name}: {line} {}", lines.next().unwrap_or_default()));
            }
        }
    }
    Ok(found)
}

fn archive(runtime: &Runtime, stage: &Stage, folder: &Path, truth: &Truth) -> Result<Wrong, Failure> {
    let mut wrong = Wrong::default();
    let folder = folder.join("archive");
    if let Some(s3) = &stage.s3 {
        runtime.block_on(fetch::objects(s3, &folder))?;
    }
    compare_all(truth, judge::archive(&folder, &mut wrong)?, &mut wrong);
    Ok(wrong)
}

fn enriched(runtime: &Runtime, stage: &Stage, truth: &Truth) -> Result<Wrong, Failure> {
    let mut wrong = Wrong::default();
    let events = runtime.block_on(judge::enriched(stage.nats.urls(), &mut wrong))?;
    compare_all(truth, events, &mut wrong);
    Ok(wrong)
}

impl fmt::Display for Verdict {
    /// The last line is the outcome.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for odd in self.odd.iter().take(ODD) {
            writeln!(f, "{odd}")?;
        }
        if self.odd.len() > ODD {
            writeln!(f, "… and {} more that ended by themselves", self.odd.len() - ODD)?;
        }
        self.overdue.iter().take(ODD).try_for_each(|late| writeln!(f, "{late}"))?;
        self.panics.iter().take(ODD).try_for_each(|panic| writeln!(f, "a panic: {panic}"))?;
        for (sink, wrong) in &self.sinks {
            wrong.examples.iter().try_for_each(|example| writeln!(f, "{sink}: {example}"))?;
            let Wrong { lost, duplicated, out_of_order, different, stale, .. } = wrong;
            writeln!(
                f,
                "{sink}: {lost} lost, {duplicated} duplicated, {out_of_order} out of order, {different} different, {stale} stale"
            )?;
        }
        let mut all = Wrong::default();
        self.sinks.iter().for_each(|(_, wrong)| all.add(wrong.clone()));
        if self.stuck {
            writeln!(f, "not all was committed, and nothing moved any more")?;
        }
        if all.different > 0 {
            writeln!(f, "{} rows are not as the truth has them", all.different)?;
        }
        let Wrong { lost, duplicated, out_of_order, stale, .. } = all;
        write!(f, "{} events: {lost} lost, {duplicated} duplicated, {out_of_order} out of order", self.events)?;
        self.over_budget.map_or(Ok(()), |over| write!(f, ", {stale} stale, {over} over budget"))
    }
}
