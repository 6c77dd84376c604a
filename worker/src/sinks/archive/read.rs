//! Reads an object back: what is in it, in bounded memory.

use super::Format;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A line of JSON is at most an event (2 MiB), twice: its parts are written out as they came.
const LONGEST_LINE: u64 = 64 << 20;

/// What is in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows.
    pub rows: u64,
    /// Sequence of the first row; 0 without rows.
    pub first_seq: u64,
    /// Sequence of the last row; 0 without rows.
    pub last_seq: u64,
}

/// Why an object is not what it has to be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can not be read.
    #[error("it can not be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no Parquet.
    #[error("Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// The columns are not those of the archive.
    #[error("it has no column {0}")]
    Column(&'static str),
    /// A line is no row.
    #[error("line {line} is no row: {why}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// Why not.
        why: String,
    },
    /// Rows do not grow.
    #[error("row {row} has sequence {seq}, behind {before}: rows are not in the order of the log")]
    Order {
        /// Its number, from 1.
        row: u64,
        /// Its sequence.
        seq: u64,
        /// The sequence of the row before.
        before: u64,
    },
    /// A row is of another shard.
    #[error("row {row} is of {slice}/{partition}")]
    Shard {
        /// Its number, from 1.
        row: u64,
        /// Its slice.
        slice: String,
        /// Its partition.
        partition: i64,
    },
}

impl Contents {
    fn add(&mut self, seq: u64) -> Result<(), Error> {
        self.rows += 1;
        if self.rows == 1 {
            self.first_seq = seq;
        } else if seq <= self.last_seq {
            return Err(Error::Order { row: self.rows, seq, before: self.last_seq });
        }
        self.last_seq = seq;
        Ok(())
    }

    fn of_shard(&self, is: (&str, i64), has_to_be: (&str, u16)) -> Result<(), Error> {
        if is.0 == has_to_be.0 && is.1 == i64::from(has_to_be.1) {
            return Ok(());
        }
        Err(Error::Shard { row: self.rows, slice: is.0.to_owned(), partition: is.1 })
    }
}

/// Reads an object of this shard: its rows have to be in the order of the log.
///
/// # Errors
/// It is broken, or has rows that do not belong there.
pub fn contents(file: &Path, format: Format, slice: &str, partition: u16) -> Result<Contents, Error> {
    match format {
        Format::Parquet => parquet(File::open(file)?, (slice, partition)),
        Format::Jsonl => jsonl(File::open(file)?, (slice, partition)),
    }
}

fn parquet(file: File, shard: (&str, u16)) -> Result<Contents, Error> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let all: Vec<usize> = (0..builder.parquet_schema().num_columns()).collect();
    // Every column is decoded, so that a page that is broken anywhere is found.
    let mask = ProjectionMask::leaves(builder.parquet_schema(), all);
    let mut contents = Contents::default();
    for batch in builder.with_projection(mask).with_batch_size(1024).build()? {
        let batch = batch.map_err(|error| ::parquet::errors::ParquetError::ArrowError(error.to_string()))?;
        let column = |name: &'static str| batch.column_by_name(name).ok_or(Error::Column(name));
        let seqs = column("seq")?.as_primitive_opt::<Int64Type>().ok_or(Error::Column("seq"))?;
        let slices = column("slice")?.as_string_opt::<i32>().ok_or(Error::Column("slice"))?;
        let partitions = column("partition")?.as_primitive_opt::<Int32Type>().ok_or(Error::Column("partition"))?;
        for at in 0..batch.num_rows() {
            contents.add(seqs.value(at) as u64)?;
            contents.of_shard((slices.value(at), i64::from(partitions.value(at))), shard)?;
        }
    }
    Ok(contents)
}

#[derive(serde::Deserialize)]
struct Row<'a> {
    seq: u64,
    #[serde(borrow)]
    slice: std::borrow::Cow<'a, str>,
    partition: i64,
}

fn jsonl(file: File, shard: (&str, u16)) -> Result<Contents, Error> {
    let mut lines = BufReader::new(zstd::Decoder::new(file)?);
    let (mut contents, mut line) = (Contents::default(), Vec::new());
    loop {
        line.clear();
        if lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(contents);
        }
        let why = |why: String| Error::Line { line: contents.rows + 1, why };
        if line.pop() != Some(b'\n') {
            return Err(why("it is cut".to_owned()));
        }
        let row: Row<'_> = serde_json::from_slice(&line).map_err(|error| why(error.to_string()))?;
        contents.add(row.seq)?;
        contents.of_shard((&row.slice, row.partition), shard)?;
    }
}
