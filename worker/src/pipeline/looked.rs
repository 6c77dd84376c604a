//! A sharded pipeline that is looked at from outside: its database, its log and its store, without a part in it.

use super::sharded::{connection, open};
use super::{slices, store};
use crate::cli;
use crate::commands;
use crate::log::nats::{Log, Options};
use crate::secrets;
use crate::sinks::archive::Store;
use crate::sinks::postgres::{Database, answered};
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::shard::Slices;
use turbo_crds::TurboPipeline;

/// How long the database may take to say whose it is.
const LOOK: Duration = Duration::from_secs(45);

/// What a command looks at.
pub(crate) struct Looked {
    manifest: TurboPipeline,
    secrets: Option<PathBuf>,
    pub(crate) slices: Arc<Slices>,
}

impl Looked {
    /// Reads the pipeline file.
    pub(crate) fn open(options: &cli::Looked) -> anyhow::Result<Self> {
        let manifest = commands::load(&options.file)?;
        let slices = Arc::new(slices(&manifest.spec)?);
        Ok(Self { manifest, secrets: options.secrets.clone(), slices })
    }

    /// The database, which is seen to be this pipeline's.
    pub(crate) async fn database(&self) -> anyhow::Result<Database> {
        let missing = "spec.sinks.postgres: is missing; this command looks at pipelines over PostgreSQL";
        let postgres = self.manifest.spec.sinks.postgres.as_ref().context(missing)?;
        let url = secrets::read(open::URL, &postgres.url_from, self.secrets.as_deref())?;
        let url = String::from_utf8(url).context("spec.sinks.postgres.urlFrom: is no text; give postgres://…")?;
        let database = Database::open(url.trim(), 2)?;
        let (owner, described) = (format!("{}/{}", self.namespace(), self.name()?), open::described(&self.slices));
        let ours = answered(LOOK, database.belongs_to(&owner, &described)).await;
        ours.map_err(|error| {
            open::of_postgres(open::URL, &database.address(), database.named(error, open::URL).into())
        })?;
        Ok(database)
    }

    fn namespace(&self) -> &str {
        self.manifest.metadata.namespace.as_deref().unwrap_or("default")
    }

    fn name(&self) -> anyhow::Result<&str> {
        self.manifest.metadata.name.as_deref().context("metadata.name: is missing")
    }

    /// The log; it is not made where it is not there.
    pub(crate) async fn log(&self) -> anyhow::Result<Log> {
        let missing = "spec.log.nats: is missing; this command looks at pipelines over NATS";
        let nats = self.manifest.spec.log.as_ref().and_then(|log| log.nats.as_ref()).context(missing)?;
        let options = Options {
            url: nats.url.clone(),
            namespace: self.namespace().to_owned(),
            pipeline: self.name()?.to_owned(),
            slices: open::described(&self.slices),
            replicas: usize::from(nats.stream.replicas),
            max_bytes: nats.stream.max_bytes.bytes(),
        };
        Ok(Log::look(&options, connection::options(nats, self.secrets.as_deref())?).await?)
    }

    /// Where the archive's objects are.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        let archive = self
            .manifest
            .spec
            .sinks
            .archive
            .as_ref()
            .context("spec.sinks.archive: is missing, so there are no segments; give it to have some")?;
        store::archive(archive, self.namespace(), self.name()?, self.secrets.as_deref())
    }
}
