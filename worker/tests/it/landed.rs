//! What landed: read from SQLite and from the archive as a user would.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, FromRow, SqliteConnection};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// (did, collection, rkey).
pub type Key = (String, String, String);

/// One row of the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct Archived {
    pub seq: i64,
    pub slice: String,
    pub partition: i32,
    pub did: String,
    pub time_us: i64,
    pub kind: String,
    pub operation: Option<String>,
    pub collection: Option<String>,
    pub rkey: Option<String>,
    pub rev: Option<String>,
    pub cid: Option<String>,
    pub record: Option<String>,
    pub event: Option<String>,
    pub hydration: String,
    pub hydrated: Option<String>,
}

/// One row of `records`.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Record {
    pub did: String,
    pub collection: String,
    pub rkey: String,
    pub rev: String,
    pub cid: Option<String>,
    pub record: Option<String>,
    pub time_us: i64,
    pub slice: String,
    pub partition: i64,
    pub seq: i64,
    pub hydration: String,
}

/// One row of `accounts`.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Account {
    pub did: String,
    pub handle: Option<String>,
    pub active: Option<bool>,
    pub status: Option<String>,
}

/// An open SQLite file.
pub struct Db {
    runtime: tokio::runtime::Runtime,
    connection: SqliteConnection,
}

impl Db {
    pub fn open(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(path);
        let connection = runtime.block_on(options.connect()).unwrap();
        Self { runtime, connection }
    }

    /// Makes a database with these statements.
    pub fn create(path: &Path, sql: &'static str) {
        std::fs::write(path, "").unwrap();
        let mut db = Self::open(path);
        db.runtime.block_on(sqlx::raw_sql(sql).execute(&mut db.connection)).unwrap();
    }

    pub fn rows<T>(&mut self, sql: &str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> + Send + Unpin,
    {
        let query = sqlx::query_as(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(query.fetch_all(&mut self.connection)).unwrap()
    }

    pub fn number(&mut self, sql: &str) -> i64 {
        self.rows::<(i64,)>(sql)[0].0
    }

    pub fn records(&mut self) -> BTreeMap<Key, Record> {
        let rows = self.rows::<Record>("SELECT * FROM records");
        rows.into_iter().map(|row| ((row.did.clone(), row.collection.clone(), row.rkey.clone()), row)).collect()
    }

    pub fn accounts(&mut self) -> BTreeMap<String, Account> {
        let rows = self.rows::<Account>("SELECT * FROM accounts");
        rows.into_iter().map(|row| (row.did.clone(), row)).collect()
    }
}

/// Every file below a folder, in order; hidden ones too.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    // It names whose archive it is.
    found.retain(|file| !file.ends_with(".owner") && !file.ends_with("_turbo_owner"));
    found.sort();
    found
}

/// Every event in the archive, in log order.
pub fn archive(folder: &Path) -> Vec<Archived> {
    let mut rows: Vec<Archived> = files(folder).iter().flat_map(|file| object(file)).collect();
    rows.sort_by_key(|row| row.seq);
    rows
}

/// The events of one object, in its own order.
pub fn object(file: &Path) -> Vec<Archived> {
    let name = file.file_name().unwrap().to_string_lossy();
    if name.ends_with(".jsonl.zst") {
        return zstd::decode_all(File::open(file).unwrap()).unwrap().split(|b| *b == b'\n').filter_map(line).collect();
    }
    assert!(name.ends_with(".parquet") && !name.starts_with('.'), "a stray file: {}", file.display());
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    reader.flat_map(|batch| rows(&batch.unwrap())).collect()
}

fn rows(batch: &RecordBatch) -> Vec<Archived> {
    let long = |name: &str, at: usize| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(at);
    let text = |name: &str, at: usize| {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        (!column.is_null(at)).then(|| column.value(at).to_owned())
    };
    let row = |at| Archived {
        seq: long("seq", at),
        slice: text("slice", at).unwrap(),
        partition: batch.column_by_name("partition").unwrap().as_primitive::<Int32Type>().value(at),
        did: text("did", at).unwrap(),
        time_us: long("time_us", at),
        kind: text("kind", at).unwrap(),
        operation: text("operation", at),
        collection: text("collection", at),
        rkey: text("rkey", at),
        rev: text("rev", at),
        cid: text("cid", at),
        record: text("record", at),
        event: text("event", at),
        hydration: text("hydration", at).unwrap(),
        hydrated: text("hydrated", at),
    };
    (0..batch.num_rows()).map(row).collect()
}

fn line(line: &[u8]) -> Option<Archived> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        seq: i64,
        slice: String,
        partition: i32,
        did: String,
        time_us: i64,
        kind: String,
        operation: Option<String>,
        collection: Option<String>,
        rkey: Option<String>,
        rev: Option<String>,
        cid: Option<String>,
        #[serde(borrow)]
        record: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        event: Option<&'a serde_json::value::RawValue>,
        hydration: String,
        #[serde(borrow)]
        hydrated: Option<&'a serde_json::value::RawValue>,
    }
    if line.is_empty() {
        return None;
    }
    let l: Line<'_> = serde_json::from_slice(line).unwrap();
    let raw = |value: Option<&serde_json::value::RawValue>| value.map(|raw| raw.get().to_owned());
    let (record, event, hydrated) = (raw(l.record), raw(l.event), raw(l.hydrated));
    let Line { seq, slice, partition, did, time_us, kind, operation, collection, rkey, rev, cid, hydration, .. } = l;
    Some(Archived {
        seq,
        slice,
        partition,
        did,
        time_us,
        kind,
        operation,
        collection,
        rkey,
        rev,
        cid,
        record,
        event,
        hydration,
        hydrated,
    })
}
