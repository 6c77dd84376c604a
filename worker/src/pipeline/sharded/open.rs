//! What a process of a sharded pipeline opens first: the database with its schema, the log with its bucket.

use super::connection;
use super::sinks::projections;
use crate::log::nats::{self, Log};
use crate::secrets;
use crate::sinks::postgres::{Database, Error, Wanted};
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::plan::WorkerId;
use turbo_core::shard::Slices;
use turbo_crds::{Nats, Postgres, TurboPipelineSpec};

/// How long servers that are not there yet are waited for at the start: they may be starting too.
const START: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(2);
/// How often a secret is read again.
const REREAD: Duration = Duration::from_secs(10);

/// What the pipeline file and the command line say.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) generation: Option<i64>,
    pub(super) spec: TurboPipelineSpec,
    pub(super) slices: Arc<Slices>,
    pub(super) secrets: Option<PathBuf>,
}

/// What is open.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) database: Database,
    pub(super) wanted: Wanted,
    pub(super) me: WorkerId,
    _urls: AbortOnDropHandle<()>,
}

/// The sinks beside the database that the file names.
pub(super) fn sinks(spec: &TurboPipelineSpec) -> Vec<&'static str> {
    let archive = spec.sinks.archive.as_ref().map(|_| "archive");
    archive.into_iter().chain(spec.sinks.enriched.as_ref().map(|_| "enriched")).collect()
}

impl Opened {
    /// Opens everything; waits a while for servers that are not there. `None`: the token fired first.
    ///
    /// # Errors
    /// What the file says can not be had, or a server is not there.
    pub(super) async fn open(setting: &Setting, stop: &CancellationToken) -> anyhow::Result<Option<Self>> {
        let spec = &setting.spec;
        let postgres = spec.sinks.postgres.as_ref().context("spec.sinks.postgres: is missing")?;
        let nats = spec.log.as_ref().and_then(|log| log.nats.as_ref()).context("spec.log.nats: is missing")?;
        let opened = async {
            let (database, urls) = open_database(postgres, setting).await?;
            let wanted = prepare(&database, postgres, setting).await?;
            let log = open_log(nats, setting).await?;
            let me = WorkerId::from(me());
            anyhow::Ok(Self { log, database, wanted, me, _urls: urls })
        };
        tokio::select! {
            opened = opened => opened.map(Some),
            () = stop.cancelled() => Ok(None),
        }
    }

    /// Waits until every sink has everything that is in the log, or the token fires.
    pub(super) async fn all_is_committed(&self, slices: &Slices, stop: &CancellationToken) {
        loop {
            if let (Ok(lowest), Ok(depths)) = (self.database.lowest(slices).await, self.log.lasts(slices).await)
                && depths.iter().all(|(shard, last)| lowest.get(shard).copied().unwrap_or(0) >= *last)
            {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// A fresh name at each start: a claim of an earlier life is nobody's.
fn me() -> String {
    let host = std::env::var("TURBO_WORKER").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(63).collect();
    format!("{}-{:08x}", if host.is_empty() { "turbo" } else { &host }, rand::random::<u32>())
}

async fn open_database(postgres: &Postgres, setting: &Setting) -> anyhow::Result<(Database, AbortOnDropHandle<()>)> {
    let url = move |reference: &turbo_crds::SecretRef| {
        let bytes = secrets::read("spec.sinks.postgres.urlFrom", reference, setting.secrets.as_deref())?;
        String::from_utf8(bytes).context("spec.sinks.postgres.urlFrom: is no text; give postgres://…")
    };
    let mut known = url(&postgres.url_from)?;
    let database = Database::open(known.trim(), u32::from(postgres.connections))?;
    let (again, reference, folder) = (database.clone(), postgres.url_from.clone(), setting.secrets.clone());
    let watching = tokio::spawn(async move {
        loop {
            tokio::time::sleep(REREAD).await;
            let read = secrets::read("spec.sinks.postgres.urlFrom", &reference, folder.as_deref());
            let Some(url) = read.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
            if url != known && again.connect_to(url.trim()).is_ok() {
                tracing::info!("spec.sinks.postgres.urlFrom has changed; new connections use it");
                known = url;
            }
        }
    });
    Ok((database, AbortOnDropHandle::new(watching)))
}

/// Brings the schema up to date, by the direct address where there is one, and says what the pipeline file wants.
async fn prepare(database: &Database, postgres: &Postgres, setting: &Setting) -> anyhow::Result<Wanted> {
    let direct = match &postgres.direct_url_from {
        Some(reference) => {
            let bytes = secrets::read("spec.sinks.postgres.directUrlFrom", reference, setting.secrets.as_deref())?;
            let url = String::from_utf8(bytes).context("spec.sinks.postgres.directUrlFrom: is no text")?;
            let opened = Database::open(url.trim(), 1).map_err(|error| match error {
                Error::Url(why) => anyhow::anyhow!(
                    "spec.sinks.postgres.directUrlFrom: it is no address of a database: {why}; give \
                     postgres://user:password@host/database"
                ),
                error => error.into(),
            });
            Some(opened?)
        }
        None => None,
    };
    let began = Instant::now();
    let name = format!("{}/{}", setting.namespace, setting.name);
    loop {
        let prepared = async {
            direct.as_ref().unwrap_or(database).migrate().await?;
            let described = described(&setting.slices);
            let beside = sinks(&setting.spec);
            let wanted = database.introduce(&name, &described, &setting.slices, beside, setting.generation).await?;
            database.project(&projections(&setting.spec), setting.generation).await?;
            Ok(wanted)
        };
        match prepared.await {
            Err(error @ (Error::Sql(_) | Error::Migrate(_))) if began.elapsed() < START => {
                tracing::warn!("waiting for PostgreSQL: {error}");
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error).context("spec.sinks.postgres"),
            Ok(wanted) => {
                if let Some(direct) = direct {
                    direct.close().await;
                }
                return Ok(wanted);
            }
        }
    }
}

async fn open_log(nats: &Nats, setting: &Setting) -> anyhow::Result<Log> {
    let options = nats::Options {
        url: nats.url.clone(),
        namespace: setting.namespace.clone(),
        pipeline: setting.name.clone(),
        slices: described(&setting.slices),
        replicas: usize::from(nats.stream.replicas),
        max_bytes: nats.stream.max_bytes.bytes(),
    };
    let began = Instant::now();
    loop {
        let connection = connection::options(nats, setting.secrets.as_deref())?;
        match Log::open(&options, connection).await {
            Err(error @ (nats::Error::Unreachable { .. } | nats::Error::Request { .. })) if began.elapsed() < START => {
                tracing::warn!("waiting for NATS: {error}");
                tokio::time::sleep(AGAIN).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// The slices as one line: what may never change.
pub(in crate::pipeline) fn described(slices: &Slices) -> String {
    let slice = |slice: &turbo_core::shard::Slice| {
        let collections = slice.collections.as_ref().map_or("*".to_owned(), |collections| collections.join(","));
        format!("{}={}:{collections}", slice.name, slice.partitions)
    };
    slices.list().iter().map(slice).collect::<Vec<_>>().join(" ")
}
