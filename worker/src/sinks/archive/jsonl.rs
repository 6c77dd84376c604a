//! JSON lines with zstd: one object for each event, with the columns of the Parquet files; absent where they are null.

use super::object::ArchiveRow;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufWriter, Write};
use turbo_core::event::Body;
use turbo_core::hydrated::Hydrated;

const LEVEL: i32 = 3;

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    slice: &'a str,
    partition: u16,
    did: &'a str,
    time_us: i64,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a RawValue>,
    hydration: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hydrated: Option<&'a RawValue>,
}

/// Writes one object.
pub(super) struct Writer(zstd::Encoder<'static, BufWriter<File>>);

impl Writer {
    pub(super) fn new(file: File) -> std::io::Result<Self> {
        Ok(Self(zstd::Encoder::new(BufWriter::with_capacity(1 << 18, file), LEVEL)?))
    }

    pub(super) fn write(&mut self, rows: &[ArchiveRow<'_>]) -> std::io::Result<()> {
        for row in rows {
            serde_json::to_writer(&mut self.0, &line(row)?)?;
            self.0.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> std::io::Result<File> {
        self.0.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

fn line<'a>(row: &ArchiveRow<'a>) -> serde_json::Result<Line<'a>> {
    let commit = match &row.waited.event.body {
        Body::Commit(commit) => Some(commit),
        _ => None,
    };
    Ok(Line {
        seq: row.waited.seq,
        slice: row.slice,
        partition: row.partition,
        did: &row.waited.event.key,
        time_us: row.waited.event.time_us,
        kind: row.waited.event.kind().as_str(),
        operation: commit.map(|commit| commit.operation.as_str()),
        collection: commit.map(|commit| &*commit.collection),
        rkey: commit.map(|commit| &*commit.rkey),
        rev: row.waited.event.rev(),
        cid: commit.and_then(|commit| commit.cid.as_deref()),
        record: row.record().map(serde_json::from_str).transpose()?,
        event: row.whole_event().map(serde_json::from_str).transpose()?,
        hydration: Hydrated::word(row.waited.hydrated.as_ref()),
        hydrated: Hydrated::json(row.waited.hydrated.as_ref()).map(serde_json::from_str).transpose()?,
    })
}
