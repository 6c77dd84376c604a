//! What is planted in a sink that was found to be right has to be found there: after a short run.

use crate::judge::{self, compare_all};
use crate::manifest::{DATABASE, NAME};
use crate::order::Wrong;
use crate::truth::Truth;
use async_nats::HeaderMap;
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;
use turbo_testkit::Postgres;

const COPY: &str = "planted";

/// One of each: a record that is missing, of another revision, of another content, that should be gone; an account; a
/// counter too high, one too low; a dead letter of nothing; a gap; an owner.
const PLANTS: &str = "
    WITH one AS (SELECT did, collection, rkey FROM record_state WHERE record IS NOT NULL ORDER BY did, collection, rkey LIMIT 1)
      DELETE FROM record_state r USING one WHERE (r.did, r.collection, r.rkey) = (one.did, one.collection, one.rkey);
    WITH one AS (SELECT did, collection, rkey FROM record_state WHERE record IS NOT NULL ORDER BY did, collection, rkey LIMIT 1)
      UPDATE record_state r SET rev = r.rev || 'x' FROM one WHERE (r.did, r.collection, r.rkey) = (one.did, one.collection, one.rkey);
    WITH one AS (SELECT did, collection, rkey FROM record_state WHERE record IS NOT NULL ORDER BY did DESC, collection, rkey LIMIT 1)
      UPDATE record_state r SET record = '{\"planted\": 1}' FROM one WHERE (r.did, r.collection, r.rkey) = (one.did, one.collection, one.rkey);
    INSERT INTO record_state (did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq)
      SELECT did, collection, 'planted', rev, cid, record, time_us, indexed_at, slice, partition, seq
      FROM record_state WHERE record IS NOT NULL ORDER BY did DESC, collection, rkey LIMIT 1;
    UPDATE accounts SET handle = 'planted.example' WHERE did = (SELECT min(did) FROM accounts);
    UPDATE counters SET commits = commits + 1 WHERE (slice, partition) = ('rest', 0);
    UPDATE counters SET commits = commits - 1 WHERE (slice, partition) = ('rest', 1);
    INSERT INTO dead_letters (slice, partition, seq, did, reason, detail, payload, time_us)
      VALUES ('rest', 2, 1, NULL, 'Unreadable', 'planted', 'x', 0);
    INSERT INTO gaps (found_at, host, from_us, reason) VALUES (now(), 'planted', 0, 'planted');
    UPDATE positions SET owner = 'planted-1' WHERE (slice, partition, sink) = ('rest', 0, 'postgres');";

/// A row that the index of its table does not find, as where a page was torn: without it there can be two of one key.
const TORN: &str = "
    UPDATE pg_index SET indisready = false WHERE indexrelid = 'record_state_pkey'::regclass;
    INSERT INTO record_state SELECT * FROM record_state LIMIT 1;
    UPDATE pg_index SET indisready = true WHERE indexrelid = 'record_state_pkey'::regclass;";

/// Plants in a copy of the database of the run, which nobody is connected to any more.
///
/// # Panics
/// Something is not found.
pub fn in_postgres(runtime: &Handle, postgres: &Postgres, truth: &Truth) {
    postgres.execute("postgres", &format!("CREATE DATABASE {COPY} TEMPLATE {DATABASE}"));
    postgres.execute(COPY, PLANTS);
    let wrong =
        runtime.block_on(judge::postgres(&postgres.url_of(COPY), truth, &["planted".to_owned()].into())).unwrap();
    // Four records, an account, the letter, the entries of three shards, the letters of one, a gap, an owner.
    assert_eq!((wrong.lost, wrong.duplicated, wrong.different), (1, 1, 12), "{wrong:#?}");
    postgres.execute("postgres", &format!("DROP DATABASE {COPY}"));
}

/// Damages an index in another copy.
///
/// # Panics
/// It is not told of, or as something else.
pub fn in_files(runtime: &Handle, postgres: &Postgres, truth: &Truth) {
    postgres.execute("postgres", &format!("CREATE DATABASE {COPY} TEMPLATE {DATABASE}"));
    postgres.execute(COPY, TORN);
    let wrong = runtime.block_on(judge::postgres(&postgres.url_of(COPY), truth, &[].into())).unwrap();
    let told = format!("{wrong:?}");
    assert!(told.contains("own files are damaged") && told.contains("record_state_pkey"), "{wrong:#?}");
    postgres.execute("postgres", &format!("DROP DATABASE {COPY}"));
}

/// An object that is there twice, and then not at all.
///
/// # Panics
/// It is not found.
pub fn in_archive(folder: &Path, truth: &Truth) {
    let compared = || {
        let mut wrong = Wrong::default();
        compare_all(truth, judge::archive(folder, &mut wrong).unwrap(), &mut wrong);
        (wrong.lost > 0, wrong.duplicated > 0)
    };
    let largest = |files: Vec<PathBuf>| files.into_iter().max_by_key(|file| file.metadata().map_or(0, |is| is.len()));
    let file = largest(judge::files(folder).unwrap()).unwrap();
    let copy = file.with_file_name("planted.parquet");
    std::fs::copy(&file, &copy).unwrap();
    assert_eq!(compared(), (false, true), "{} is there twice", file.display());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(compared(), (false, false));
    std::fs::remove_file(&copy).unwrap();
    assert_eq!(compared(), (true, false), "{} is gone", file.display());
}

/// A message that is there twice, and then not at all.
///
/// # Panics
/// It is not found.
pub fn in_enriched(runtime: &Handle, nats: &[String], truth: &Truth) {
    let compared = || {
        let mut wrong = Wrong::default();
        let events = runtime.block_on(judge::enriched(nats.to_vec(), &mut wrong)).unwrap();
        compare_all(truth, events, &mut wrong);
        (wrong.lost, wrong.duplicated)
    };
    let stream = runtime.block_on(async {
        let context = async_nats::jetstream::new(async_nats::connect(nats).await.unwrap());
        let stream = context.get_stream(format!("tpe_default_{NAME}")).await.unwrap();
        let first = stream.get_raw_message(1).await.unwrap();
        let mut headers = HeaderMap::new();
        for name in ["Turbo-Seq", "Turbo-N", "Turbo-Encoding"] {
            first.headers.get(name).into_iter().for_each(|value| headers.insert(name, value.clone()));
        }
        let sent = context.publish_with_headers(first.subject, headers, first.payload).await.unwrap();
        (stream, sent.await.unwrap().sequence)
    });
    assert_eq!(compared(), (0, 1), "the first message is there twice");
    let (stream, copy) = stream;
    for sequence in [1, copy] {
        assert!(runtime.block_on(stream.delete_message(sequence)).unwrap());
    }
    assert_eq!(compared(), (1, 0), "the first message is gone");
}
