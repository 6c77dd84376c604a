//! Upkeep of a Postgres database: tombstones, retention, and the indexes that queries use.

use crate::rig::{Rig, change, change_in};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_testkit::PgBouncer;
use turbo_worker::sinks::postgres::{Database, Filter, Removed, Retention, Upkeep, UpkeepOptions};

const LIKE: &str = "app.bsky.feed.like";
const RKEYS: &str = "SELECT rkey FROM record_state ORDER BY rkey";

fn options() -> UpkeepOptions {
    let (every, pause) = (Duration::from_millis(1), Duration::from_millis(1));
    UpkeepOptions { every, tombstones: Duration::ZERO, retention: Vec::new(), rows: 7, pause }
}

fn retention(collections: &[&str], age: Duration) -> Retention {
    Retention { collections: collections.iter().map(ToString::to_string).collect(), age }
}

#[tokio::test]
async fn old_tombstones_go_but_not_those_of_an_account_with_a_dead_letter() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let deletes = |did: &str| (0..20).map(|n| change(did, "delete", &n.to_string(), n, "")).collect::<Vec<_>>();
    rig.lines(&[deletes("a"), deletes("b"), vec![change("c", "create", "kept", 1, "{}")]].concat()).await;
    rig.lines(&[change("b", "create", "x", 30, r#"{"text":"\u0000"}"#)]).await;
    let upkeep = |tombstones| Upkeep::new(rig.database.clone(), UpkeepOptions { tombstones, ..options() });
    let none = upkeep(Duration::from_secs(3600)).round().await.unwrap();
    assert_eq!(none, Removed::default());
    let removed = upkeep(Duration::ZERO).round().await.unwrap();
    assert_eq!(removed, Removed { tombstones: 20, records: 0 });
    assert_eq!(rig.number("SELECT count(*) FROM record_state WHERE did = 'did:plc:b'").await, 20);
    rig.database.drop_letters(&Filter::default()).await.unwrap();
    assert_eq!(upkeep(Duration::ZERO).round().await.unwrap().tombstones, 20);
    assert_eq!(rig.texts(RKEYS).await, ["kept"]);
}

#[tokio::test]
async fn tombstones_that_stay_are_looked_at_once_in_a_round_and_hold_nothing_up() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let deletes =
        |did: &str, count: i64| (0..count).map(|n| change(did, "delete", &n.to_string(), n, "")).collect::<Vec<_>>();
    // They are older than those that may go, and many times a step.
    rig.lines(&deletes("kept", 700)).await;
    rig.lines(&[change("kept", "create", "x", 900, r#"{"text":"\u0000"}"#)]).await;
    rig.lines(&deletes("gone", 20)).await;
    let upkeep = Upkeep::new(rig.database.clone(), options());
    let limit = Duration::from_secs(60);
    let removed = tokio::time::timeout(limit, upkeep.round()).await.expect("the round ends").unwrap();
    assert_eq!(removed, Removed { tombstones: 20, records: 0 });
    assert_eq!(rig.number("SELECT count(*) FROM record_state").await, 700);
}

#[tokio::test]
async fn collections_that_nobody_names_are_not_looked_at() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let of = |collection: &str| change_in(collection, "a", "create", "k", 1, "{}");
    let all = ["a.b.c", "a.b.c.d", "a.b.cd", "a.bb", "a.c", "b.a", "b.a.x", "c.x"];
    rig.lines(&all.map(of)).await;
    let rules = vec![
        retention(&["a.b.cd"], Duration::from_secs(200_000_000_000)),
        retention(&["a.b.*", "b.a"], Duration::ZERO),
        retention(&["a.b.c"], Duration::from_secs(200_000_000_000)),
    ];
    let upkeep = Upkeep::new(rig.database.clone(), UpkeepOptions { retention: rules, ..options() });
    assert_eq!(upkeep.round().await.unwrap(), Removed { tombstones: 0, records: 3 });
    let left = rig.texts("SELECT collection FROM record_state ORDER BY collection").await;
    assert_eq!(left, ["a.b.cd", "a.bb", "a.c", "b.a.x", "c.x"], "the first rule that names a collection counts");
}

#[tokio::test]
async fn records_go_by_collection_and_age_and_go_again_after_a_rewind() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    let of = |collection: &str, rkey: &str, of| change_in(collection, "a", "create", rkey, of, "{}");
    let ago = |age: Duration| {
        let us = jiff::Timestamp::now().as_microsecond() - age.as_micros() as i64;
        us - 1_783_175_888_000_000
    };
    let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3600));
    let mut lines: Vec<String> = (0..30).map(|n| of(LIKE, &format!("old{n:02}"), ago(day) + n)).collect();
    let rest = [
        of(LIKE, "young", ago(hour)),
        of("app.bsky.feed.post", "post", ago(day)),
        of("app.bsky.feedback", "feedback", ago(day)),
        of("x.y.z", "other", ago(day)),
    ];
    lines.extend(rest);
    rig.lines(&lines).await;
    let rules = vec![retention(&["app.bsky.feed.post"], 3 * day), retention(&["a.b.c", "app.bsky.feed.*"], 2 * hour)];
    let upkeep = Upkeep::new(rig.database.clone(), UpkeepOptions { retention: rules, ..options() });
    let left = ["feedback", "other", "post", "young"];
    for _ in 0..2 {
        assert_eq!(upkeep.round().await.unwrap(), Removed { tombstones: 0, records: 30 });
        assert_eq!(rig.texts(RKEYS).await, left);
        assert_eq!(rig.texts("SELECT rkey FROM likes").await, ["young"]);
        // The source is read again from a while ago.
        rig.lines(&lines).await;
        assert_eq!(rig.number("SELECT count(*) FROM likes").await, 31);
    }
}

