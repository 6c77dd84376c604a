//! Parquet with zstd. Rows are in log order; statistics for pages and a bloom filter on `did` let a reader skip.

use super::object::{ArchiveRow, Error};
use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::sync::Arc;
use turbo_core::event::Body;
use turbo_core::hydrated::Hydrated;

/// Rows in a group, and bytes: bound what the writer holds in memory.
const GROUP_ROWS: usize = 10_000;
const GROUP_BYTES: usize = 64 << 20;

/// The columns, in order. Integers are signed, as SQL has them.
fn schema() -> Schema {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        Field::new("seq", DataType::Int64, false),
        text("slice", false),
        Field::new("partition", DataType::Int32, false),
        text("did", false),
        Field::new("time_us", DataType::Int64, false),
        text("kind", false),
        text("operation", true),
        text("collection", true),
        text("rkey", true),
        text("rev", true),
        text("cid", true),
        text("record", true),
        text("event", true),
        text("hydration", false),
        text("hydrated", true),
    ])
}

fn properties() -> Result<WriterProperties, Error> {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_column_bloom_filter_enabled(column("did"), true);
    for name in ["record", "event", "hydrated", "cid"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_statistics_enabled(column(name), EnabledStatistics::None);
    }
    for name in ["seq", "time_us"] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

/// Writes one object.
pub(super) struct Writer {
    schema: Arc<Schema>,
    inner: ArrowWriter<File>,
}

impl Writer {
    pub(super) fn new(file: File) -> Result<Self, Error> {
        let schema = Arc::new(schema());
        let inner = ArrowWriter::try_new(file, schema.clone(), Some(properties()?))?;
        Ok(Self { schema, inner })
    }

    pub(super) fn write(&mut self, rows: &[ArchiveRow<'_>]) -> Result<(), Error> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns(rows))
            .map_err(|e| parquet::errors::ParquetError::ArrowError(e.to_string()))?;
        Ok(self.inner.write(&batch)?)
    }

    pub(super) fn finish(self) -> Result<File, Error> {
        Ok(self.inner.into_inner()?)
    }
}

fn columns(rows: &[ArchiveRow<'_>]) -> Vec<ArrayRef> {
    let longs = |value: &dyn Fn(&ArchiveRow<'_>) -> i64| -> ArrayRef {
        let mut column = Int64Builder::with_capacity(rows.len());
        rows.iter().for_each(|row| column.append_value(value(row)));
        Arc::new(column.finish())
    };
    let mut partitions = Int32Builder::with_capacity(rows.len());
    rows.iter().for_each(|row| partitions.append_value(i32::from(row.partition)));
    vec![
        longs(&|row| row.waited.seq as i64),
        texts(rows, |row| Some(row.slice)),
        Arc::new(partitions.finish()),
        texts(rows, |row| Some(&row.waited.event.key)),
        longs(&|row| row.waited.event.time_us),
        texts(rows, |row| Some(row.waited.event.kind().as_str())),
        texts(rows, |row| of_commit(row, |commit| Some(commit.operation.as_str()))),
        texts(rows, |row| of_commit(row, |commit| Some(&commit.collection))),
        texts(rows, |row| of_commit(row, |commit| Some(&commit.rkey))),
        texts(rows, |row| row.waited.event.rev()),
        texts(rows, |row| of_commit(row, |commit| commit.cid.as_deref())),
        texts(rows, ArchiveRow::record),
        texts(rows, ArchiveRow::whole_event),
        texts(rows, |row| Some(Hydrated::word(row.waited.hydrated.as_ref()))),
        texts(rows, |row| Hydrated::json(row.waited.hydrated.as_ref())),
    ]
}

fn texts<'a>(rows: &[ArchiveRow<'a>], value: impl Fn(&ArchiveRow<'a>) -> Option<&'a str>) -> ArrayRef {
    let mut column = StringBuilder::new();
    rows.iter().for_each(|row| column.append_option(value(row)));
    Arc::new(column.finish())
}

fn of_commit<'a>(
    row: &ArchiveRow<'a>,
    value: impl Fn(&'a turbo_core::event::Commit) -> Option<&'a str>,
) -> Option<&'a str> {
    match &row.waited.event.body {
        Body::Commit(commit) => value(commit),
        _ => None,
    }
}
