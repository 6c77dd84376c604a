//! Answers that do not come.

use super::Error;
use std::future::Future;
use std::time::Duration;

/// What the database answers, or [`Error::NoAnswer`] where it does not within the limit: what it was asked for may have
/// happened all the same, and whoever asked has to read the state again.
///
/// # Errors
/// No answer, or the work's own.
pub(crate) async fn answered<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Error::NoAnswer(limit)))
}
