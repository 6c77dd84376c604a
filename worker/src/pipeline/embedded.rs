//! A whole pipeline in one process: parse, claim, start, wait, drain.

use super::Begun;
use super::hydration::{Hydration, completed};
use super::source::{OpenSource, given};
use super::store;
use crate::http;
use crate::ingest::{Ended, Ingest};
use crate::live::Live;
use crate::log::embedded;
use crate::sinks::archive::{Archiver, Folder, Format, Store};
use crate::sinks::feed::Report;
use crate::sinks::intents::Handle;
use crate::sinks::sqlite::rotation::Rotation;
use crate::sinks::sqlite::segments::{Roll, Segments};
use crate::sinks::sqlite::{self, Checkpoints, Claim, Committer, Database, Hydrations, Loaded, Upkeep};
use crate::telemetry::progress;
use crate::work::Worker;
use anyhow::{Context, anyhow};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::budget::Share;
use turbo_core::shard::Slices;
use turbo_crds::{ArchiveFormat, TurboPipelineSpec};

/// How long a bucket may take to answer before the source is read.
const PROBE: Duration = Duration::from_secs(10);

/// Runs a pipeline until its source has ended or a signal comes; then everything read is committed.
///
/// What can be refused is opened before anything is claimed: a start that fails leaves the sinks as they were.
///
/// # Errors
/// A part can not be set up, or another process takes the pipeline over.
pub(super) async fn run(begun: Begun) -> anyhow::Result<()> {
    let Begun { namespace, name, spec, slices, secrets, stop, metrics, port, .. } = begun;
    let file = spec.sinks.sqlite.as_ref().context("spec.sinks.sqlite: is missing")?;
    let source = OpenSource::open(&spec, secrets.as_deref())?;
    let stores = Stores {
        archive: spec.sinks.archive.as_ref().map(archive_folder).transpose()?,
        windows: windows(file, &namespace, &name, secrets.as_deref()).await?,
    };
    let hydration = Hydration::begin(&spec, secrets.as_deref(), Share::whole(), None)?;
    let database = Arc::new(match hydration {
        Some(_) => Database::open_for_documents(&file.path).await?,
        None => Database::open(&file.path).await?,
    });
    if let (Some(archive), Some(folder)) = (&spec.sinks.archive, &stores.archive) {
        archive_is_ours(archive, folder, database.id().await?.as_deref())?;
    }
    let loaded = database.claim(&name, &slices).await?;
    if let (Some(folder), Some(id)) = (&stores.archive, database.id().await?) {
        folder.belongs_to(&id).context("spec.sinks.archive.directory")?;
    }
    let max_bytes = spec.log_max_bytes().bytes();
    let live = Arc::new(Live::new(&name, &slices, &loaded, max_bytes, spec.sinks.archive.is_some()));
    let Loaded { start, claims } = loaded;
    let startup = http::Startup::default();
    startup.done();
    let server = http::Server::start(port, live.clone(), startup, metrics.clone(), stop.clone())?;
    tracing::info!(pipeline = name, shards = claims.len(), "listening on http://{}", server.address());

    let (appender, reader) = embedded::log(max_bytes);
    let mut worker = worker(&spec, stores, database.clone(), &slices, &claims, reader, live.clone()).await?;
    worker.hydrator = hydration.as_ref().map(|hydration| hydration.hydrator.clone());
    let queue = Hydrations::new(database.clone(), slices.clone());
    let completing = hydration.as_ref().map(|hydration| {
        live.hydrates(hydration.report.clone());
        hydration.complete(queue.clone())
    });
    let background = background(database.clone(), file.rotate.is_some(), live.clone(), metrics);
    let worker = tokio::spawn(worker.run());
    let given = given(&spec);
    let read = match source {
        OpenSource::Jetstream(source) => {
            let _shown = AbortOnDropHandle::new(tokio::spawn(progress::show(live.clone(), None)));
            read(Ingest::new(*source, start, slices, appender, live.clone(), given), &stop).await
        }
        OpenSource::Recording(source) => {
            let _shown = AbortOnDropHandle::new(tokio::spawn(progress::show(live.clone(), Some(source.progress()))));
            read(Ingest::new(source, start, slices, appender, live.clone(), given), &stop).await
        }
    };
    progress::clear();
    if read.is_some() {
        live.ended();
    }
    let drained = drained(worker, spec.workers.drain.as_std(), &stop).await;
    if completing.is_some() && matches!((&read, &drained), (Some(Ended::Source), Some(Ok(Ok(()))))) {
        tokio::select! {
            () = completed(&queue) => {}
            () = stop.cancelled() => {}
        }
    }
    drop((background, completing));
    server.stop().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), database.close()).await;
    let all = drained.is_some();
    match drained {
        Some(worker) => worker.context("the worker ended unexpectedly")??,
        None if live.stats().log.entries == 0 => tracing::warn!(
            "files of the archive or of windows were not made or copied within spec.workers.drain; the next start goes on with them"
        ),
        None => tracing::warn!("not everything was committed within spec.workers.drain; it is read again next time"),
    }
    match read {
        Some(Ended::OtherSource(why) | Ended::Broken(why)) => return Err(anyhow!(why)),
        Some(Ended::Source) if all => tracing::info!("the source was read to its end; all is committed"),
        Some(Ended::Log(_)) | None if all => tracing::info!("all that was read is committed"),
        _ => {}
    }
    Ok(())
}

