//! A bare writer of rows: binary COPY to a temporary table, and one merge, with nothing else in the transaction. Its bytes
//! are made beforehand.

use crate::commit::{BATCH, database};
use crate::stage::postgres;
use crate::work::Work;
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::time::Instant;
use turbo_core::event::{Body, Commit, Event};
use turbo_worker::log::Numbered;

const STAGE: &str = "CREATE TEMP TABLE stage (
    did text COLLATE \"C\", collection text COLLATE \"C\", rkey text COLLATE \"C\", rev text COLLATE \"C\",
    cid text COLLATE \"C\", record jsonb, time_us bigint, slice text COLLATE \"C\", partition integer, seq bigint
  ) ON COMMIT DELETE ROWS";
const COPY: &str = "COPY stage FROM STDIN (FORMAT binary)";
const MERGE: &str = "INSERT INTO record_state
    (did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq)
  SELECT did, collection, rkey, rev, cid, record, time_us, now(), slice, partition, seq
  FROM stage
  ON CONFLICT (did, collection, rkey) DO UPDATE SET
    rev = excluded.rev, cid = excluded.cid, record = excluded.record, time_us = excluded.time_us,
    indexed_at = excluded.indexed_at, slice = excluded.slice, partition = excluded.partition, seq = excluded.seq,
    hydration = 'none', hydrated = NULL
  WHERE excluded.rev > record_state.rev";
const FIELDS: i16 = 10;

/// Writes the rows of the work. Returns events a second.
pub(crate) async fn run(work: &Work) -> f64 {
    let postgres = postgres();
    database(&postgres.url(), &work.slices).await.close().await;
    let batches: Vec<Vec<u8>> = work.entries.chunks(BATCH).map(rows).collect();
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    sqlx::raw_sql(STAGE).execute(&mut connection).await.unwrap();
    let began = Instant::now();
    for bytes in batches {
        let mut transaction = connection.begin().await.unwrap();
        let mut copy = transaction.copy_in_raw(COPY).await.unwrap();
        copy.send(bytes).await.unwrap();
        copy.finish().await.unwrap();
        sqlx::raw_sql(MERGE).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let rate = work.rate(began.elapsed());
    connection.close().await.unwrap();
    rate
}

/// The last state of each record of a batch, in the binary format of COPY.
fn rows(batch: &[Numbered]) -> Vec<u8> {
    let mut last = BTreeMap::new();
    for Numbered { entry, .. } in batch {
        let Some(event) = entry.item.event() else { continue };
        if let Body::Commit(commit) = &event.body {
            last.insert((&event.key, &commit.collection, &commit.rkey), (entry, event, commit));
        }
    }
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (entry, event, commit) in last.into_values() {
        row(&mut bytes, event, commit, entry.shard.partition, entry.seq);
    }
    bytes.extend((-1i16).to_be_bytes());
    bytes
}

fn row(bytes: &mut Vec<u8>, event: &Event, commit: &Commit, partition: u16, seq: u64) {
    bytes.extend(FIELDS.to_be_bytes());
    for text in [&event.key, &commit.collection, &commit.rkey, &commit.rev] {
        field(bytes, Some(text.as_bytes()));
    }
    field(bytes, commit.cid.as_ref().map(|cid| cid.as_bytes()));
    // The version of jsonb, then its text.
    let record = commit.record.as_ref().map(|record| [&[1u8][..], &record[..]].concat());
    field(bytes, record.as_deref());
    field(bytes, Some(&event.time_us.to_be_bytes()));
    field(bytes, Some(b"default"));
    field(bytes, Some(&i32::from(partition).to_be_bytes()));
    field(bytes, Some(&seq.to_be_bytes()));
}

fn field(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    let len = value.map_or(-1, |value| value.len() as i32);
    bytes.extend(len.to_be_bytes());
    bytes.extend(value.unwrap_or_default());
}
