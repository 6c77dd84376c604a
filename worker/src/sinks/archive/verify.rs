//! Whether an object is what the catalog says of it.

use super::read::{self, Contents};
use super::{Format, Store, store};
use crate::sinks::postgres::Segment;
use std::path::Path;
use std::time::Duration;
use turbo_core::backoff::Backoff;

const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How often a store that is away is asked again.
const ATTEMPTS: u32 = 5;

/// What is wrong with a committed segment.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no object.
    #[error("the object is not there")]
    Missing,
    /// It has another size.
    #[error("the object has {found} bytes, where {committed} were committed")]
    Size {
        /// Bytes that were read; one more than committed where there are more.
        found: u64,
        /// Bytes in the catalog.
        committed: u64,
    },
    /// It has another content.
    #[error("the object has the checksum {found}, where {committed} was committed")]
    Checksum {
        /// Of what was read.
        found: String,
        /// In the catalog.
        committed: String,
    },
    /// Its rows can not be read, or do not belong there.
    #[error("the object is broken: {0}")]
    Broken(#[from] read::Error),
    /// It has other rows.
    #[error("the object has {} rows from {} to {}, where {} from {} to {} were committed",
        .found.rows, .found.first_seq, .found.last_seq, .committed.rows, .committed.first_seq, .committed.last_seq)]
    Rows {
        /// What was read.
        found: Contents,
        /// What the catalog says.
        committed: Contents,
    },
    /// It begins before the segment before it ends.
    #[error("it begins at {first_seq}, and {path} ends at {last_seq}: events are in both")]
    Overlap {
        /// Its first sequence.
        first_seq: u64,
        /// The segment before.
        path: String,
        /// Its last sequence.
        last_seq: u64,
    },
}

/// Why a segment could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store is away or refuses.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The reading task ended early.
    #[error("the reading task ended early")]
    Task,
}

/// Reads the object of a committed segment back, by way of the file `scratch`. `before` is the committed segment of the
/// same shard before it.
///
/// # Errors
/// It could not be read.
pub async fn verify(
    store: &Store,
    segment: &Segment,
    before: Option<&Segment>,
    scratch: &Path,
) -> Result<Option<Problem>, Error> {
    let object = &segment.object;
    if let Some(before) = before.filter(|before| before.object.last_seq >= object.first_seq) {
        let (path, last_seq) = (before.object.path.clone(), before.object.last_seq);
        return Ok(Some(Problem::Overlap { first_seq: object.first_seq, path, last_seq }));
    }
    let Some(stamp) = fetch(store, &object.path, scratch, object.bytes).await? else {
        return Ok(Some(Problem::Missing));
    };
    if stamp.bytes != object.bytes {
        return Ok(Some(Problem::Size { found: stamp.bytes, committed: object.bytes }));
    }
    if stamp.checksum != object.checksum {
        return Ok(Some(Problem::Checksum { found: stamp.checksum, committed: object.checksum.clone() }));
    }
    let (file, of, format) = (scratch.to_owned(), segment.of.clone(), Format::of(&object.path));
    let reading = tokio::task::spawn_blocking(move || read::contents(&file, format, &of.slice, of.partition));
    let committed = Contents { rows: object.rows, first_seq: object.first_seq, last_seq: object.last_seq };
    Ok(match reading.await.map_err(|_| Error::Task)? {
        Ok(found) if found == committed => None,
        Ok(found) => Some(Problem::Rows { found, committed }),
        Err(error) => Some(Problem::Broken(error)),
    })
}

/// Copies an object into a file; tries some times while the store is away.
pub(super) async fn fetch(
    store: &Store,
    path: &str,
    to: &Path,
    limit: u64,
) -> Result<Option<super::Stamp>, store::Error> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    loop {
        match store.get(path, to, limit).await {
            Err(error) if error.is_outage() && backoff.failures() + 1 < ATTEMPTS => {
                tracing::warn!("{error}; it is tried again");
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
            outcome => return outcome,
        }
    }
}