/// Waits for the worker: the reader has dropped its side of the log, so the worker commits what is in it, and ends.
/// `None` where that takes longer than `limit` after the token fired. A source that has ended has no such limit.
async fn drained(
    worker: JoinHandle<Result<(), sqlite::Error>>,
    limit: Duration,
    stop: &CancellationToken,
) -> Option<Result<Result<(), sqlite::Error>, JoinError>> {
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        worker = worker => Some(worker),
        () = over => None,
    }
}

/// Reads until the source has ended or the token fires.
async fn read<S: crate::sources::Source>(ingest: Ingest<S>, stop: &CancellationToken) -> Option<Ended> {
    tokio::select! {
        ended = ingest.run() => Some(ended),
        () = stop.cancelled() => None,
    }
}

fn archive_folder(archive: &turbo_crds::Archive) -> anyhow::Result<Folder> {
    let directory = directory(archive)?;
    Folder::open(directory).with_context(|| {
        format!("spec.sinks.archive.directory: {}: give a folder that can be written", directory.display())
    })
}

/// Where files and objects go.
struct Stores {
    archive: Option<Folder>,
    windows: Option<Store>,
}

/// Where the windows that are cut off are copied to. What can not work is refused here; one that is away is waited for later.
async fn windows(
    file: &turbo_crds::Sqlite,
    namespace: &str,
    name: &str,
    secrets: Option<&Path>,
) -> anyhow::Result<Option<Store>> {
    let Some(s3) = file.rotate.as_ref().and_then(|rotate| rotate.s3.as_ref()) else { return Ok(None) };
    let store = store::windows(s3, namespace, name, secrets)?;
    let away = match tokio::time::timeout(PROBE, store.probe()).await {
        Ok(Ok(())) => return Ok(Some(store)),
        Ok(Err(error)) if !error.is_outage() => return Err(error).context("spec.sinks.sqlite.rotate.s3"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("{} does not answer within {PROBE:?}", store.address("")),
    };
    tracing::warn!("spec.sinks.sqlite.rotate.s3: windows stay here for now: {away}");
    Ok(Some(store))
}

fn directory(archive: &turbo_crds::Archive) -> anyhow::Result<&Path> {
    archive.directory.as_deref().context("spec.sinks.archive.directory: is missing")
}

/// Another file's objects bear the same names: they would be replaced.
fn archive_is_ours(archive: &turbo_crds::Archive, folder: &Folder, id: Option<&str>) -> anyhow::Result<()> {
    let directory = directory(archive)?.display();
    let owner = folder.owner().with_context(|| format!("spec.sinks.archive.directory: {directory}"))?;
    if owner.is_some() && owner.as_deref() != id {
        return Err(anyhow!(
            "spec.sinks.archive.directory: {directory} is the archive of another SQLite file; give a directory of its own, \
             or that file"
        ));
    }
    Ok(())
}

async fn worker(
    spec: &TurboPipelineSpec,
    stores: Stores,
    database: Arc<Database>,
    slices: &Arc<Slices>,
    claims: &[Claim],
    log: embedded::Reader,
    live: Arc<Live>,
) -> anyhow::Result<Worker> {
    let (mut segments, mut archiver) = (None, None);
    if let (Some(archive), Some(folder)) = (&spec.sinks.archive, stores.archive) {
        let format = match archive.format {
            ArchiveFormat::Parquet => Format::Parquet,
            ArchiveFormat::Jsonl => Format::Jsonl,
        };
        let roll =
            Roll { size: archive.roll.size.bytes(), age: archive.roll.age.as_std(), extension: format.extension() };
        segments = Some(Segments::load(&database, slices.clone(), claims, roll).await?);
        archiver = Some(Handle::spawn(Archiver { database: database.clone(), folder, live: live.clone() }));
    }
    if archiver.is_none() && database.waits_for_archive().await? {
        tracing::warn!(
            "events wait for an archive that the file no longer names; give spec.sinks.archive to write them"
        );
    }
    let rotation = match spec.sinks.sqlite.as_ref().and_then(|sqlite| sqlite.rotate.as_ref()) {
        Some(rotate) => {
            let size = rotate.size.map(|size| size.bytes());
            let age = rotate.age.map(|age| age.as_std());
            let report = Report::default();
            live.beside("windows", report.clone());
            Some(Rotation::load(database.clone(), size, age, rotate.keep, stores.windows, report).await?)
        }
        None => None,
    };
    let committer = Committer::new(database, slices.clone(), claims, segments);
    Ok(Worker { log, hydrator: None, committer, archiver, rotation, live })
}

/// What goes on beside: samples for the rates, upkeep of metrics and tables, copies of the write-ahead log.
fn background(
    database: Arc<Database>,
    rotates: bool,
    live: Arc<Live>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> AbortOnDropHandle<()> {
    let checkpoints = Checkpoints { database: database.clone() };
    let upkeep = Upkeep { database, rotates };
    AbortOnDropHandle::new(tokio::spawn(async move {
        let sample = async {
            loop {
                live.sample();
                metrics.run_upkeep();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(sample, upkeep.run(), checkpoints.run());
    }))
}
