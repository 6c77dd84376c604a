//! The oracle: the sharded data plane under a seeded schedule of faults, and the truth to compare with in the end.
//!
//! `cargo test` runs the short version; `make oracle SEED=… EVENTS=…` the long one. `docs/oracle.md` says more.
//!
//! Its own parts are checked first: a comparison that finds nothing has to be one that would find it.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a terminal")]

mod act;
mod checks;
mod crew;
mod fetch;
mod hands;
mod judge;
mod manifest;
mod order;
mod process;
mod progress;
mod proxy;
mod run;
mod schedule;
mod settings;
mod slices;
mod stage;
mod truth;
mod verdict;
mod watch;

use crew::Crew;
use manifest::{ARCHIVE, DRAIN, LEASE};
use progress::Progress;
use run::{End, Run};
use schedule::{Step, There};
use settings::Settings;
use stage::Stage;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use truth::Truth;
use verdict::Verdict;
use watch::Watch;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    match asked() {
        Asked::List => println!("oracle: test"),
        Asked::Nothing => {}
        Asked::Run => return oracle(),
    }
    ExitCode::SUCCESS
}

/// What `cargo test` asks a test binary for.
enum Asked {
    Run,
    List,
    /// Other tests.
    Nothing,
}

fn asked() -> Asked {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        Asked::List
    } else if filters.is_empty() || filters.iter().any(|filter| "oracle".contains(filter.as_str())) {
        Asked::Run
    } else {
        Asked::Nothing
    }
}

fn oracle() -> ExitCode {
    let settings = match Settings::read(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    checks::all();
    eprintln!("{settings}");
    match tried(&settings) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(verdict)) => {
            println!("{verdict}");
            if verdict.is_right() {
                return ExitCode::SUCCESS;
            }
            eprintln!("run it again: {settings}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the run did not come to its end: {error}\nrun it again: {settings}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it. `None` where a server is not installed.
fn tried(settings: &Settings) -> Result<Option<Verdict>, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let there =
        There { workers: settings.workers, hosts: stage::HOSTS, s3: ARCHIVE, appview: settings.hydrate, lease: LEASE };
    let steps = schedule::plan(settings.seed, settings.events, settings.faults, settings.is_long(), &there);
    steps.iter().for_each(|step| eprintln!("  {step}"));
    let Some(stage) = Stage::start(settings, runtime.handle())? else { return Ok(None) };
    let mut folder = TempDir::with_prefix("turbo-oracle-")?;
    eprintln!("logs of the processes are in {}", folder.path().display());
    let launch = manifest::write(folder.path(), &stage.addresses(settings))?;
    let mut crew = Crew::new(launch, DRAIN, settings.workers, settings.workers.div_ceil(2));
    let outcome = run(settings, &steps, &Arc::new(stage), &runtime, folder.path(), &mut crew);
    let right = outcome.as_ref().is_ok_and(Verdict::is_right);
    if !right {
        crew.told.odd.iter().rev().take(3).for_each(|odd| eprintln!("{odd}"));
        eprintln!("the logs stay in {}", folder.path().display());
    }
    folder.disable_cleanup(!right || settings.keep);
    outcome.map(Some)
}

/// Runs the schedule to its end, and compares.
fn run(
    settings: &Settings,
    steps: &[Step],
    stage: &Arc<Stage>,
    runtime: &Runtime,
    folder: &Path,
    crew: &mut Crew,
) -> Result<Verdict, Failure> {
    let (world, events) = (stage.world.clone(), settings.events);
    let truth = std::thread::spawn(move || Truth::of(&world, events));
    let watch = Watch::start(runtime.handle(), stage.database(), stage.nats.urls(), Stage::stream());
    let mut progress = Progress::new(events);
    let end = Run::new(stage.clone(), crew, &watch, &mut progress, events, steps).go_on();
    if !matches!(end, Ok(End::Settled)) {
        eprint!("{}", crew.testimony());
    }
    let end = end?;
    dismiss(crew)?;
    progress.say("everybody has left; comparing with the truth");
    let truth = truth.join().map_err(|_| "the truth can not be made")?;
    let mut verdict = verdict::reach(runtime, stage, folder, &truth, &crew.told.left)?;
    verdict.hydrated(runtime, stage, settings.hydrate)?;
    progress.end();
    verdict.stuck = end == End::Stuck;
    verdict.odd = std::mem::take(&mut crew.told.odd);
    verdict.overdue = std::mem::take(&mut crew.told.overdue);
    drop(watch);
    if verdict.is_right() && !settings.is_long() {
        checks::planted(runtime.handle(), stage, &folder.join("archive"), &truth);
    }
    Ok(verdict)
}

/// Lets everybody leave in good order.
fn dismiss(crew: &mut Crew) -> std::io::Result<()> {
    crew.leave();
    let began = Instant::now();
    // One that does not leave is killed by the crew itself.
    while !crew.is_gone() && began.elapsed() < Duration::from_secs(300) {
        crew.tend()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
