//! A pipeline in this process, or this process's part of one: parse, open, start, wait, drain.

mod embedded;
mod hydration;
mod looked;
mod sharded;
mod source;
mod store;

pub(crate) use looked::Looked;

use crate::cli::Run;
use crate::http;
use crate::signals;
use crate::telemetry::metrics;
use crate::telemetry::trace::{self, Tracing};
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::{Slice, Slices};
use turbo_crds::{TurboPipeline, TurboPipelineSpec};

/// How long the last spans may take to be sent.
const LAST_SPANS: Duration = Duration::from_secs(2);

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

    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Ingest => "ingest",
            Self::Work => "work",
        }
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
    let tracing = begun.trace(role)?;
    let shared = begun.spec.log.as_ref().is_some_and(|log| log.nats.is_some());
    let outcome = match role {
        _ if shared => sharded::run(begun, role).await,
        Role::Run => embedded::run(begun).await,
        Role::Ingest | Role::Work => anyhow::bail!(
            "spec.log.nats: is missing, so the pipeline is one process; run it with `turbo run`, or give log.nats and \
             sinks.postgres"
        ),
    };
    if let Some(tracing) = tracing {
        tracing.shutdown(LAST_SPANS).await;
    }
    outcome
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

    /// Begins to trace, where the file says so.
    fn trace(&self, role: Role) -> anyhow::Result<Option<Tracing>> {
        let Some(tracing) = &self.spec.tracing else { return Ok(None) };
        let options = trace::Options {
            endpoint: tracing.endpoint.clone(),
            sample: tracing.sample,
            service: format!("turbo-{}", role.name()),
            pipeline: format!("{}/{}", self.namespace, self.name),
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| std::process::id().to_string()),
        };
        Ok(Some(trace::install(&options)?))
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
