//! The log goes back, as where a server's disk has lost what was not synced yet, and is written to anew.

use crate::nats_log;
use crate::owners::eventually;
use crate::postgres::{Logging, assert_same, event_of, open, slices};
use crate::sharded::{Running, caught_up, log};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::shard::Slices;
use turbo_sim::{World, WorldConfig};
use turbo_testkit::{Nats, Postgres};
use turbo_worker::log::nats::{Behind, Log, Next, Writer};
use turbo_worker::log::{Batch, Entry};
use turbo_worker::sinks::sqlite;

/// What the server has on its disk, while it is down.
fn kept(nats: &Nats) -> tempfile::TempDir {
    nats.kill();
    let copy = tempfile::tempdir().unwrap();
    copied(&nats.folder().join("store"), copy.path());
    nats.restart();
    copy
}

/// The server comes back with what it had then.
fn goes_back(nats: &Nats, to: &Path) {
    nats.kill();
    std::fs::remove_dir_all(nats.folder().join("store")).unwrap();
    copied(&to.join("store"), nats.folder());
    nats.restart();
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// A writer, once the server is there again.
async fn writer(log: &Log, slices: &Arc<Slices>) -> Writer {
    eventually("the log answers", async || log.tail(slices).await.is_ok()).await;
    Writer::new(log.clone(), slices.clone(), &log.tail(slices).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_ahead_and_is_there_no_more_is_not_committed() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let file = Arc::new(sqlite::Database::open(&path).await.unwrap());
    let claims = file.claim("test", &slices).await.unwrap().claims;
    let mut expected = sqlite::Committer::new(file, slices.clone(), &claims, None);
    let log = log(&nats).await;
    let config = WorldConfig { accounts: 80, nasty: 0.0, resyncs: 0.0, removals: 0.0, ..WorldConfig::seeded(23) };
    let (mut world, mut logging) = (World::new(config), Logging::default());
    let mut events = |count: usize| {
        let entries = (0..count).flat_map(|_| logging.log(&slices, event_of(&world.next())));
        entries.map(|numbered| numbered.entry).collect::<Vec<_>>()
    };
    let append = async |entries: &[Entry]| {
        for part in entries.chunks(200) {
            let mut writer = writer(&log, &slices).await;
            writer.append(part, |why| eprintln!("{why}")).await.unwrap();
        }
    };
    let running = Running::start(&nats, &postgres, &slices, "one").await;
    let first = events(200);
    append(&first).await;
    caught_up(&log, &database, &slices).await;
    let kept = kept(&nats);
    // One commit is under way and can not land, and more is read behind it.
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE record_state IN SHARE MODE").execute(&mut *lock).await.unwrap();
    append(&events(100)).await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    eventually("a commit waits", async || sqlx::query_scalar::<_, i64>(waits).fetch_one(&pool).await.unwrap() > 0)
        .await;
    append(&events(500)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    goes_back(&nats, kept.path());
    let other = events(700);
    append(&other).await;
    lock.rollback().await.unwrap();
    caught_up(&log, &database, &slices).await;
    running.end().await;
    let mut seq = 0;
    for mut entries in [first, other] {
        for entry in &mut entries {
            seq += 1;
            entry.seq = seq;
        }
        expected.commit(&Batch { entries, ..Batch::default() }).await.unwrap();
    }
    assert_same(&path, &postgres.url(), &[]).await;
    let gaps: i64 = sqlx::query_scalar("SELECT count(*) FROM gaps").fetch_one(&pool).await.unwrap();
    let holes: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(p.number - c.entries), 0)::bigint FROM positions p JOIN counters c USING (slice, partition)
         WHERE p.sink = 'postgres'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((gaps, holes), (0, 0), "nothing that the log has is missing");
}

#[tokio::test]
async fn a_reader_that_meets_numbers_again_says_that_the_log_went_back() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (nats_log::open(&nats).await, nats_log::slices());
    let append = async |by: u64, from: u64, to: u64| {
        let mut writer = writer(&log, &slices).await;
        nats_log::append(&mut writer, &slices, by, from, to).await;
    };
    append(0, 0, 200).await;
    let kept = kept(&nats);
    append(0, 200, 400).await;
    let shard = slices.of_record("did:plc:0", "x.y.z");
    let mut reader = log.shard(&slices, shard, Behind { seq: 0, number: Some(0) });
    let last = log.tail(&slices).await.unwrap().numbers[&shard];
    let mut read = None;
    for _ in 0..last {
        let Next::Message(message) = reader.next().await.unwrap() else { panic!("nothing is missing") };
        read = Some((message.seq, message.appended_ms.unwrap()));
    }
    let (seq, at) = read.unwrap();
    let connection = reader.connection();
    assert!(!log.went_back(&slices, shard, seq, at).await.unwrap());
    goes_back(&nats, kept.path());
    eventually("there is an answer", async || log.went_back(&slices, shard, seq, at).await.is_ok()).await;
    assert!(log.went_back(&slices, shard, seq, at).await.unwrap(), "the log ends below");
    append(1, 400, 600).await;
    append(1, 600, 800).await;
    assert!(log.went_back(&slices, shard, seq, at).await.unwrap(), "another one is in its place");
    let before = log.purge(&slices, shard, seq).await.unwrap();
    assert!(before > 0);
    let now = log.tail(&slices).await.unwrap().numbers[&shard];
    let Next::WentBack { number, next } = reader.next().await.unwrap() else { panic!("it went back") };
    assert_eq!(number, last);
    assert!(reader.connection() > connection);
    for number in next..=now {
        assert!(matches!(reader.next().await.unwrap(), Next::Message(message) if message.number == number));
    }
}
