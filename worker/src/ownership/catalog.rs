//! All workers of a log have one catalog: what is purged from the log by what one catalog says is missing in any other.
//!
//! Invariants:
//! - the bucket says which catalog it is. A worker that has another one takes its place only when no worker lives that could
//!   have the one before, and is refused otherwise;
//! - a worker that sees another catalog there than its own ends ([`super::Member`]): it was paused, and was taken for gone.

use super::WORKER;
use crate::log::nats::{self, Log};
use async_nats::jetstream::kv::{CreateErrorKind, Entry, Operation, UpdateErrorKind};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// The key of the catalog's name.
pub(super) const KEY: &str = "catalog";

/// Why a process can not begin with its catalog.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Workers of another one live.
    #[error(
        "spec.sinks.postgres.urlFrom: worker {worker} of this pipeline lives, and its database is another one (catalog \
         {theirs}) than this one (catalog {mine}); give all workers the same, or stop those of the other first"
    )]
    Another {
        /// Who lives.
        worker: String,
        /// The catalog of those who live.
        theirs: String,
        /// One's own.
        mine: String,
    },
    /// NATS does not answer.
    #[error(transparent)]
    Nats(#[from] nats::Error),
}

/// Makes sure that no worker lives which has another catalog than `mine`; a heartbeat lasts for `limit`. A process that
/// `works` says in the bucket that it is this one from now on.
///
/// # Errors
/// Workers of another one live; no answer.
pub(crate) async fn settle(log: &Log, mine: &str, limit: Duration, works: bool) -> Result<(), Error> {
    loop {
        match entry(log, KEY).await? {
            None if !works || write(log, mine).await? => return Ok(()),
            Some(found) if found.value == mine.as_bytes() => return Ok(()),
            Some(found) => {
                let theirs = String::from_utf8_lossy(&found.value).into_owned();
                if let Some(worker) = lives(log, limit).await? {
                    return Err(Error::Another { worker, theirs, mine: mine.to_owned() });
                }
                if !works {
                    return Ok(());
                }
                if replace(log, mine, found.revision).await? {
                    tracing::warn!(theirs, mine, "another database takes the place of the one that the pipeline had");
                    return Ok(());
                }
            }
            // Another process was faster.
            None => {}
        }
    }
}

/// Writes the catalog's name into a bucket that does not say one; false where it says one by now.
pub(super) async fn write(log: &Log, mine: &str) -> Result<bool, nats::Error> {
    match log.bucket.create(KEY, mine.to_owned().into()).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

async fn replace(log: &Log, mine: &str, revision: u64) -> Result<bool, nats::Error> {
    match log.bucket.update(KEY, mine.to_owned().into(), revision).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

/// Watches heartbeats for `limit`, by one's own clock; the first worker that beats.
async fn lives(log: &Log, limit: Duration) -> Result<Option<String>, nats::Error> {
    let (began, first) = (Instant::now(), beats(log).await?);
    while began.elapsed() < limit {
        tokio::time::sleep(limit / 8).await;
        let now = beats(log).await?;
        let beaten = now.into_iter().find(|(worker, revision)| first.get(worker) != Some(revision));
        if let Some((worker, _)) = beaten {
            return Ok(Some(worker));
        }
    }
    Ok(None)
}

/// The revision of each worker's last heartbeat.
async fn beats(log: &Log) -> Result<BTreeMap<String, u64>, nats::Error> {
    let mut keys = log.bucket.keys().await.map_err(|error| failed(&error))?;
    let mut beats = BTreeMap::new();
    while let Some(key) = keys.next().await {
        let key = key.map_err(|error| failed(&error))?;
        let Some(worker) = key.strip_prefix(WORKER) else { continue };
        if let Some(found) = entry(log, &key).await? {
            beats.insert(worker.to_owned(), found.revision);
        }
    }
    Ok(beats)
}

async fn entry(log: &Log, key: &str) -> Result<Option<Entry>, nats::Error> {
    let entry = log.bucket.entry(key).await.map_err(|error| failed(&error))?;
    Ok(entry.filter(|entry| entry.operation == Operation::Put))
}

fn failed(error: &dyn std::error::Error) -> nats::Error {
    nats::Error::request("the catalog's name in the bucket")(error)
}
