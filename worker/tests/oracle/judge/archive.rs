//! The archive: every object, as one finds it.

use super::events::Told;
use super::{Events, Failure, duckdb};
use crate::order::{Kind, Wrong};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The object that says whose the archive is.
const OWNER: &str = "test/_turbo_owner";

/// An object by which a worker asks how the store is; one that is killed in the middle leaves it for an hour.
const PROBE: &str = "_turbo_probe-";

/// Rows and their sum of sequences, of each shard: what DuckDB has to count too.
pub type Sums = BTreeMap<(String, i64), (u64, u128)>;

/// Reads all objects below a folder; DuckDB has to find the same in them.
///
/// # Errors
/// An object that can not be read.
pub fn archive(folder: &Path, wrong: &mut Wrong) -> Result<Events, Failure> {
    let (mut events, mut sums) = (Events::default(), Sums::new());
    for file in files(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if file.ends_with(OWNER) || name.starts_with(PROBE) {
            continue;
        }
        if file.extension().is_none_or(|extension| extension != "parquet") {
            wrong.note(Kind::Different, || format!("a stray object: {}", file.display()));
            continue;
        }
        let mut last = 0;
        for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(&file)?)?.build()? {
            rows(&batch?, &mut events, &mut sums, &mut last, &file, wrong)?;
        }
    }
    events.sort();
    duckdb::compare(folder, &sums, wrong)?;
    Ok(events)
}

/// Every file below a folder, in order.
///
/// # Errors
/// A folder that can not be read.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if !folder.exists() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

fn rows(
    batch: &RecordBatch,
    events: &mut Events,
    sums: &mut Sums,
    last: &mut u64,
    file: &Path,
    wrong: &mut Wrong,
) -> Result<(), Failure> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("{}: no {name}", file.display()));
    let texts = |name| column(name).map(|column| column.as_string::<i32>());
    let (seq, partition) = (column("seq")?.as_primitive::<Int64Type>(), column("partition")?);
    let partition = partition.as_primitive::<Int32Type>();
    let [slice, did, kind] = [texts("slice")?, texts("did")?, texts("kind")?];
    let [operation, collection, rkey] = [texts("operation")?, texts("collection")?, texts("rkey")?];
    let [rev, record, event] = [texts("rev")?, texts("record")?, texts("event")?];
    for at in 0..batch.num_rows() {
        let here = seq.value(at) as u64;
        if here <= *last {
            wrong.note(Kind::OutOfOrder, || format!("{}: seq {here} behind seq {last}", file.display()));
        }
        *last = here;
        let of = (slice.value(at).to_owned(), i64::from(partition.value(at)));
        let sum = sums.entry(of).or_default();
        *sum = (sum.0 + 1, sum.1 + u128::from(here));
        let told = Told {
            seq: here,
            slice: slice.value(at),
            partition: i64::from(partition.value(at)),
            did: did.value(at),
            kind: kind.value(at),
            operation: text(operation, at),
            collection: text(collection, at),
            rkey: text(rkey, at),
            rev: text(rev, at),
            record: text(record, at),
            event: text(event, at),
        };
        events.take(&told, wrong)?;
    }
    Ok(())
}

fn text(column: &StringArray, at: usize) -> Option<&str> {
    (!column.is_null(at)).then(|| column.value(at))
}
