//! Copies the write-ahead log into the file while commits go on: else each of them that fills the log waits for the disk.
//!
//! Invariants:
//! - a copy waits for nobody, and nobody waits for it (`PASSIVE`);
//! - the log stays bounded: at [`super::WAL_PAGES`] the connection that commits copies what is left by itself, and the log
//!   begins anew.

use super::Database;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Bytes of rows after which the log is copied; the pages that they change are several times as many. A page that has
/// changed often since is copied once.
const EVERY: u64 = 4 << 20;

/// What was committed since the log was copied.
#[derive(Debug, Default)]
pub(super) struct Grown {
    bytes: AtomicU64,
    due: Notify,
}

impl Grown {
    /// So many bytes of rows were committed.
    pub(super) fn by(&self, bytes: u64) {
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes >= EVERY {
            self.bytes.store(0, Ordering::Relaxed);
            self.due.notify_one();
        }
    }
}

/// The task that copies.
pub struct Checkpoints {
    /// The database.
    pub database: Arc<Database>,
}

impl Checkpoints {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            self.database.grown.due.notified().await;
            let copied = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&self.database.copy).await;
            if let Err(error) = copied {
                tracing::warn!(%error, "the write-ahead log is not copied beside the commits; they do it themselves");
            }
        }
    }
}
