//! A sharded pipeline that is looked at from outside: its database, its log and its store, without a part in it.

use super::sharded::{connection, open};
use super::{slices, store};
use crate::cli;
use crate::commands;
use crate::log::nats::{Log, Options};
use crate::secrets;
use crate::sinks::archive::Store;
use crate::sinks::postgres::Database;
use anyhow::Context;
use std::path::PathBuf;
use std::sync::Arc;
use turbo_core::shard::Slices;
use turbo_crds::TurboPipeline;

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

    /// The database.
    pub(crate) fn database(&self) -> anyhow::Result<Database> {
        let missing = "spec.sinks.postgres: is missing; this command looks at pipelines over PostgreSQL";
        let postgres = self.manifest.spec.sinks.postgres.as_ref().context(missing)?;
        let url = secrets::read("spec.sinks.postgres.urlFrom", &postgres.url_from, self.secrets.as_deref())?;
        let url = String::from_utf8(url).context("spec.sinks.postgres.urlFrom: is no text; give postgres://…")?;
        Ok(Database::open(url.trim(), 2)?)
    }

    /// The log; it is not made where it is not there.
    pub(crate) async fn log(&self) -> anyhow::Result<Log> {
        let missing = "spec.log.nats: is missing; this command looks at pipelines over NATS";
        let nats = self.manifest.spec.log.as_ref().and_then(|log| log.nats.as_ref()).context(missing)?;
        let metadata = &self.manifest.metadata;
        let options = Options {
            url: nats.url.clone(),
            namespace: metadata.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            pipeline: metadata.name.clone().context("metadata.name: is missing")?,
            slices: open::described(&self.slices),
            replicas: usize::from(nats.stream.replicas),
            max_bytes: nats.stream.max_bytes.bytes(),
        };
        Ok(Log::look(&options, connection::options(nats, self.secrets.as_deref())?).await?)
    }

    /// Where the archive's objects are.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        let archive = self.manifest.spec.sinks.archive.as_ref().context("spec.sinks.archive: is missing")?;
        let metadata = &self.manifest.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or("default");
        store::archive(archive, namespace, metadata.name.as_deref().unwrap_or_default(), self.secrets.as_deref())
    }
}
