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
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_with_much_room_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sqlite");
        let database = Arc::new(Database::open(&path).await.unwrap());
        let sql =
            "CREATE TABLE window_1 AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             SELECT i, zeroblob(1000) AS bytes FROM n";
        sqlx::raw_sql(sql).execute(&database.write).await.unwrap();
        sqlx::raw_sql("DROP TABLE window_1; PRAGMA wal_checkpoint(TRUNCATE)").execute(&database.write).await.unwrap();
        let before = std::fs::metadata(&path).unwrap().len();
        assert!(before > 20_000_000, "{before}");
        Upkeep { database: database.clone(), rotates: false }.all().await.unwrap();
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&database.write).await.unwrap();
        let after = std::fs::metadata(&path).unwrap().len();
        assert!(after < before / 2, "{after} of {before}");
        database.close().await;
    }

    #[tokio::test]
    async fn tombstones_go_when_they_are_old_unless_a_window_is_to_have_them() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("x.sqlite")).await.unwrap());
        let upkeep = |rotates| Upkeep { database: database.clone(), rotates };
        for (rkey, record, indexed_at) in
            [("old", "NULL", "2026-01-01"), ("kept", "'{}'", "2026-01-01"), ("new", "NULL", "9999-01-01")]
        {
            let sql = format!(
                "INSERT INTO record_state (did, collection, rkey, rev, record, time_us, indexed_at, slice, partition, seq)
                 VALUES ('did:plc:a', 'a.b.c', '{rkey}', 'r', {record}, 1, '{indexed_at}T00:00:00.000000Z', 'default', 0, 1)"
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.write).await.unwrap();
        }
        let left = async || {
            let left = sqlx::query_scalar::<_, String>("SELECT rkey FROM record_state ORDER BY rkey");
            left.fetch_all(&database.read).await.unwrap()
        };
        upkeep(true).all().await.unwrap();
        assert_eq!(left().await, ["kept", "new", "old"]);
        upkeep(false).all().await.unwrap();
        assert_eq!(left().await, ["kept", "new"]);
        database.close().await;
    }
}
