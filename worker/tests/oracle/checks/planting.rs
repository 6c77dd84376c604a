//! What is planted in a sink that was found to be right has to be found there: after a short run.

use crate::judge;
use crate::manifest::DATABASE;
use crate::truth::Truth;
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
    UPDATE positions SET owner = 'planted' WHERE (slice, partition, sink) = ('rest', 0, 'postgres');";

/// Plants in a copy of the database of the run, which nobody is connected to any more.
///
/// # Panics
/// Something is not found.
pub fn in_postgres(runtime: &Handle, postgres: &Postgres, truth: &Truth) {
    postgres.execute("postgres", &format!("CREATE DATABASE {COPY} TEMPLATE {DATABASE}"));
    postgres.execute(COPY, PLANTS);
    let wrong = runtime.block_on(judge::postgres(&postgres.url_of(COPY), truth)).unwrap();
    // Four records, an account, the letter, the entries of three shards, the letters of one, a gap, an owner.
    assert_eq!((wrong.lost, wrong.duplicated, wrong.different), (1, 1, 12), "{wrong:#?}");
    postgres.execute("postgres", &format!("DROP DATABASE {COPY}"));
}
