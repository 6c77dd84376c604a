//! Files of windows: each a SQLite file by itself, compressed with zstd, put in place only when it is whole, and copied to a
//! store where one is named.
//!
//! Invariants: a file goes only when the store has it; what is cut stays cut, also after a power failure, before its file is
//! made: the same name never bears something else.

use super::Database;
use crate::sinks::archive::store::{self, Put};
use crate::sinks::archive::{Stamp, Store};
use crate::sinks::feed::Report;
use crate::sinks::intents::Intents;
use crate::telemetry::events;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LEVEL: i32 = 3;
/// What the names of windows begin with in the store.
const BELOW: &str = "windows/";

/// Why a window's file could not be made, or copied.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("SQLite: {0}")]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a task that reads or writes files ended early")]
    Task,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{0}: another file is there; give spec.sinks.sqlite.rotate.s3 a prefix of its own, or remove it")]
    Taken(String),
}

/// Makes the files of windows that were cut.
pub(super) struct Windows {
    pub(super) database: Arc<Database>,
    /// How many files stay.
    pub(super) keep: u32,
    /// Where they are copied to.
    pub(super) store: Option<Store>,
    /// Who is told.
    pub(super) report: Report,
}

impl Intents for Windows {
    async fn drain(&self) -> bool {
        let mut failed = None;
        let made = ("made", self.make_all().await);
        let copied = ("copied", self.copy_all().await);
        for (what, outcome) in [made, copied, ("removed", self.remove_old().await)] {
            if let Err(error) = outcome {
                let error = format!("its file can not be {what}: {error}");
                events::WindowFailed { error: &error }.emit();
                failed.get_or_insert(error);
            }
        }
        match &failed {
            Some(error) => self.report.failed(None, error),
            None => self.report.well(None),
        }
        failed.is_none()
    }
}

impl Windows {
    async fn make_all(&self) -> Result<(), Error> {
        let intents = sqlx::query("SELECT id, path FROM rotations WHERE state = 'intent' ORDER BY id")
            .fetch_all(&self.database.read)
            .await?;
        if !intents.is_empty() {
            self.database.make_durable().await?;
        }
        for row in intents {
            let id: i64 = row.try_get("id")?;
            let place = self.place(row.try_get("path")?);
            let path = place.display().to_string();
            let plain = PathBuf::from(format!("{path}.plain"));
            remove(&plain)?;
            let rows = self.export(id, &plain).await?;
            tokio::task::spawn_blocking(move || compress(&plain, &place)).await.map_err(|_| Error::Task)??;
            self.commit(id, rows).await?;
            events::Rotated { path: &path, rows }.emit();
            self.report.made(rows);
        }
        Ok(())
    }

    /// Copies to the store what it does not have.
    async fn copy_all(&self) -> Result<(), Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let files =
            sqlx::query("SELECT id, path FROM rotations WHERE state = 'committed' AND NOT uploaded ORDER BY id")
                .fetch_all(&self.database.read)
                .await?;
        for row in files {
            let name: String = row.try_get("path")?;
            let (place, path) = (self.place(&name), format!("{BELOW}{name}"));
            let file = place.clone();
            let stamp = match tokio::task::spawn_blocking(move || Stamp::of(&file)).await.map_err(|_| Error::Task)? {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!(path = %place.display(), "the window's file is gone, and was not copied");
                    self.mark(row.try_get("id")?, "state = 'removed'").await?;
                    continue;
                }
                stamp => stamp?,
            };
            // What an attempt before this one left in parts.
            store.abort_uploads(&path).await?;
            if store.put_new(&path, &place, &stamp).await? == Put::Taken {
                return Err(Error::Taken(store.address(&path)));
            }
            self.mark(row.try_get("id")?, "uploaded = 1").await?;
            events::WindowCopied { path: &store.address(&path), bytes: stamp.bytes }.emit();
        }
        Ok(())
    }

    /// Where a file of this name lies: beside the database, wherever that lies now.
    fn place(&self, name: &str) -> PathBuf {
        self.database.path().with_file_name(name)
    }

    /// Copies the window into a file of its own. Returns the number of its records.
    async fn export(&self, id: i64, to: &Path) -> Result<u64, Error> {
        let mut file = SqliteConnectOptions::new()
            .filename(to)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .connect()
            .await?;
        sqlx::query("ATTACH ? AS live")
            .bind(self.database.path().to_string_lossy().into_owned())
            .execute(&mut file)
            .await?;
        for table in [(format!("window_{id}"), "records"), (format!("window_{id}_accounts"), "accounts")] {
            copy(&mut file, &table.0, table.1).await?;
        }
        let meta = "CREATE TABLE window AS SELECT p.name AS pipeline, r.begun_us, r.ended_us, r.first_seq, r.last_seq
             FROM live.rotations r, live.pipeline p WHERE r.id = ";
        sqlx::raw_sql(AssertSqlSafe(format!("{meta}{id}"))).execute(&mut file).await?;
        sqlx::raw_sql("CREATE UNIQUE INDEX records_key ON records (did, collection, rkey)").execute(&mut file).await?;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM records").fetch_one(&mut file).await?;
        sqlx::raw_sql("DETACH live").execute(&mut file).await?;
        file.close().await?;
        Ok(rows as u64)
    }

    /// Marks the file committed; the window's tables leave the database.
    async fn commit(&self, id: i64, rows: u64) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        sqlx::query("UPDATE rotations SET state = 'committed', rows = ? WHERE id = ?")
            .bind(rows as i64)
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        let drop = format!("DROP TABLE window_{id}; DROP TABLE window_{id}_accounts");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn remove_old(&self) -> Result<(), Error> {
        let old = sqlx::query(
            "SELECT id, path FROM (SELECT * FROM rotations WHERE state = 'committed' ORDER BY id DESC LIMIT -1 OFFSET ?)
             WHERE uploaded OR NOT ?",
        )
        .bind(self.keep)
        .bind(self.store.is_some())
        .fetch_all(&self.database.read)
        .await?;
        for row in old {
            remove(&self.place(row.try_get("path")?))?;
            self.mark(row.try_get("id")?, "state = 'removed'").await?;
        }
        Ok(())
    }

    async fn mark(&self, id: i64, set: &str) -> Result<(), Error> {
        let sql = AssertSqlSafe(format!("UPDATE rotations SET {set} WHERE id = ?"));
        sqlx::query(sql).bind(id).execute(&self.database.write).await?;
        Ok(())
    }
}

/// Copies a table of the attached database under another name, with its columns' types.
async fn copy(file: &mut SqliteConnection, from: &str, to: &str) -> Result<(), Error> {
    let sql: String = sqlx::query_scalar("SELECT sql FROM live.sqlite_master WHERE type = 'table' AND name = ?")
        .bind(from.to_owned())
        .fetch_one(&mut *file)
        .await?;
    let columns = sql.split_once('(').map_or("", |(_, columns)| columns);
    let copy = format!("CREATE TABLE {to} ({columns}; INSERT INTO {to} SELECT * FROM live.{from}");
    sqlx::raw_sql(AssertSqlSafe(copy)).execute(file).await?;
    Ok(())
}

/// Compresses `plain` to `place`; what stood at `place` was never committed.
fn compress(plain: &Path, place: &Path) -> Result<(), Error> {
    let partial = PathBuf::from(format!("{}.partial", place.display()));
    let mut encoder = zstd::Encoder::new(File::create(&partial)?, LEVEL)?;
    io::copy(&mut File::open(plain)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::rename(&partial, place)?;
    if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    remove(plain)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
