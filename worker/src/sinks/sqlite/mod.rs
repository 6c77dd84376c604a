//! SQLite: records and catalog in one file, and so in one transaction.
//!
//! Invariants:
//! - rows, counters, shard positions, the source position, the dedup window and what waits for the archive change in one
//!   transaction, so that a killed process finds all of them or none;
//! - one process writes a file at a time: it holds a lock beside it;
//! - the slices of a file never change.

mod bulk;
mod checkpoint;
mod claim;
mod commit;
mod effects;
mod queue;
pub mod rotation;
pub mod segments;
mod transaction;
mod upkeep;
mod window_file;

pub use checkpoint::Checkpoints;
pub use claim::{Claim, Loaded};
pub use commit::{Committed, Committer};
pub use queue::Hydrations;
pub use upkeep::Upkeep;

use checkpoint::Grown;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// SQLite's page cache, and the pages of a new file in bytes: of rows alone, and of rows with documents, which are four times as
/// large.
const ROWS: (u32, u32) = (8 << 10, 4 << 10);
const DOCUMENTS: (u32, u32) = (16 << 10, 8 << 10);

/// Pages in the write-ahead log before the connection that commits copies what is not in the file yet.
const WAL_PAGES: u32 = 16_000;

/// Why the SQLite sink does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or the lock file can not be made.
    #[error("spec.sinks.sqlite.path: {path}: {source}; give a path in a folder that can be written")]
    Path {
        /// The path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has the file.
    #[error("spec.sinks.sqlite.path: {0} is in use by another process; stop that one, or give another path")]
    InUse(String),
    /// The file belongs to another pipeline.
    #[error("{field}: {given} does not fit {path}, which was made with {made}; give that, or another path")]
    OtherPipeline {
        /// The field of the pipeline file.
        field: &'static str,
        /// What it says.
        given: String,
        /// The file.
        path: String,
        /// What the file was made with.
        made: String,
    },
    /// The file can not be opened as a database.
    #[error(
        "spec.sinks.sqlite.path: {path} can not be opened: {why}; give a file that this program made, or a new path"
    )]
    Open {
        /// The path.
        path: String,
        /// What SQLite says.
        why: String,
    },
    /// SQLite refuses.
    #[error("SQLite: {0}")]
    Sql(#[from] sqlx::Error),
    /// What is stored can not be read.
    #[error("SQLite: the row of {0} is broken")]
    Broken(&'static str),
}

/// An open database, locked for this process.
#[derive(Debug)]
pub struct Database {
    /// The one connection that writes.
    pub write: SqlitePool,
    /// Connections that only read.
    pub read: SqlitePool,
    /// The connection that copies the write-ahead log.
    copy: SqlitePool,
    grown: Grown,
    path: PathBuf,
    /// Held for as long as the database is open.
    _lock: File,
}

impl Database {
    /// Opens the file, makes it where it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// The path can not be used, another process has it, or SQLite refuses.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Self::opened(path, ROWS).await
    }

    /// The same, for rows with documents.
    ///
    /// # Errors
    /// As above.
    pub async fn open_for_documents(path: &Path) -> Result<Self, Error> {
        Self::opened(path, DOCUMENTS).await
    }

    async fn opened(path: &Path, (cache_kib, page): (u32, u32)) -> Result<Self, Error> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(page)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            .pragma("cache_size", format!("-{cache_kib}"))
            .pragma("temp_store", "memory")
            .pragma("wal_autocheckpoint", WAL_PAGES.to_string());
        // A connection of its own for the whole life: no check before each use, no idle time-out.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false).idle_timeout(None).max_lifetime(None);
        let writing = options.clone().auto_vacuum(SqliteAutoVacuum::Incremental);
        let failed = |why: String| Error::Open { path: path.display().to_string(), why };
        let write = pool().max_connections(1).connect_with(writing).await.map_err(|e| failed(e.to_string()))?;
        // A process that was killed when it had just begun has left an empty list of migrations, and its index.
        let tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name <> '_sqlx_migrations'";
        let ours = "SELECT count(*) FROM sqlite_master WHERE name IN ('record_state', 'pipeline', '_sqlx_migrations')";
        let count = |sql| sqlx::query_scalar::<_, i64>(sql).fetch_one(&write);
        let (tables, ours) = (count(tables).await, count(ours).await);
        let (tables, ours) = (tables.map_err(|e| failed(e.to_string()))?, ours.map_err(|e| failed(e.to_string()))?);
        if tables > 0 && ours < 3 {
            return Err(failed("it holds the tables of another program".into()));
        }
        sqlx::migrate!("migrations/sqlite").run(&write).await.map_err(|e| failed(e.to_string()))?;
        let copy = pool().max_connections(1).connect_lazy_with(options.clone());
        let read =
            pool().max_connections(2).connect_with(options.read_only(true).pragma("cache_size", "-1024")).await?;
        Ok(Self { write, read, copy, grown: Grown::default(), path: path.to_owned(), _lock: lock })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Commits are not flushed to the disk one by one; but what is told of outside must never be forgotten, even by a power
    /// failure: a file must never be there without its intent.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn make_durable(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.write.acquire().await?;
        sqlx::raw_sql("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
        let flushed = sqlx::query("UPDATE pipeline SET one = one").execute(&mut *connection).await;
        sqlx::raw_sql("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
        flushed.map(drop)
    }

    /// Closes the connections; what is committed is in the file itself then.
    pub async fn close(&self) {
        self.read.close().await;
        self.copy.close().await;
        self.write.close().await;
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Path { path: path.display().to_string(), source };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = File::options().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path.display().to_string())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Now, as it stands in the columns of times: RFC 3339 in UTC with microseconds.
fn now_text() -> String {
    format!("{:.6}", jiff::Timestamp::now())
}
