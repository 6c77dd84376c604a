//! Upkeep: what may go goes, in bounded steps.

use super::{Database, Error};
use std::sync::Arc;
use std::time::Duration;

/// How long a tombstone stays: an older revision can come from a rewind, which reaches 15 minutes back, give or take a
/// host's clock.
const TOMBSTONES_STAY: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(10);
const ROWS: i64 = 2000;

/// The task that removes what is no longer needed.
pub struct Upkeep {
    /// The database.
    pub database: Arc<Database>,
}

impl Upkeep {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "old tombstones stay for now");
            }
        }
    }

    /// Removes some of the tombstones that no older revision can follow any more.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn step(&self) -> Result<u64, Error> {
        let before = format!("{:.6}", jiff::Timestamp::now().saturating_sub(TOMBSTONES_STAY).unwrap_or_default());
        let removed = sqlx::query(
            "DELETE FROM record_state WHERE rowid IN
               (SELECT rowid FROM record_state WHERE record IS NULL AND indexed_at < ? ORDER BY indexed_at LIMIT ?)",
        )
        .bind(before)
        .bind(ROWS)
        .execute(&self.database.write)
        .await?;
        Ok(removed.rows_affected())
    }
}
