//! The commands: what each prints, and how it ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the edge to the terminal")]

pub mod dlq;
pub mod segments;
pub mod shards;

use crate::cli::{Check, Dlq, DlqAction, Listing, Page, Run, Segments, Which};
use crate::pipeline::{self, Looked, Role};
use crate::sinks::postgres::Filter;
use anyhow::Context;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;
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
        let (database, log) = (looked.database()?, looked.log().await?);
        shards::list(&database, &log, &looked.slices, options.json, &mut std::io::stdout()).await
    })
}

/// `turbo dlq`.
pub fn dlq(options: Dlq) -> anyhow::Result<()> {
    block_on(async {
        let database = Looked::open(&options.looked)?.database()?;
        let out = &mut std::io::stdout();
        match options.action {
            DlqAction::List { which, limit, json } => {
                dlq::list(&database, &dlq::List { filter: filter(which), limit, json }, out).await
            }
            DlqAction::Show { id, out: file, json } => {
                dlq::show(&database, &dlq::Show { id, out: file, json }, out).await
            }
            DlqAction::Redrive { which } => dlq::redrive(&database, &dlq::Redrive { filter: filter(which) }, out).await,
            DlqAction::Drop { which, yes } => {
                dlq::drop(&database, &dlq::Drop { filter: filter(which), yes }, out).await
            }
        }
    })
}

fn filter(which: Which) -> Filter {
    let Which { ids, reason, slice, did, older, younger } = which;
    Filter { ids, reason, slice, did, older, younger }
}

/// `turbo segments`.
pub fn segments(options: &Segments) -> anyhow::Result<()> {
    block_on(async {
        let looked = Looked::open(&options.looked)?;
        let ask = segments::Ask { verify: options.verify, json: options.json };
        segments::list(&looked.database()?, &looked.store()?, ask, &mut std::io::stdout()).await
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
    println!("{}: {} is a valid pipeline", options.file.display(), manifest.metadata.name.unwrap_or_default());
    Ok(())
}

/// `turbo schema`.
pub fn schema() -> anyhow::Result<()> {
    print!("{}", turbo_crds::crd_yaml()?);
    Ok(())
}

/// `turbo reference`.
pub fn reference(page: Page) -> anyhow::Result<()> {
    match page {
        Page::Metrics => print!("{}", crate::telemetry::metrics::reference()),
        Page::PipelineFile => print!("{}", crate::reference::pipeline_file()?),
    }
    Ok(())
}

/// Says what went wrong, cause by cause; a cause that the text before it holds already is not said again.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let text = error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") });
    eprintln!("turbo: {}", text.unwrap_or_default());
    ExitCode::FAILURE
}

pub(crate) fn load(path: &Path) -> anyhow::Result<TurboPipeline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: can not be read", path.display()))?;
    turbo_crds::load(&text).map_err(|problems: turbo_crds::Problems| anyhow::anyhow!("{}:\n{problems}", path.display()))
}
