//! The commands: what each prints, and how it ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the edge to the terminal")]

use crate::cli::{Check, Page, Run};
use crate::pipeline::{self, Role};
use anyhow::Context;
use std::path::Path;
use std::process::ExitCode;
use turbo_crds::TurboPipeline;

/// `turbo run`, `turbo ingest`, `turbo work`.
pub fn run(options: &Run, role: Role) -> anyhow::Result<()> {
    let manifest = load(&options.file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(pipeline::run(manifest, role, options));
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

fn load(path: &Path) -> anyhow::Result<TurboPipeline> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: can not be read", path.display()))?;
    turbo_crds::load(&text).map_err(|problems: turbo_crds::Problems| anyhow::anyhow!("{}:\n{problems}", path.display()))
}
