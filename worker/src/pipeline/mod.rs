//! A pipeline in this process, or this process's part of one: parse, open, start, wait, drain.

mod embedded;
mod looked;
mod sharded;
mod source;

pub(crate) use looked::Looked;

use crate::cli::Run;
use crate::http;
use crate::signals;
use crate::telemetry::metrics;
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::{Slice, Slices};
use turbo_crds::{TurboPipeline, TurboPipelineSpec};

/// What a process does for its pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Run,
    /// Reads the source, or stands by.
    Ingest,
    /// Owns shards.
    Work,
}

impl Role {
    fn reads(self) -> bool {
        self != Self::Work
    }

    fn works(self) -> bool {
        self != Self::Ingest
    }
}

/// What every role begins with. What can be refused without a server is opened here.
struct Begun {
    name: String,
    namespace: String,
    /// Grows with each edit of the resource on a cluster.
    generation: Option<i64>,
    spec: TurboPipelineSpec,
    slices: Arc<Slices>,
    secrets: Option<PathBuf>,
    stop: CancellationToken,
    metrics: PrometheusHandle,
    port: http::Port,
}

/// Runs a pipeline until its source has ended or a signal comes; then everything read is committed.
///
/// # Errors
/// A part can not be set up, or another process takes the pipeline over.
pub async fn run(manifest: TurboPipeline, role: Role, options: &Run) -> anyhow::Result<()> {
    let begun = Begun::new(manifest, options)?;
    let shared = begun.spec.log.as_ref().is_some_and(|log| log.nats.is_some());
    match role {
        _ if shared => sharded::run(begun, role).await,
        Role::Run => embedded::run(begun).await,
        Role::Ingest | Role::Work => anyhow::bail!(
            "spec.log.nats: is missing, so the pipeline is one process; run it with `turbo run`, or give log.nats and \
             sinks.postgres"
        ),
    }
}

impl Begun {
    fn new(manifest: TurboPipeline, options: &Run) -> anyhow::Result<Self> {
        let TurboPipeline { metadata, spec, .. } = manifest;
        spec.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self {
            name: metadata.name.context("metadata.name: is missing")?,
            namespace: metadata.namespace.unwrap_or_else(|| "default".to_owned()),
            generation: metadata.generation,
            slices: Arc::new(slices(&spec)?),
            spec,
            secrets: options.secrets.clone(),
            stop: signals::listen().context("signals can not be listened to")?,
            metrics: metrics::install()?,
            port: http::Port::bind(options.listen)?,
        })
    }
}

fn slices(spec: &TurboPipelineSpec) -> anyhow::Result<Slices> {
    let slice = |slice: &turbo_crds::Slice| Slice {
        name: slice.name.clone(),
        collections: slice.collections.clone(),
        partitions: slice.partitions,
    };
    Slices::new(spec.slices.iter().map(slice).collect()).context("spec.slices")
}
