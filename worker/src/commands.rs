//! The commands: what each prints, and how it ends.
#![allow(clippy::print_stderr, reason = "this is the edge to the terminal")]

pub mod dlq;
pub mod segments;
pub mod shards;
mod terminal;

use crate::cli::{self, Check, Dlq, DlqAction, Listing, Page, Run, Segments, Which};
use crate::pipeline::{self, Looked, Role};
use crate::sinks::postgres::Filter;
use anyhow::Context;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use terminal::Terminal;
use turbo_core::shard::Slices;
use turbo_crds::TurboPipeline;

/// `turbo run`, `turbo ingest`, `turbo work`.
pub fn run(options: &Run, role: Role) -> anyhow::Result<()> {
    let manifest = load(&options.file)?;
    block_on(pipeline::run(manifest, role, options))
}

/// `turbo shards`.
pub fn shards(options: &Listing) -> anyhow::Result<()> {
    block_on(async {
        let looked = Looked::open(&options.looked)?;
        let (database, log) = (looked.database().await?, looked.log().await?);
        shards::list(&database, &log, &looked.slices, options.json, &mut Terminal::new()).await
    })
}

/// `turbo dlq`.
pub fn dlq(options: Dlq) -> anyhow::Result<()> {
    block_on(async {
        let file = options.file.context("--file: is missing; give the pipeline file, a TurboPipeline manifest")?;
        let looked = Looked::open(&cli::Looked { file, secrets: options.secrets })?;
        let filter = |which| filter(which, &looked.slices);
        let (database, out) = (looked.database().await?, &mut Terminal::new());
        match options.action {
            DlqAction::List { which, limit, json } => {
                dlq::list(&database, &dlq::List { filter: filter(which)?, limit, json }, out).await
            }
            DlqAction::Show { id, out: file, json } => {
                dlq::show(&database, &dlq::Show { id, out: file, json }, out).await
            }
            DlqAction::Redrive { which, yes } => {
                dlq::redrive(&database, &dlq::Redrive { filter: filter(which)?, yes }, out).await
            }
            DlqAction::Drop { which, yes } => {
                dlq::drop(&database, &dlq::Drop { filter: filter(which)?, yes }, out).await
            }
        }
    })
}

fn filter(which: Which, slices: &Slices) -> anyhow::Result<Filter> {
    let Which { ids, reason, slice, did, older, younger } = which;
    if let Some(slice) = slice.as_deref().filter(|slice| slices.list().iter().all(|one| one.name != *slice)) {
        let names: Vec<&str> = slices.list().iter().map(|slice| &*slice.name).collect();
        anyhow::bail!("--slice: there is no slice {slice}; give one of {}", names.join(", "));
    }
    Ok(Filter { ids, reason, slice, did, older, younger })
}

/// `turbo segments`.
pub fn segments(options: &Segments) -> anyhow::Result<()> {
    block_on(async {
        let looked = Looked::open(&options.looked)?;
        let ask = segments::Ask { verify: options.verify, json: options.json };
        segments::list(&looked.database().await?, &looked.store()?, ask, &mut Terminal::new()).await
    })
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(work);
    // Tasks have ended by now; a blocking call that has not is not waited for.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// `turbo check`.
pub fn check(options: &Check) -> anyhow::Result<()> {
    let manifest = load(&options.file)?;
    for warning in manifest.spec.warnings() {
        eprintln!("warning: {warning}");
    }
    let problems = if options.cluster { manifest.spec.not_for_clusters() } else { Vec::new() };
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::bail!("{}: not for clusters:\n{}", options.file.display(), lines.join("\n"));
    }
    let name = manifest.metadata.name.unwrap_or_default();
    Ok(writeln!(Terminal::new(), "{}: {name} is a valid pipeline", options.file.display())?)
}

/// `turbo schema`.
pub fn schema() -> anyhow::Result<()> {
    Ok(write!(Terminal::new(), "{}", turbo_crds::crd_yaml()?)?)
}

/// `turbo reference`.
pub fn reference(page: Page) -> anyhow::Result<()> {
    let text = match page {
        Page::Metrics => crate::telemetry::metrics::reference(),
        Page::PipelineFile => crate::reference::pipeline_file()?,
    };
    Ok(write!(Terminal::new(), "{text}")?)
}

/// Says what went wrong, cause by cause; a cause that the text before it holds already is not said again. That nobody reads
/// the output any more is nothing wrong.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    if terminal::is_unread(error) {
        return ExitCode::SUCCESS;
    }
    let text = error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") });
    eprintln!("turbo: {}", text.unwrap_or_default());
    ExitCode::FAILURE
}

pub(crate) fn load(path: &Path) -> anyhow::Result<TurboPipeline> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: can not be read; give the path of a pipeline file with -f", path.display()))?;
    turbo_crds::load(&text).map_err(|problems: turbo_crds::Problems| anyhow::anyhow!("{}:\n{problems}", path.display()))
}
