//! A lease in the bucket: who is active. It is for liveness only; the fence is where the data lands.
//!
//! Staleness is judged by the observer's own monotonic clock: a lease is given up when its revision was the same at two looks
//! that are a whole term apart. Clocks are never compared.

use super::{Error, Log};
use async_nats::jetstream::kv::{CreateErrorKind, Operation, UpdateErrorKind};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A lease on a key of the bucket.
#[derive(Debug)]
pub struct Lease {
    log: Log,
    key: String,
    holder: String,
    term: Duration,
    /// The revision that we hold.
    held: Option<u64>,
    /// The revision of another holder, and since when it has not changed.
    seen: Option<(u64, Instant)>,
}

impl Lease {
    /// A lease that `holder` wants to have, for `term` after each renewal.
    #[must_use]
    pub fn new(log: Log, key: &str, holder: &str, term: Duration) -> Self {
        Self { log, key: key.to_owned(), holder: holder.to_owned(), term, held: None, seen: None }
    }

    /// How long it lasts after each renewal.
    #[must_use]
    pub fn term(&self) -> Duration {
        self.term
    }

    /// Takes or renews the lease, and says whether it is held now. To be called several times in a term.
    ///
    /// # Errors
    /// No answer: whether it is held is not known, and the holder goes on until another's fence stops it.
    pub async fn keep(&mut self) -> Result<bool, Error> {
        let kept = self.try_keep().await;
        if kept.is_err() {
            // A server may have lost the bucket with its storage. Where it is there, this changes nothing.
            let _ = self.log.keep_bucket().await;
        }
        kept
    }

    async fn try_keep(&mut self) -> Result<bool, Error> {
        if let Some(revision) = self.held
            && self.renew(revision).await?
        {
            return Ok(true);
        }
        // A renewal that was not answered may have been ours.
        let entry = self.log.bucket.entry(&self.key).await;
        let entry = entry.map_err(|error| Error::request("the lease")(&error))?;
        match entry.filter(|entry| entry.operation == Operation::Put) {
            None => self.take().await,
            Some(entry) if entry.value == self.holder.as_bytes() => self.renew(entry.revision).await,
            Some(entry) => match self.seen {
                Some((seen, since)) if seen == entry.revision => {
                    if since.elapsed() < self.term {
                        return Ok(false);
                    }
                    self.renew(entry.revision).await
                }
                _ => {
                    self.seen = Some((entry.revision, Instant::now()));
                    Ok(false)
                }
            },
        }
    }

    /// Gives the lease back, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// No answer.
    pub async fn release(&mut self) -> Result<(), Error> {
        let Some(revision) = self.held.take() else { return Ok(()) };
        let deleted = self.log.bucket.delete_expect_revision(&self.key, Some(revision)).await;
        deleted.map_err(|error| Error::request("the release of the lease")(&error))
    }

    async fn take(&mut self) -> Result<bool, Error> {
        let taken = match self.log.bucket.create(&self.key, self.value()).await {
            Ok(revision) => Ok(revision),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => return Ok(false),
            Err(error) => Err(Error::request("the lease")(&error)),
        };
        self.log.refusing.written(&taken);
        taken.map(|revision| self.hold(revision))
    }

    /// Puts our name over this revision.
    async fn renew(&mut self, revision: u64) -> Result<bool, Error> {
        let renewed = match self.log.bucket.update(&self.key, self.value(), revision).await {
            Ok(revision) => Ok(revision),
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                (self.held, self.seen) = (None, None);
                return Ok(false);
            }
            Err(error) => Err(Error::request("the renewal of the lease")(&error)),
        };
        self.log.refusing.written(&renewed);
        renewed.map(|revision| self.hold(revision))
    }

    fn hold(&mut self, revision: u64) -> bool {
        (self.held, self.seen) = (Some(revision), None);
        true
    }

    fn value(&self) -> Bytes {
        self.holder.clone().into_bytes().into()
    }
}
