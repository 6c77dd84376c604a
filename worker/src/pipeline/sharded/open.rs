//! What a process of a sharded pipeline opens first: the database with its schema, the log with its bucket.

use super::beginning::CATALOG;
use super::connection;
use super::patience::patiently;
use super::sinks::projections;
use crate::live::Live;
use crate::log::nats::{self, Log};
use crate::ownership;
use crate::secrets;
use crate::sinks::postgres::{Database, Error, Wanted, answered};
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::plan::WorkerId;
use turbo_core::shard::Slices;
use turbo_crds::{Nats, Postgres, SecretRef, TurboPipelineSpec};

/// How long the schema may take to be made, or to be waited for while another process makes it.
const MIGRATION: Duration = Duration::from_secs(600);
/// How often a secret is read again.
const REREAD: Duration = Duration::from_secs(10);
/// How long the goodbye to a server may take.
const CLOSE: Duration = Duration::from_secs(5);
pub(in crate::pipeline) const URL: &str = "spec.sinks.postgres.urlFrom";
const DIRECT_URL: &str = "spec.sinks.postgres.directUrlFrom";

/// What the pipeline file and the command line say.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) generation: Option<i64>,
    pub(super) spec: TurboPipelineSpec,
    pub(super) slices: Arc<Slices>,
    pub(super) secrets: Option<PathBuf>,
}

impl Setting {
    /// How many copies NATS keeps of what the pipeline has there.
    pub(super) fn replicas(&self) -> usize {
        let nats = self.spec.log.as_ref().and_then(|log| log.nats.as_ref());
        nats.map_or(1, |nats| usize::from(nats.stream.replicas))
    }