#[tokio::test]
async fn several_at_once_stand_in_nobodys_way_also_through_pgbouncer() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    let Some(bouncer) = PgBouncer::start(&rig.postgres) else { return };
    let stop = CancellationToken::new();
    let (database, removed) = (Database::open(&bouncer.url(), 4).unwrap(), Arc::new(AtomicBool::new(false)));
    let retention = vec![retention(&["*"], Duration::ZERO)];
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let options = UpkeepOptions { retention: retention.clone(), rows: 100, ..options() };
        let upkeep = Upkeep::new(database.clone(), options.clone());
        tasks.push(tokio::spawn(Upkeep::new(database.clone(), options).run(stop.clone())));
        let (removed, stop) = (removed.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                let round = upkeep.round().await.unwrap();
                removed.fetch_or(round.records > 0, Ordering::Relaxed);
            }
        }));
    }
    // The same keys again and again, in the order of keys and against it: what would wait in a ring if anything did.
    for round in 0..30i64 {
        let line = |n: i64| {
            let operation = if n % 5 == round % 5 { ("delete", "") } else { ("create", "{}") };
            change_in(LIKE, "a", operation.0, &format!("{n:03}"), 1000 * round + n, operation.1)
        };
        rig.lines(&(0..400).map(line).collect::<Vec<_>>()).await;
    }
    let gone = "SELECT count(*) FROM record_state";
    while rig.number(gone).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(removed.load(Ordering::Relaxed), "upkeep had its turn");
    assert_eq!(rig.number("SELECT count(*) FROM likes").await, 0);
    assert_eq!(rig.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, 0);
    assert_eq!(rig.number("SELECT sum(entries)::bigint FROM counters").await, 30 * 400);
}

#[tokio::test]
async fn the_queries_that_people_make_use_indexes() {
    let Some(rig) = Rig::start(&["posts", "likes"]).await else { return };
    let fill =
        "INSERT INTO record_state (did, collection, rkey, rev, record, time_us, indexed_at, slice, partition, seq)
        SELECT 'did:plc:' || n % 1000, (ARRAY['app.bsky.feed.post', 'app.bsky.feed.like', 'a.b.c'])[1 + n % 3],
          'r' || n, 'rev', '{}', n, now(), 'rest', 0, n FROM generate_series(1, 30000) AS n;
        INSERT INTO posts (did, rkey, rev, time_us, seq, reply_root_uri)
        SELECT did, rkey, rev, time_us, seq, 'at://' || seq % 500 FROM record_state WHERE collection LIKE '%post';
        INSERT INTO likes (did, rkey, rev, time_us, seq, subject_uri)
        SELECT did, rkey, rev, time_us, seq, 'at://' || seq % 500 FROM record_state WHERE collection LIKE '%like';
        ANALYZE";
    sqlx::raw_sql(fill).execute(&rig.pool).await.unwrap();
    let uses = async |sql: &'static str, index: &str| {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN {sql}"));
        let plan: Vec<String> = sqlx::query_scalar(explain).fetch_all(&rig.pool).await.unwrap();
        let plan = plan.join("\n");
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}\n{plan}");
    };
    uses("SELECT * FROM records WHERE did = 'did:plc:7'", "record_state_pkey").await;
    uses("SELECT * FROM records WHERE did = 'did:plc:7' AND collection = 'a.b.c' ORDER BY rkey", "record_state_pkey")
        .await;
    let newest = "SELECT * FROM records WHERE collection = 'app.bsky.feed.like' ORDER BY time_us DESC LIMIT 50";
    uses(newest, "Index Scan Backward using record_state_time").await;
    let between = "SELECT * FROM records WHERE collection = 'app.bsky.feed.like' AND time_us BETWEEN 100 AND 200";
    uses(between, "record_state_time").await;
    uses("SELECT * FROM record_at('at://did:plc:7/app.bsky.feed.post/r7')", "record_state_pkey").await;
    uses("SELECT count(*) FROM likes WHERE subject_uri = 'at://7'", "likes_subject_uri_idx").await;
    uses("SELECT * FROM posts WHERE reply_root_uri = 'at://7'", "posts_reply_root_uri_idx").await;
    uses("SELECT * FROM posts WHERE uri = 'at://did:plc:7/app.bsky.feed.post/r7'", "posts_uri_idx").await;
    uses("SELECT * FROM posts ORDER BY time_us DESC LIMIT 50", "posts_time_us_idx").await;
}
