//! Before anything is burnt or put: does the store refuse to replace objects, and is it this catalog's?
//!
//! Invariant: the names of objects are unique within one catalog. A small object at the store, put where nothing is, names
//! the catalog that it belongs to; a pipeline with another catalog writes nothing there.

use super::super::Stamp;
use super::super::store::{self, Put};
use super::Shared;
use super::landing::{BACKOFF, CATALOG};
use crate::sinks::postgres::{self, answered};
use turbo_core::backoff::Backoff;

/// The object that names the catalog. Readers pass over names that begin with an underscore.
const OWNER: &str = "_turbo_owner";
/// Bytes of it that are read at most.
const LONGEST: u64 = 256;

/// Why the archive can not begin.
#[derive(Debug, thiserror::Error)]
pub enum Unprepared {
    /// The store is away, refuses, or replaces objects.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] postgres::Error),
    /// The buffer can not be written.
    #[error("the archive's buffer: {0}")]
    Buffer(#[from] std::io::Error),
    /// The store is another's.
    #[error(
        "{place} names the catalog {found}, and this pipeline's catalog is {ours}: two catalogs would give their objects \
         the same names; give a prefix or a folder of its own, or, if nothing writes there any more, remove {place}"
    )]
    Others {
        /// The object.
        place: String,
        /// What it says.
        found: String,
        /// What it would have to say.
        ours: String,
    },
}

impl Unprepared {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_outage(),
            Self::Catalog(_) | Self::Buffer(_) => true,
            Self::Others { .. } => false,
        }
    }
}

/// Probes the store, and writes down whose it is, once.
pub(super) async fn prepare(shared: &Shared) -> Result<(), Unprepared> {
    shared.store.probe().await?;
    let ours = answered(CATALOG, shared.database.catalog()).await?;
    let (file, back) = (shared.buffer.scratch("object"), shared.buffer.scratch("object"));
    tokio::fs::write(file.path(), format!("{ours}\n")).await?;
    let stamp = Stamp::of(file.path())?;
    if shared.store.put_new(OWNER, file.path(), &stamp).await? != Put::Taken {
        return Ok(());
    }
    let place = shared.store.address(OWNER);
    let there = shared.store.get(OWNER, back.path(), LONGEST).await?;
    let found = if there.is_some() { tokio::fs::read(back.path()).await? } else { Vec::new() };
    let found: String = String::from_utf8_lossy(&found).chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    Err(Unprepared::Others { place, found, ours })
}

/// Tries until it is done. What is wrong is told: nothing lands meanwhile, and what was taken waits.
pub(super) async fn prepare_at_last(shared: &Shared) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    while let Err(error) = prepare(shared).await {
        tracing::warn!("the archive can not begin: {error}");
        shared.report.failed(None, &error.to_string());
        tokio::time::sleep(backoff.next(rand::random())).await;
    }
    shared.report.well(None);
}