    /// Whose the database and the log are.
    fn owner(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What is open.
pub(super) struct Opened {
    pub(super) log: Log,
    pub(super) database: Database,
    pub(super) wanted: Wanted,
    /// The projections that are on, whatever the file says: a newer one may have switched them.
    pub(super) projections: Vec<String>,
    pub(super) me: WorkerId,
    /// The name of the database's catalog.
    pub(super) catalog: String,
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
    pub(super) async fn open(
        setting: &Setting,
        works: bool,
        live: &Live,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let spec = &setting.spec;
        let postgres = spec.sinks.postgres.as_ref().context("spec.sinks.postgres: is missing")?;
        let nats = spec.log.as_ref().and_then(|log| log.nats.as_ref()).context("spec.log.nats: is missing")?;
        let opened = async {
            let (database, urls) = open_database(postgres, setting)?;
            // What can be refused is refused before the database is this pipeline's.
            check(&database, setting, live).await?;
            migrate(postgres, setting, live).await?;
            let log = open_log(nats, setting, live).await?;
            let (wanted, projections) = introduce(&database, setting, works, live).await?;
            let catalog = settle(&log, &database, setting, false, live).await?;
            let me = WorkerId::from(me());
            anyhow::Ok(Self { log, database, wanted, projections, me, catalog, _urls: urls })
        };
        tokio::select! {
            opened = opened => opened.map(Some),
            () = stop.cancelled() => Ok(None),
        }
    }

    /// Says in the bucket that the log's catalog is this one, which can have been another one's: for a worker that has
    /// everything else.
    ///
    /// # Errors
    /// Workers with another catalog live.
    pub(super) async fn take_place(&self, setting: &Setting, live: &Live) -> anyhow::Result<()> {
        settle(&self.log, &self.database, setting, true, live).await.map(drop)
    }

    /// Waits until every sink has everything that is in the log, or the token fires.
    pub(super) async fn all_is_committed(&self, slices: &Slices, stop: &CancellationToken) {
        loop {
            let lowest = answered(CATALOG, self.database.lowest(slices));
            if let (Ok(lowest), Ok(depths)) = (lowest.await, self.log.lasts(slices).await)
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

fn open_database(postgres: &Postgres, setting: &Setting) -> anyhow::Result<(Database, AbortOnDropHandle<()>)> {
    let mut known = url(URL, &postgres.url_from, setting)?;
    let database = Database::open(&known, u32::from(postgres.connections))?;
    let (again, reference, folder) = (database.clone(), postgres.url_from.clone(), setting.secrets.clone());
    let watching = tokio::spawn(async move {
        loop {
            tokio::time::sleep(REREAD).await;
            let read = secrets::read(URL, &reference, folder.as_deref());
            let Some(url) = read.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
            if url.trim() != known && again.connect_to(url.trim()).is_ok() {
                tracing::info!("{URL} has changed; new connections use it");
                known = url.trim().to_owned();
            }
        }
    });
    Ok((database, AbortOnDropHandle::new(watching)))
}

fn url(field: &str, reference: &SecretRef, setting: &Setting) -> anyhow::Result<String> {
    let bytes = secrets::read(field, reference, setting.secrets.as_deref())?;
    let url = String::from_utf8(bytes).ok().with_context(|| format!("{field}: is no text; give postgres://…"))?;
    Ok(url.trim().to_owned())
}

/// An error of a server, which names the field of its address at the beginning, once, and what to look at.
fn of_server(field: &str, at: &str, mend: &str, error: anyhow::Error) -> anyhow::Error {
    if error.to_string().starts_with("spec.") || error.to_string().starts_with("metadata.") {
        return error;
    }
    error.context(format!("{field}: {at} is of no use as it is; {mend}"))
}

pub(in crate::pipeline) fn of_postgres(field: &str, at: &str, error: anyhow::Error) -> anyhow::Error {
    of_server(field, at, "see that PostgreSQL runs there and is not read-only, or give another address", error)
}

/// Checks that the database is this pipeline's, or nobody's yet.
async fn check(database: &Database, setting: &Setting, live: &Live) -> anyhow::Result<()> {
    let (owner, described) = (setting.owner(), described(&setting.slices));
    let address = database.address();
    patiently(live, &format!("PostgreSQL at {address}"), async || {
        match answered(CATALOG, database.belongs_to(&owner, &described)).await {
            Ok(()) | Err(Error::NotPrepared(_)) => Ok(()),
            Err(error) => Err(database.named(error, URL).into()),
        }
    })
    .await
    .map_err(|error| of_postgres(URL, &address, error))
}

/// Brings the schema up to date, by the direct address where there is one.
async fn migrate(postgres: &Postgres, setting: &Setting, live: &Live) -> anyhow::Result<()> {
    let (field, reference) = match &postgres.direct_url_from {
        Some(reference) => (DIRECT_URL, reference),
        None => (URL, &postgres.url_from),
    };
    let mut address = String::new();
    patiently(live, "PostgreSQL, to make its schema", async || {
        // A connection of its own: one that is given up in the middle is not used again.
        let database = Database::open(&url(field, reference, setting)?, 1).map_err(|error| match error {
            Error::Url(why) => anyhow::anyhow!(
                "{field}: it is no address of a database: {why}; give postgres://user:password@host/database"
            ),
            error => error.into(),
        })?;
        address = database.address();
        answered(MIGRATION, database.migrate()).await.map_err(|error| database.named(error, field))?;
        let _ = tokio::time::timeout(CLOSE, database.close()).await;
        Ok(())
    })
    .await
    .map_err(|error| of_postgres(field, &address, error))
}

/// Makes the database this pipeline's, and says what the pipeline file wants, and which projections are on. Who does not work
/// has no say in what workers fill.
async fn introduce(
    database: &Database,
    setting: &Setting,
    works: bool,
    live: &Live,
) -> anyhow::Result<(Wanted, Vec<String>)> {
    let (owner, described, generation) = (setting.owner(), described(&setting.slices), setting.generation);
    let address = database.address();
    patiently(live, &format!("PostgreSQL at {address}"), async || {
        let beside = sinks(&setting.spec);
        let wanted = database.introduce(&owner, &described, &setting.slices, beside, generation, works);
        let wanted = answered(CATALOG, wanted).await?;
        let projections = match works {
            true => answered(CATALOG, database.project(&projections(&setting.spec), generation)).await?,
            false => Vec::new(),
        };
        Ok((wanted, projections))
    })
    .await
    .map_err(|error| of_postgres(URL, &address, error))
}

/// Makes sure that no worker has another catalog; the name of this one.
async fn settle(log: &Log, database: &Database, setting: &Setting, works: bool, live: &Live) -> anyhow::Result<String> {
    let lease = setting.spec.workers.lease.as_std();
    patiently(live, "the catalog's name", async || {
        let catalog = answered(CATALOG, database.catalog()).await?;
        match ownership::catalog::settle(log, &catalog, lease, works).await {
            Err(ownership::catalog::Error::Nats(error)) => Err(error.into()),
            settled => Ok(settled.map(|()| catalog)?),
        }
    })
    .await
}

async fn open_log(nats: &Nats, setting: &Setting, live: &Live) -> anyhow::Result<Log> {
    let options = nats::Options {
        url: nats.url.clone(),
        namespace: setting.namespace.clone(),
        pipeline: setting.name.clone(),
        slices: described(&setting.slices),
        replicas: usize::from(nats.stream.replicas),
        max_bytes: nats.stream.max_bytes.bytes(),
    };
    patiently(live, "NATS", async || {
        let connection = connection::options(nats, setting.secrets.as_deref())?;
        Ok(Log::open(&options, connection).await?)
    })
    .await
    .map_err(|error| {
        let mend = "see that the server runs and answers, and that its permissions are those of docs/sharded.md";
        of_server("spec.log.nats.url", &nats::connection::shown(&nats.url), mend, error)
    })
}

/// The slices as one line: what may never change.
pub(in crate::pipeline) fn described(slices: &Slices) -> String {
    let slice = |slice: &turbo_core::shard::Slice| {
        let collections = slice.collections.as_ref().map_or("*".to_owned(), |collections| collections.join(","));
        format!("{}={}:{collections}", slice.name, slice.partitions)
    };
    slices.list().iter().map(slice).collect::<Vec<_>>().join(" ")
}
