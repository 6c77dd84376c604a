//! The rows of an object, the same for every format: a contract that grows and never changes its meaning.

use super::chunk::Waited;
use super::{jsonl, parquet};
use std::fs::File;
use turbo_core::event::Body;

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Parquet with zstd.
    Parquet,
    /// JSON lines with zstd.
    Jsonl,
}

impl Format {
    /// Ending of an object's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Jsonl => "jsonl.zst",
        }
    }

    /// The format of the object with this name.
    #[must_use]
    pub(super) fn of(path: &str) -> Self {
        if path.ends_with(Self::Jsonl.extension()) { Self::Jsonl } else { Self::Parquet }
    }
}

/// One event as a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArchiveRow<'a> {
    /// Name of the slice.
    pub slice: &'a str,
    /// Partition within the slice.
    pub partition: u16,
    /// The event, with its log sequence number and what was known of it.
    pub waited: &'a Waited,
}

impl<'a> ArchiveRow<'a> {
    /// The record of a commit, as JSON text.
    #[must_use]
    pub(super) fn record(&self) -> Option<&'a str> {
        match &self.waited.event.body {
            Body::Commit(commit) => commit.record.as_deref().and_then(|record| std::str::from_utf8(record).ok()),
            _ => None,
        }
    }

    /// The bytes of an event that is no commit.
    #[must_use]
    pub(super) fn whole_event(&self) -> Option<&'a str> {
        match &self.waited.event.body {
            Body::Commit(_) => None,
            _ => std::str::from_utf8(&self.waited.event.bytes).ok(),
        }
    }
}

/// An object that is being written.
pub(super) enum Object {
    Parquet(Box<parquet::Writer>),
    Jsonl(Box<jsonl::Writer>),
}

/// An object that can not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file can not be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Parquet refuses.
    #[error("Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

impl Object {
    pub(super) fn begin(format: Format, file: File) -> Result<Self, Error> {
        Ok(match format {
            Format::Parquet => Self::Parquet(Box::new(parquet::Writer::new(file)?)),
            Format::Jsonl => Self::Jsonl(Box::new(jsonl::Writer::new(file)?)),
        })
    }

    pub(super) fn write(&mut self, rows: &[ArchiveRow<'_>]) -> Result<(), Error> {
        match self {
            Self::Parquet(writer) => writer.write(rows),
            Self::Jsonl(writer) => Ok(writer.write(rows)?),
        }
    }

    /// Writes what is left, and gives the file back.
    pub(super) fn finish(self) -> Result<File, Error> {
        match self {
            Self::Parquet(writer) => writer.finish(),
            Self::Jsonl(writer) => Ok(writer.finish()?),
        }
    }
}
