//! Upkeep: what may go goes, in bounded steps.

use super::{Database, Error};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::time::Duration;

/// How long a tombstone stays: an older revision can come from a rewind, which reaches 15 minutes back, give or take a
/// host's clock.
const TOMBSTONES_STAY: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(10);
/// Rows removed in one step.
const ROWS: u64 = 2000;
/// Pages given back in one step.
const PAGES: i64 = 1000;
/// Between two steps the commits have their turn.
const PAUSE: Duration = Duration::from_millis(50);

/// The task that removes what is no longer needed.
pub struct Upkeep {
    /// The database.
    pub database: Arc<Database>,
    /// Whether windows are cut off the file: a tombstone stays until its window is cut, which is to have it.
    pub rotates: bool,
}

impl Upkeep {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = self.all().await {
                tracing::warn!(%error, "what is no longer needed stays for now");
            }
        }
    }

    async fn all(&self) -> Result<(), Error> {
        while !self.rotates && self.remove_tombstones().await? == ROWS {
            tokio::time::sleep(PAUSE).await;
        }
        while self.give_back().await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Gives some of the file's free pages back to the system, where they are more than a quarter of it: what commits
    /// free and use again stays. Returns whether there are more.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn give_back(&self) -> Result<bool, Error> {
        let number = |pragma: &'static str| sqlx::query_scalar::<_, i64>(pragma).fetch_one(&self.database.write);
        let (free, pages) = (number("PRAGMA freelist_count").await?, number("PRAGMA page_count").await?);
        let many = |free: i64, pages: i64| free > PAGES && free > pages / 4;
        if many(free, pages) {
            sqlx::raw_sql(AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES})")))
                .execute(&self.database.write)
                .await?;
            // A file that was made without it gives nothing back.
            return Ok(number("PRAGMA freelist_count").await? < free && many(free - PAGES, pages - PAGES));
        }
        Ok(false)
    }

    /// Removes some of the tombstones that no older revision can follow any more.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn remove_tombstones(&self) -> Result<u64, Error> {
        let before = format!("{:.6}", jiff::Timestamp::now().saturating_sub(TOMBSTONES_STAY).unwrap_or_default());
        let removed = sqlx::query(
            "DELETE FROM record_state WHERE rowid IN
               (SELECT rowid FROM record_state WHERE record IS NULL AND indexed_at < ? ORDER BY indexed_at LIMIT ?)",
        )
        .bind(before)
        .bind(ROWS as i64)
        .execute(&self.database.write)
        .await?;
        Ok(removed.rows_affected())
    }
}

#[cfg(test)]
#[path = "upkeep_tests.rs"]
mod tests;
