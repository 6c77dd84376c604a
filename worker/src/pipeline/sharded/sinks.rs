//! The sinks beside the database, as the pipeline file names them.

use super::open::{Opened, Setting};
use super::patience::{START, patiently};
use crate::live::Live;
use crate::pipeline::store;
use crate::sinks::archive::{Format, sharded};
use crate::sinks::enriched;
use crate::sinks::feed::SinkHandle;
use anyhow::Context;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_core::backoff::Backoff;
use turbo_crds::{Archive, ArchiveFormat, TurboPipelineSpec};

/// Where workers keep the open segments of the archive: each in a folder of its own in it.
const BUFFER: &str = "TURBO_BUFFER";

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// The tables with typed columns that the file names.
pub(in crate::pipeline) fn projections(spec: &TurboPipelineSpec) -> Vec<String> {
    let postgres = spec.sinks.postgres.iter();
    postgres.flat_map(|postgres| &postgres.projections).map(|one| one.table().to_owned()).collect()
}

/// Starts them. What can not work is refused here; servers that are away are waited for. `None`: the token fired first.
///
/// # Errors
/// A store or a stream can not be used.
pub(super) async fn start(
    setting: &Setting,
    opened: &Opened,
    live: &Live,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Vec<SinkHandle>>> {
    let mut sinks = Vec::new();
    if let Some(archive) = &setting.spec.sinks.archive {
        let store = store::archive(archive, &setting.namespace, &setting.name, setting.secrets.as_deref())?;
        let options = options(archive, setting);
        let (database, slices) = (opened.database.clone(), setting.slices.clone());
        let archive = sharded::Archive::open(options, database, slices, store, Arc::new(opened.log.clone()))?;
        let is_prepared = prepared(&archive, live, stop).await.context("spec.sinks.archive")?;
        sinks.push(archive.start(is_prepared));
    }
    if let Some(enriched) = &setting.spec.sinks.enriched {
        let options = enriched::Options {
            max_bytes: enriched.nats.max_bytes.bytes(),
            max_age: enriched.nats.max_age.map(|age| age.as_std()),
            replicas: setting.replicas(),
        };
        let spawned = patiently(live, "NATS", async || {
            let (database, slices) = (opened.database.clone(), setting.slices.clone());
            Ok(enriched::spawn(&options, &opened.log, database, slices).await?)
        });
        tokio::select! {
            spawned = spawned => sinks.push(spawned?),
            () = stop.cancelled() => return Ok(None),
        }
    }
    for sink in &sinks {
        live.beside(sink.name, sink.report.clone());
    }
    Ok(Some(sinks))
}

/// Waits a while for a store that is away. False: it is still away, or the token has fired; the archive goes on asking, and
/// the worker need not wait for it.
///
/// # Errors
/// The store can not be used as it is.
async fn prepared(
    archive: &sharded::Archive,
    live: &Live,
    stop: &CancellationToken,
) -> Result<bool, sharded::Unprepared> {
    let prepare = async {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match archive.prepare().await {
                Err(error) if error.is_outage() => {
                    tracing::warn!("waiting for the archive's store: {error}");
                    live.starting(Some(format!("the archive's store: {error}")));
                }
                outcome => return outcome.map(|()| true),
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    };
    let outcome = tokio::select! {
        outcome = prepare => outcome,
        () = tokio::time::sleep(START) => Ok(false),
        () = stop.cancelled() => Ok(false),
    };
    live.starting(None);
    outcome
}

fn options(archive: &Archive, setting: &Setting) -> sharded::Options {
    let folder = std::env::var_os(BUFFER).map_or_else(std::env::temp_dir, Into::into);
    let format = match archive.format {
        ArchiveFormat::Parquet => Format::Parquet,
        ArchiveFormat::Jsonl => Format::Jsonl,
    };
    sharded::Options {
        format,
        buffer_of: Some(format!("turbo-{}-{}", setting.namespace, setting.name)),
        buffer_bytes: setting.spec.workers.buffer.bytes(),
        roll_size: archive.roll.size.bytes(),
        roll_age: archive.roll.age.as_std(),
        ..sharded::Options::new(folder)
    }
}
