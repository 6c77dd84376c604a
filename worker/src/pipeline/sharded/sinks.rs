//! The sinks beside the database, as the pipeline file names them.

use super::open::{Opened, Setting};
use crate::live::Live;
use crate::pipeline::store;
use crate::sinks::archive::{Format, sharded};
use crate::sinks::enriched;
use crate::sinks::feed::SinkHandle;
use anyhow::Context;
use turbo_crds::{Archive, ArchiveFormat, TurboPipelineSpec};

/// Where a worker keeps the open segments of the archive.
const BUFFER: &str = "TURBO_BUFFER";

/// The tables with typed columns that the file names.
pub(in crate::pipeline) fn projections(spec: &TurboPipelineSpec) -> Vec<String> {
    let postgres = spec.sinks.postgres.iter();
    postgres.flat_map(|postgres| &postgres.projections).map(|one| one.table().to_owned()).collect()
}

/// Starts them. What can not work is refused here.
///
/// # Errors
/// A store or a stream can not be used.
pub(super) async fn start(setting: &Setting, opened: &Opened, live: &Live) -> anyhow::Result<Vec<SinkHandle>> {
    let mut sinks = Vec::new();
    if let Some(archive) = &setting.spec.sinks.archive {
        let store = store::archive(archive, &setting.name, setting.secrets.as_deref())?;
        let away = |error: &_| tracing::warn!("waiting for the archive's store: {error}");
        store.probed(away).await.context("spec.sinks.archive")?;
        let options = options(archive, setting, opened);
        sinks.push(sharded::spawn(options, opened.database.clone(), setting.slices.clone(), store)?);
    }
    if let Some(enriched) = &setting.spec.sinks.enriched {
        let replicas = setting.spec.log.as_ref().and_then(|log| log.nats.as_ref()).map_or(1, |n| n.stream.replicas);
        let options = enriched::Options {
            max_bytes: enriched.nats.max_bytes.bytes(),
            max_age: enriched.nats.max_age.map(|age| age.as_std()),
            replicas: usize::from(replicas),
        };
        let database = opened.database.clone();
        sinks.push(enriched::spawn(&options, &opened.log, database, setting.slices.clone()).await?);
    }
    for sink in &sinks {
        live.beside(sink.name, sink.report.clone());
    }
    Ok(sinks)
}

fn options(archive: &Archive, setting: &Setting, opened: &Opened) -> sharded::Options {
    let folder = std::env::var_os(BUFFER).map_or_else(std::env::temp_dir, Into::into);
    let format = match archive.format {
        ArchiveFormat::Parquet => Format::Parquet,
        ArchiveFormat::Jsonl => Format::Jsonl,
    };
    sharded::Options {
        format,
        // A fifth is left for objects that are being made.
        buffer_bytes: setting.spec.workers().buffer.bytes() / 5 * 4,
        roll_size: archive.roll.size.bytes(),
        roll_age: archive.roll.age.as_std(),
        ..sharded::Options::new(folder.join(format!("turbo-{}", opened.me)))
    }
}
