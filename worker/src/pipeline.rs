//! A whole pipeline in one process: parse, claim, start, wait, drain.

use crate::http;
use crate::ingest::{Ended, Ingest};
use crate::live::Live;
use crate::log::embedded;
use crate::secrets;
use crate::signals;
use crate::sinks::archive::{Archiver, Folder, Format};
use crate::sinks::intents::Handle;
use crate::sinks::sqlite::rotation::Rotation;
use crate::sinks::sqlite::segments::{Roll, Segments};
use crate::sinks::sqlite::{self, Claim, Committer, Database, Loaded, Upkeep};
use crate::sources::jetstream::{self, Dictionaries, Filters, Jetstream, Version, client_config};
use crate::sources::recording::{self, Recording};
use crate::telemetry::{metrics, progress};
use crate::work::Worker;
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::shard::{Slice, Slices};
use turbo_crds::{ArchiveFormat, Compression, JetstreamVersion, Pace, SourceChoice, TurboPipeline, TurboPipelineSpec};

/// How long no event may come from a host that answers; longer where filters make a quiet stream.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_FILTERED: Duration = Duration::from_secs(600);

/// Runs a pipeline until its source has ended or a signal comes; then everything read is committed.
///
/// What can be refused is opened before anything is claimed: a start that fails leaves the sinks as they were.
///
/// # Errors
/// A part can not be set up, or another process takes the pipeline over.
pub async fn run(manifest: TurboPipeline, listen: SocketAddr, secrets: Option<&Path>) -> anyhow::Result<()> {
    let spec = manifest.spec;
    let name = manifest.metadata.name.context("metadata.name: is missing")?;
    let stop = signals::listen().context("signals can not be listened to")?;
    let metrics = metrics::install()?;
    spec.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let slices = Arc::new(slices(&spec)?);
    let port = http::Port::bind(listen)?;
    let source = OpenSource::open(&spec, secrets)?;
    let folder = spec.sinks.archive.as_ref().map(archive_folder).transpose()?;
    let database = Arc::new(Database::open(&spec.sinks.sqlite.path).await?);
    if let (Some(archive), Some(folder)) = (&spec.sinks.archive, &folder) {
        archive_is_ours(archive, folder, database.id().await?.as_deref())?;
    }
    let loaded = database.claim(&name, &slices).await?;
    if let (Some(folder), Some(id)) = (&folder, database.id().await?) {
        folder.belongs_to(&id).context("spec.sinks.archive.directory")?;
    }
    let max_bytes = spec.log_max_bytes().bytes();
    let live = Arc::new(Live::new(&name, &slices, &loaded, max_bytes, spec.sinks.archive.is_some()));
    let Loaded { start, claims } = loaded;
    let server = http::Server::start(port, live.clone(), metrics.clone(), stop.clone())?;
    tracing::info!(pipeline = name, shards = claims.len(), "listening on http://{}", server.address());

    let (appender, reader) = embedded::log(max_bytes);
    let worker = worker(&spec, folder, database.clone(), &slices, &claims, reader, live.clone()).await?;
    let background = background(database.clone(), live.clone(), metrics);
    let worker = tokio::spawn(worker.run());
    let given = given(&spec);
    let read = match source {
        OpenSource::Jetstream(mut source) => {
            if let Some(position) = &start.position {
                source.begin_with(&position.host);
            }
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
    let drained = drained(worker, spec.drain().as_std(), &stop).await;
    drop(background);
    server.stop().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), database.close()).await;
    let all = drained.is_some();
    match drained {
        Some(worker) => worker.context("the worker ended unexpectedly")??,
        None if live.stats().log.entries == 0 => tracing::warn!(
            "files of the archive were not made within spec.workers.drain; what is for them waits in SQLite for the next start"
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

/// A source that was found to be usable, as far as that shows without a connection.
enum OpenSource {
    Jetstream(Box<Jetstream>),
    Recording(Recording),
}

impl OpenSource {
    fn open(spec: &TurboPipelineSpec, secrets: Option<&Path>) -> anyhow::Result<Self> {
        match spec.source.choice() {
            Some(SourceChoice::Jetstream(options)) => {
                Ok(Self::Jetstream(Box::new(jetstream_source(options, spec, secrets)?)))
            }
            Some(SourceChoice::Recording(options)) => Ok(Self::Recording(recording_source(options)?)),
            None => Err(anyhow!("spec.source: names none or several of jetstream, recording; give exactly one")),
        }
    }
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

fn slices(spec: &TurboPipelineSpec) -> anyhow::Result<Slices> {
    let slice = |slice: &turbo_crds::Slice| Slice {
        name: slice.name.clone(),
        collections: slice.collections.clone(),
        partitions: slice.partitions,
    };
    Slices::new(spec.slices.iter().map(slice).collect()).context("spec.slices")
}

fn given(spec: &TurboPipelineSpec) -> Option<u64> {
    spec.source.jetstream.as_ref().and_then(|jetstream| jetstream.cursor)
}

fn archive_folder(archive: &turbo_crds::Archive) -> anyhow::Result<Folder> {
    Folder::open(&archive.directory).with_context(|| {
        format!("spec.sinks.archive.directory: {}: give a folder that can be written", archive.directory.display())
    })
}

/// Another file's objects bear the same names: they would be replaced.
fn archive_is_ours(archive: &turbo_crds::Archive, folder: &Folder, id: Option<&str>) -> anyhow::Result<()> {
    let directory = archive.directory.display();
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
    folder: Option<Folder>,
    database: Arc<Database>,
    slices: &Arc<Slices>,
    claims: &[Claim],
    log: embedded::Reader,
    live: Arc<Live>,
) -> anyhow::Result<Worker> {
    let (mut segments, mut archiver) = (None, None);
    if let (Some(archive), Some(folder)) = (&spec.sinks.archive, folder) {
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
    let rotation = match &spec.sinks.sqlite.rotate {
        Some(rotate) => {
            let size = rotate.size.map(|size| size.bytes());
            Some(Rotation::load(database.clone(), size, rotate.age.map(|age| age.as_std()), rotate.keep).await?)
        }
        None => None,
    };
    let committer = Committer::new(database, slices.clone(), claims, segments);
    Ok(Worker { log, committer, archiver, rotation, live })
}

/// What goes on beside: samples for the rates, upkeep of metrics and tables.
fn background(
    database: Arc<Database>,
    live: Arc<Live>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
) -> AbortOnDropHandle<()> {
    let upkeep = Upkeep { database };
    AbortOnDropHandle::new(tokio::spawn(async move {
        let sample = async {
            loop {
                live.sample();
                metrics.run_upkeep();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::join!(sample, upkeep.run());
    }))
}

fn recording_source(options: &turbo_crds::Recording) -> anyhow::Result<Recording> {
    Ok(Recording::open(recording::Options {
        path: options.path.clone(),
        recorded_pace: options.pace == Pace::Recorded,
        max_frame: recording::MAX_LINE,
    })?)
}

fn jetstream_source(
    options: &turbo_crds::Jetstream,
    spec: &TurboPipelineSpec,
    secrets: Option<&Path>,
) -> anyhow::Result<Jetstream> {
    let ca = options
        .ca_from
        .as_ref()
        .map(|from| secrets::read("spec.source.jetstream.caFrom", from, secrets))
        .transpose()?;
    let tls = client_config(ca.as_deref())?;
    let dictionaries = match (options.compression(), options.version, &options.dictionary) {
        (Compression::None, ..) => None,
        (Compression::Zstd, JetstreamVersion::V1, Some(path)) => {
            let bytes = std::fs::read(path).context("can not be read; give a zstd dictionary");
            let field = || format!("spec.source.jetstream.dictionary: {}", path.display());
            Some(bytes.and_then(|bytes| Ok(Dictionaries::fixed(bytes)?)).with_context(field)?)
        }
        (Compression::Zstd, ..) => {
            let folder = spec.sinks.sqlite.path.parent().unwrap_or(Path::new(".")).join("dictionaries");
            Some(Dictionaries::remote(&tls, &folder)?)
        }
    };
    let endpoint = |url: &String| url.parse().with_context(|| format!("spec.source.jetstream.endpoints: {url}"));
    let filtered = !options.collections.is_empty() || !options.dids.is_empty();
    let options = jetstream::Options {
        version: match options.version {
            JetstreamVersion::V1 => Version::V1,
            JetstreamVersion::V2 => Version::V2,
        },
        endpoints: options.endpoints.iter().map(endpoint).collect::<anyhow::Result<_>>()?,
        filters: Filters {
            collections: options.collections.clone(),
            dids: options.dids.clone(),
            max_message_size: options.max_message_size.map(|size| size.bytes()),
        },
        max_frame: options.max_frame.bytes() as usize,
        quiet: if filtered { QUIET_FILTERED } else { QUIET },
        silent: options.silence.as_std(),
    };
    Ok(Jetstream::new(options, tls, dictionaries))
}
