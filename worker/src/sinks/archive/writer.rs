//! Makes objects from intents, one after the other.

use super::chunk::{self, Waited};
use super::filling::Filling;
use super::object::{Error as ObjectError, Format};
use super::{Folder, Stamp};
use crate::live::Live;
use crate::sinks::intents::Intents;
use crate::sinks::sqlite::{self, Database};
use crate::telemetry::{events, trace};
use sqlx::Row;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Chunks read from SQLite at once.
const CHUNKS: i64 = 8;

/// Why an object could not be made.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Sqlite(#[from] sqlite::Error),
    #[error("SQLite: {0}")]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Chunk(#[from] chunk::Broken),
    #[error("{found} events wait for an intent of {rows}")]
    Rows { found: u64, rows: u64 },
    #[error("the writing task ended")]
    Task,
}

/// Makes the archive's objects.
pub struct Archiver {
    /// Where the events wait.
    pub database: Arc<Database>,
    /// Where the objects go.
    pub folder: Folder,
    /// Who is told.
    pub live: Arc<Live>,
}

#[derive(Clone, Debug)]
struct Intent {
    id: i64,
    slice: String,
    partition: u16,
    path: String,
    rows: u64,
    last_seq: u64,
}

impl Intents for Archiver {
    async fn drain(&self) -> bool {
        trace::archived();
        let intents = match self.intents().await {
            Ok(intents) => intents,
            Err(error) => {
                events::SegmentFailed { path: "", error: &error.to_string() }.emit();
                return false;
            }
        };
        for intent in intents {
            let began = trace::now();
            match self.make(&intent).await {
                Ok(bytes) => {
                    self.live.segment_committed(intent.rows);
                    trace::put(began, &intent.slice, intent.partition, intent.last_seq);
                    events::SegmentCommitted { path: &intent.path, rows: intent.rows, bytes }.emit();
                }
                Err(error) => {
                    let path = self.folder.place(&intent.path).display().to_string();
                    self.live.segment_failed(&format!("{path}: {error}"));
                    events::SegmentFailed { path: &path, error: &error.to_string() }.emit();
                    return false;
                }
            }
        }
        true
    }
}

impl Archiver {
    async fn intents(&self) -> Result<Vec<Intent>, Error> {
        let rows = sqlx::query(
            "SELECT id, slice, partition, path, rows, last_seq FROM segments WHERE state = 'intent' ORDER BY id",
        )
        .fetch_all(&self.database.read)
        .await?;
        let intent = |row: sqlx::sqlite::SqliteRow| {
            Ok(Intent {
                id: row.try_get("id")?,
                slice: row.try_get("slice")?,
                partition: row.try_get("partition")?,
                path: row.try_get("path")?,
                rows: row.try_get::<i64, _>("rows")? as u64,
                last_seq: row.try_get::<i64, _>("last_seq")? as u64,
            })
        };
        rows.into_iter().map(intent).collect()
    }

    async fn make(&self, intent: &Intent) -> Result<u64, Error> {
        self.database.make_durable().await?;
        let (events, rows) = mpsc::channel(1);
        let (folder, owned) = (self.folder.clone(), intent.clone());
        let writing = tokio::task::spawn_blocking(move || write_object(&folder, &owned, rows));
        let read = self.read_waiting(intent.id, events).await;
        let (found, stamp) = writing.await.map_err(|_| Error::Task)??;
        read?;
        if found != intent.rows {
            return Err(Error::Rows { found, rows: intent.rows });
        }
        self.commit(intent, &stamp).await?;
        Ok(stamp.bytes)
    }

    async fn read_waiting(&self, segment: i64, to: mpsc::Sender<Vec<Waited>>) -> Result<(), Error> {
        let mut after = 0i64;
        loop {
            let rows = sqlx::query("SELECT id, chunk FROM waiting WHERE segment = ? AND id > ? ORDER BY id LIMIT ?")
                .bind(segment)
                .bind(after)
                .bind(CHUNKS)
                .fetch_all(&self.database.read)
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get("id")?;
            for row in &rows {
                if to.send(chunk::read(row.try_get("chunk")?)?).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn commit(&self, intent: &Intent, stamp: &Stamp) -> Result<(), Error> {
        let mut transaction = self.database.begin().await?;
        sqlx::query(
            "UPDATE segments SET state = 'committed', bytes = ?, checksum = ? WHERE id = ? AND state = 'intent'",
        )
        .bind(stamp.bytes as i64)
        .bind(stamp.checksum.clone())
        .bind(intent.id)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("DELETE FROM waiting WHERE segment = ?").bind(intent.id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Writes the object and puts it in place: events in it, its size, its checksum.
fn write_object(
    folder: &Folder,
    intent: &Intent,
    mut events: mpsc::Receiver<Vec<Waited>>,
) -> Result<(u64, Stamp), Error> {
    folder.clear(&intent.path)?;
    let (partial, file) = folder.begin(&intent.path)?;
    // The name was fixed with the intent; what the pipeline file asks for may have changed since.
    let mut filling = Filling::begin(Format::of(&intent.path), file, &intent.slice, intent.partition)?;
    while let Some(more) = events.blocking_recv() {
        filling.add(more)?;
    }
    let (file, found) = filling.finish()?;
    if found != intent.rows {
        return Err(Error::Rows { found, rows: intent.rows });
    }
    let stamp = Stamp::of(&partial)?;
    folder.put(&intent.path, &file)?;
    Ok((found, stamp))
}
