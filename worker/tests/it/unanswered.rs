//! Commits whose answer is lost, and commits that take long: what landed counts, and what gets on is not given up.

use crate::nats_log;
use crate::owners::eventually;
use crate::pg_proxy::Proxy;
use crate::postgres::{Logging, event_of, open, slices};
use crate::rig::{Rig, change, deleted_account};
use crate::sharded::{Running, caught_up, log};
use std::time::Duration;
use turbo_core::position::GENERATION;
use turbo_core::shard::Slices;
use turbo_sim::{World, WorldConfig};
use turbo_testkit::{Nats, Postgres};
use turbo_worker::log::Entry;
use turbo_worker::log::nats::{Log, Writer};
use turbo_worker::sinks::postgres::{CommitError, Committer, Error};

/// Some events of a host that numbers them.
pub fn numbered_events(slices: &Slices) -> Vec<Entry> {
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(31) });
    let mut logging = Logging::default();
    let events = (1..=300).map(|cursor| {
        let mut event = event_of(&world.next());
        event.cursor = Some(cursor);
        event
    });
    events.flat_map(|event| logging.log(slices, event)).map(|numbered| numbered.entry).collect()
}

async fn append(log: &Log, slices: &std::sync::Arc<Slices>, entries: &[Entry]) {
    let mut writer = Writer::new(log.clone(), slices.clone(), &nats_log::tail(log, slices).await);
    for part in entries.chunks(100) {
        writer.append(part, |why| eprintln!("{why}")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_landed_without_an_answer_is_announced_counted_and_covers_a_log_that_begins_anew() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let (slices, url) = (slices(), postgres.url());
    let database = open(&url, &slices).await;
    let server = url.split(['@', '/']).find(|part| part.contains("127.0.0.1:")).unwrap().to_owned();
    // No commit is ever answered, and so the last one of each shard is not either.
    let proxy = Proxy::losing(server.clone(), "UPDATE counters", 1).await;
    let (log, entries) = (log(&nats).await, numbered_events(&slices));
    append(&log, &slices, &entries).await;
    let proxied = url.replace(&server, proxy.address());
    let running = Running::start_at(&nats, &proxied, &slices, "one", Vec::new()).await;
    caught_up(&log, &database, &slices).await;
    assert!(proxy.lost() > 0);
    for shard in slices.shards() {
        let (seq, number) = (log.last_of(&slices, shard).await.unwrap(), count(&entries, shard));
        eventually(&format!("{shard:?} is announced at {seq}, {number}"), async || {
            let announced = log.announced(&slices, shard).await.unwrap().map(|(announced, _)| announced);
            announced.is_some_and(|announced| (announced.seq, announced.number) == (seq, number))
        })
        .await;
    }
    let committed = || running.live.stats().shards.iter().map(|shard| shard.entries).sum::<u64>();
    assert_eq!(committed(), entries.len() as u64);

    // The log is lost behind the last of these commits, and the same host brings its events again.
    let end = log.end().await.unwrap();
    log.begin_anew(end.unwrap(), end).await.unwrap();
    append(&log, &slices, &entries).await;
    caught_up(&log, &database, &slices).await;
    assert!(log.end().await.unwrap() >= Some(GENERATION));
    let landed: i64 = number(&url, "SELECT sum(entries)::bigint FROM counters").await;
    assert_eq!(landed, entries.len() as i64, "each once");
    running.end().await;
}

fn count(entries: &[Entry], shard: turbo_core::shard::Shard) -> u64 {
    entries.iter().filter(|entry| entry.shard == shard).count() as u64
}

async fn number(url: &str, sql: &'static str) -> i64 {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
}

#[tokio::test]
async fn a_deletion_that_takes_longer_than_an_answer_may_take_lands_as_it_gets_on() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    rig.lines(&[change("a", "create", "first", 1, "{}")]).await;
    // Fourteen steps of a deletion; each of them takes half a second, which is what cold rows do.
    let fill =
        "INSERT INTO record_state (did, collection, rkey, rev, record, time_us, indexed_at, slice, partition, seq)
                SELECT did, collection, 'r' || n, rev, record, time_us, now(), slice, partition, seq
                FROM record_state, generate_series(1, 28000) AS n;
                CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
                CREATE TRIGGER slow AFTER DELETE ON record_state FOR EACH STATEMENT EXECUTE FUNCTION slow()";
    sqlx::raw_sql(fill).execute(&rig.pool).await.unwrap();
    let committer = Committer::new(rig.database.clone(), rig.slices.clone());
    rig.committer = committer.with_answers_within(Duration::from_secs(5));
    rig.lines(&[deleted_account("a")]).await;
    assert_eq!(rig.number("SELECT count(*) FROM record_state").await, 0);
}

#[tokio::test]
async fn a_commit_that_has_no_answer_is_given_up_and_lands_once_later() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let entries = rig.logging.event(&rig.slices, &change("a", "create", "k", 1, "{}"));
    let committer = Committer::new(rig.database.clone(), rig.slices.clone());
    let committer = committer.with_answers_within(Duration::from_millis(500));
    let mut lock = rig.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE counters").execute(&mut *lock).await.unwrap();
    let given_up = committer.commit(&rig.owned, &entries).await;
    assert!(matches!(given_up, Err(CommitError::Outage(Error::NoAnswer(_)))), "{given_up:?}");
    lock.rollback().await.unwrap();
    rig.commit(&entries).await;
    assert_eq!(rig.number("SELECT sum(entries)::bigint FROM counters").await, 1);
}
