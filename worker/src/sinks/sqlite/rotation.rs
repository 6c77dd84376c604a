//! Rotation: what has changed is cut off into a compressed file of its own, by size or by age.
//!
//! Invariants:
//! - a cut is one transaction: the table of records is renamed and an empty one takes its place, so that every change is
//!   in exactly one window;
//! - a window stands on its own: its file holds `records` as last changed in it, deletes as rows without a record, and
//!   the `accounts` changed in it;
//! - the table of a cut window goes in the transaction that marks its file committed; a process that is killed in
//!   between finds the intent and makes the same file again.

use super::window_file::Windows;
use super::{Database, Error};
use crate::sinks::archive::Store;
use crate::sinks::feed::Report;
use crate::sinks::intents::Handle;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};
use std::sync::Arc;
use std::time::Duration;

/// Cuts windows off the file.
pub struct Rotation {
    database: Arc<Database>,
    size: Option<u64>,
    age: Option<Duration>,
    begun_us: i64,
    bytes: u64,
    files: Handle,
}

impl Rotation {
    /// A rotation by bytes of records, by age, or by what comes first; `keep` files stay, and each is copied to the store.
    /// What becomes of the files is told to `report`.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn load(
        database: Arc<Database>,
        size: Option<u64>,
        age: Option<Duration>,
        keep: u32,
        store: Option<Store>,
        report: Report,
    ) -> Result<Self, Error> {
        sqlx::query(
            "INSERT INTO rotations (begun_us, first_seq, state)
             SELECT ?, seq + 1, 'open' FROM pipeline WHERE NOT EXISTS (SELECT 1 FROM rotations WHERE state = 'open')",
        )
        .bind(now_us())
        .execute(&database.write)
        .await?;
        let begun_us = sqlx::query_scalar("SELECT begun_us FROM rotations WHERE state = 'open'")
            .fetch_one(&database.write)
            .await?;
        let bytes: i64 = sqlx::query_scalar("SELECT coalesce(sum(length(record)), 0) FROM record_state")
            .fetch_one(&database.write)
            .await?;
        let files = Handle::spawn(Windows { database: database.clone(), keep, store, report });
        Ok(Self { database, size, age, begun_us, bytes: bytes as u64, files })
    }

    /// A commit wrote this many bytes of records.
    pub fn grown(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether the open window is large enough.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.size.is_some_and(|limit| self.bytes >= limit)
    }

    /// Cuts the open window, if it is large or old enough and there is anything in it.
    ///
    /// # Errors
    /// SQLite refuses; nothing is cut then.
    pub async fn cut_if_due(&mut self) -> Result<(), Error> {
        let age_us = now_us() - self.begun_us;
        let old = self.age.is_some_and(|limit| age_us >= i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
        if old || self.is_full() {
            self.cut().await?;
            self.files.wake();
        }
        Ok(())
    }

    /// Makes the files of all windows that were cut, and ends.
    pub async fn finish(self) {
        self.files.finish().await;
    }

    async fn cut(&mut self) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        let row = sqlx::query(
            "SELECT id, first_seq, (SELECT seq FROM pipeline) AS last_seq FROM rotations WHERE state = 'open'",
        )
        .fetch_one(&mut *transaction)
        .await?;
        let (id, first, last): (i64, i64, i64) =
            (row.try_get("id")?, row.try_get("first_seq")?, row.try_get("last_seq")?);
        let now_us = now_us();
        if last < first {
            sqlx::query("UPDATE rotations SET begun_us = ? WHERE id = ?")
                .bind(now_us)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        } else {
            set_aside(&mut transaction, id, first).await?;
            sqlx::query("UPDATE rotations SET state = 'intent', ended_us = ?, last_seq = ?, path = ? WHERE id = ?")
                .bind(now_us)
                .bind(last)
                .bind(self.file_name(id))
                .bind(id)
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO rotations (begun_us, first_seq, state) VALUES (?, ?, 'open')")
                .bind(now_us)
                .bind(last + 1)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        (self.begun_us, self.bytes) = (now_us, 0);
        Ok(())
    }

    /// The name of the file, when the window began, its number. The windows lie beside the file.
    fn file_name(&self, id: i64) -> String {
        let stem = self.database.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let begun = jiff::Timestamp::from_microsecond(self.begun_us).unwrap_or_default();
        format!("{stem}-{}-{id:06}.sqlite.zst", begun.strftime("%Y%m%dT%H%M%SZ"))
    }
}

/// Renames the table of records to that of window `id`, and makes an empty one with the same text.
async fn set_aside(connection: &mut SqliteConnection, id: i64, first_seq: i64) -> Result<(), Error> {
    let schema = sqlx::query(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND (tbl_name = 'record_state' OR name = 'records')
         ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END",
    )
    .fetch_all(&mut *connection)
    .await?;
    // The view goes first: SQLite would let it follow the renamed table.
    for row in schema.iter().rev() {
        let (kind, name): (String, String) = (row.try_get("type")?, row.try_get("name")?);
        let sql = match kind.as_str() {
            "table" => format!("ALTER TABLE {name} RENAME TO window_{id}"),
            kind => format!("DROP {kind} {name}"),
        };
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    for row in &schema {
        let sql: String = row.try_get("sql")?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    let accounts = format!("CREATE TABLE window_{id}_accounts AS SELECT * FROM accounts WHERE seq >= {first_seq}");
    sqlx::raw_sql(AssertSqlSafe(accounts)).execute(&mut *connection).await?;
    Ok(())
}

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_window_is_cut_at_its_age_if_there_is_anything_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("x.sqlite")).await.unwrap());
        let load = async |age| Rotation::load(database.clone(), None, age, 3, None, Report::default()).await.unwrap();
        let cut = async || {
            let cut = "SELECT count(*) FROM rotations WHERE state <> 'open' AND first_seq = 1 AND last_seq = 7";
            sqlx::query_scalar::<_, i64>(cut).fetch_one(&database.read).await.unwrap()
        };
        let pipeline = "INSERT INTO pipeline (one, name, slices, seq) VALUES (1, 'x', '', 0)";
        sqlx::raw_sql(pipeline).execute(&database.write).await.unwrap();
        load(Some(Duration::ZERO)).await.cut_if_due().await.unwrap();
        assert_eq!(cut().await, 0, "nothing has changed");
        sqlx::raw_sql("UPDATE pipeline SET seq = 7").execute(&database.write).await.unwrap();
        load(None).await.cut_if_due().await.unwrap();
        load(Some(Duration::from_secs(3600))).await.cut_if_due().await.unwrap();
        assert_eq!(cut().await, 0, "it is not old enough");
        let mut rotation = load(Some(Duration::ZERO)).await;
        rotation.cut_if_due().await.unwrap();
        rotation.finish().await;
        assert_eq!(cut().await, 1);
        database.close().await;
    }
}
