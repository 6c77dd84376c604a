//! The Postgres sink on a real server: what lands, who may commit, what is refused.

use sqlx::Row as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::event::{Body, Event};
use turbo_core::ownership::{Fenced, Owned};
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slice, Slices};
use turbo_core::wire::{Frame, decode};
use turbo_sim::{Commit, Happening, What, World, WorldConfig};
use turbo_testkit::{PgBouncer, Postgres};
use turbo_worker::log::{Batch, Content, Entry, Item, Numbered};
use turbo_worker::sinks::postgres::{CommitError, Committer, Database, Error, Seen, Wanted};
use turbo_worker::sinks::sqlite;

pub fn slices() -> Arc<Slices> {
    let posts = Slice { name: "posts".into(), collections: Some(vec!["app.bsky.feed.post".into()]), partitions: 2 };
    let rest = Slice { name: "rest".into(), collections: None, partitions: 3 };
    Arc::new(Slices::new(vec![posts, rest]).unwrap())
}

pub async fn open(url: &str, slices: &Slices) -> Database {
    let database = Database::open(url, 4).unwrap();
    database.migrate().await.unwrap();
    database.introduce("test", "posts rest", slices, Vec::new(), None, true).await.unwrap();
    database
}

pub fn worker(name: &str) -> WorkerId {
    WorkerId::from(name)
}

/// Claims every shard.
pub async fn claim_all(database: &Database, slices: &Slices, me: &str, gone: &[WorkerId]) -> BTreeMap<Shard, Owned> {
    let mut owned = BTreeMap::new();
    for shard in slices.shards() {
        let claimed = database
            .claim(slices, shard, &worker(me), Seen::default(), gone, &Wanted::default())
            .await
            .unwrap()
            .unwrap();
        owned.insert(shard, claimed.owned);
    }
    owned
}

/// Events as the log gives them: a sequence for each copy, a number in each shard.
#[derive(Default)]
pub struct Logging {
    seq: u64,
    numbers: BTreeMap<Shard, u64>,
}

impl Logging {
    pub fn event(&mut self, slices: &Slices, line: &str) -> Vec<Numbered> {
        let Ok(Frame::Event(event)) = decode(&line.to_owned().into()) else { panic!("no event: {line}") };
        self.log(slices, event)
    }

    pub fn log(&mut self, slices: &Slices, event: Box<Event>) -> Vec<Numbered> {
        let shards: Vec<Shard> = match &event.body {
            Body::Commit(commit) => vec![slices.of_record(&event.key, &commit.collection)],
            _ => slices.of_repository(&event.key).collect(),
        };
        let (content, host) = (Content::Event(event), "h".into());
        let item = Arc::new(Item { content, host, marks: Vec::new(), trace: None, rejoined: false });
        let mut entries = Vec::new();
        for shard in shards {
            let (seq, number) = self.next(shard);
            entries.push(Numbered { entry: Entry::new(seq, shard, item.clone()), number });
        }
        entries
    }

    /// The next sequence, and the next number in a shard.
    pub fn next(&mut self, shard: Shard) -> (u64, u64) {
        self.seq += 1;
        let number = self.numbers.entry(shard).or_default();
        *number += 1;
        (self.seq, *number)
    }
}

/// The positions go on from what a commit moved.
pub async fn go_on(database: &Database, slices: &Slices, owned: BTreeMap<Shard, Owned>) -> BTreeMap<Shard, Owned> {
    let mut next = BTreeMap::new();
    for (shard, owned) in owned {
        next.insert(shard, owned.go_on(&database.row(slices, shard).await.unwrap()).unwrap());
    }
    next
}

pub fn create(did: &str, rkey: u64, rev: u64, record: &str) -> String {
    let rev = turbo_core::tid::encode(1_783_175_888_000_000 + rev as i64, 0);
    format!(
        r#"{{"did":"did:plc:{did}","time_us":{rkey},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"{rkey}","record":{record},"cid":"c{rev}"}}}}"#
    )
}

/// A happening as an event of v1, or of v2 where v1 has none.
pub fn event_of(happening: &Happening) -> Box<Event> {
    let (did, time_us) = (&happening.did, happening.at_us);
    let text = |text: &Option<Box<str>>| serde_json::to_string(text).unwrap();
    let body = match &happening.what {
        What::Commit(Commit { rev, operation, collection, rkey, record, .. }) => {
            let operation = serde_json::to_string(operation).unwrap();
            let rkey = serde_json::to_string(rkey).unwrap();
            let record =
                record.as_ref().map(|r| format!(r#","record":{},"cid":"{}""#, r.json, r.cid)).unwrap_or_default();
            format!(
                r#""kind":"commit","commit":{{"rev":"{rev}","operation":{operation},"collection":"{collection}","rkey":{rkey}{record}}}"#
            )
        }
        What::Identity { handle, upstream } => {
            format!(r#""kind":"identity","identity":{{"handle":{},"time":"{}"}}"#, text(handle), upstream.time)
        }
        What::Account { active, status, upstream } => {
            let status = text(status);
            format!(r#""kind":"account","account":{{"active":{active},"status":{status},"time":"{}"}}"#, upstream.time)
        }
        What::Sync { rev, upstream, .. } => {
            let time = jiff::Timestamp::from_microsecond(time_us).unwrap();
            let sync = format!(r#"{{"rev":"{rev}","seq":{},"time":"{}"}}"#, upstream.seq, upstream.time);
            let payload = format!(r#"{{"$type":"x#sync","did":"{did}","seq":1,"time":"{time}","sync":{sync}}}"#);
            return match decode(&format!(r#"{{"$type":"message","payload":{payload}}}"#).into()) {
                Ok(Frame::Event(event)) => event,
                other => panic!("{other:?}: {payload}"),
            };
        }
    };
    match decode(&format!(r#"{{"did":"{did}","time_us":{time_us},{body}}}"#).into()) {
        Ok(Frame::Event(event)) => event,
        other => panic!("{other:?}: {body}"),
    }
}

pub async fn number(url: &str, sql: &'static str) -> i64 {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let number = sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap();
    pool.close().await;
    number
}

/// Every row that a user may query, as text, in an order of its own.
async fn contents(url: &str, skipped: &[String]) -> Vec<String> {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let mut all = Vec::new();
    for sql in [
        "SELECT did || '/' || collection || '/' || rkey, concat_ws(' ', rev, cid, record, time_us, slice, partition, seq) FROM record_state",
        "SELECT did, concat_ws(' ', handle, active::int, status, time_us, seq) FROM accounts",
        "SELECT slice || did, concat_ws(' ', rev, inclusive::int) FROM floors",
        "SELECT slice || partition, concat_ws(' ', position, p.number * 0, entries, commits, identities, accounts, syncs)
         FROM positions p JOIN counters USING (slice, partition)",
    ] {
        for row in sqlx::query(sql).fetch_all(&pool).await.unwrap() {
            all.push(format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1)));
        }
    }
    pool.close().await;
    all.retain(|row| !skipped.iter().any(|skipped| row.starts_with(skipped)));
    all.sort();
    all
}

/// The same of a SQLite file; JSON goes through PostgreSQL, so that both have one form.
async fn sqlite_contents(path: &std::path::Path, url: &str, skipped: &[String]) -> Vec<String> {
    let file = sqlx::SqlitePool::connect(&path.display().to_string()).await.unwrap();
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let mut all = Vec::new();
    let records = "SELECT did || '/' || collection || '/' || rkey AS key, rev, cid, record, time_us, slice, partition, seq FROM record_state";
    for row in sqlx::query(records).fetch_all(&file).await.unwrap() {
        let key: String = row.get("key");
        if skipped.contains(&key) {
            continue;
        }
        let text: String = sqlx::query_scalar(
            "SELECT concat_ws(' ', $1::text, $2::text, $3::jsonb, $4::bigint, $5::text, $6::bigint, $7::bigint)",
        )
        .bind(row.get::<String, _>("rev"))
        .bind(row.get::<Option<String>, _>("cid"))
        .bind(
            row.get::<Option<String>, _>("record")
                .map(|text| sqlx::types::JsonRawValue::from_string(text).unwrap())
                .map(sqlx::types::Json),
        )
        .bind(row.get::<i64, _>("time_us"))
        .bind(row.get::<String, _>("slice"))
        .bind(row.get::<i64, _>("partition"))
        .bind(row.get::<i64, _>("seq"))
        .fetch_one(&pool)
        .await
        .unwrap();
        all.push(format!("{key} {text}"));
    }
    for sql in [
        "SELECT did || ' ' || concat_ws(' ', handle, active, status, time_us, seq) FROM accounts",
        "SELECT slice || did || ' ' || concat_ws(' ', rev, inclusive) FROM floors",
        "SELECT slice || partition || ' ' || concat_ws(' ', position, 0, entries, commits, identities, accounts, syncs) FROM shards",
    ] {
        all.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&file).await.unwrap());
    }
    file.close().await;
    pool.close().await;
    all.sort();
    all
}

/// Every row is the same, but for these records.
pub async fn assert_same(path: &std::path::Path, url: &str, skipped: &[String]) {
    let (landed, expected) = (contents(url, skipped).await, sqlite_contents(path, url, skipped).await);
    let only = |here: &[String], there: &[String]| {
        here.iter().filter(|row| there.binary_search(row).is_err()).take(10).cloned().collect::<Vec<_>>()
    };
    assert_eq!((only(&landed, &expected), only(&expected, &landed)), (vec![], vec![]), "only in one of them");
    assert_eq!(landed.len(), expected.len());
}

#[tokio::test]
async fn it_does_what_sqlite_does_whatever_the_batches_are() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let file = Arc::new(sqlite::Database::open(&path).await.unwrap());
    let claims = file.claim("test", &slices).await.unwrap().claims;
    let mut other = sqlite::Committer::new(file.clone(), slices.clone(), &claims, None);
    let committer = Committer::new(database.clone(), slices.clone());
    let mut owned = claim_all(&database, &slices, "one", &[]).await;

    let mut world = World::new(WorldConfig {
        accounts: 60,
        nasty: 0.01,
        resyncs: 0.003,
        removals: 0.003,
        ..WorldConfig::seeded(5)
    });
    let mut logging = Logging::default();
    for size in [1, 7, 500, 3, 1000, 2000, 2489] {
        let events: Vec<Box<Event>> = (0..size).map(|_| event_of(&world.next())).collect();
        let entries: Vec<Numbered> = events.into_iter().flat_map(|event| logging.log(&slices, event)).collect();
        committer.commit(&owned, &entries).await.unwrap();
        owned = go_on(&database, &slices, owned).await;
        let entries = entries.into_iter().map(|numbered| numbered.entry).collect();
        other.commit(&Batch { entries, ..Batch::default() }).await.unwrap();
    }
    // What PostgreSQL does not take is a dead letter, and its record is as it was before.
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let dead: Vec<(String, String, Vec<u8>)> =
        sqlx::query_as("SELECT reason, detail, payload FROM dead_letters").fetch_all(&pool).await.unwrap();
    let mut skipped = Vec::new();
    for (reason, detail, payload) in &dead {
        assert_eq!(reason, "Refused", "{detail}");
        let Ok(Frame::Event(event)) = decode(&payload.clone().into()) else { panic!("the bytes are the event's") };
        let Body::Commit(commit) = &event.body else { panic!("only records are refused") };
        skipped.push(format!("{}/{}/{}", event.key, commit.collection, commit.rkey));
    }
    assert!(!dead.is_empty(), "the world has records with a NUL");
    assert_same(&path, &postgres.url(), &skipped).await;
    let uri = "SELECT count(*) FROM (SELECT * FROM records LIMIT 1) AS r
               CROSS JOIN LATERAL record_at('at://' || r.did || '/' || r.collection || '/' || r.rkey) AS a
               WHERE a.seq = r.seq";
    assert_eq!(number(&postgres.url(), uri).await, 1);
}

#[tokio::test]
async fn one_that_is_gone_commits_nothing_more() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let committer = Committer::new(database.clone(), slices.clone());
    let mut logging = Logging::default();
    let zombie = claim_all(&database, &slices, "zombie", &[]).await;
    let shard = *zombie.keys().next_back().unwrap();
    assert!(
        database
            .claim(&slices, shard, &worker("next"), Seen::default(), &[], &Wanted::default())
            .await
            .unwrap()
            .is_none(),
        "its owner lives"
    );
    let first: Vec<Numbered> = (0..20).flat_map(|n| logging.event(&slices, &create("a", n, n, "{}"))).collect();
    committer.commit(&zombie, &first).await.unwrap();
    let mut zombie = go_on(&database, &slices, zombie).await;
    let later: Vec<Numbered> = (20..30).flat_map(|n| logging.event(&slices, &create("a", n, n, "{}"))).collect();
    let of = later[0].entry.shard;

    let next = claim_all(&database, &slices, "next", &[worker("zombie")]).await;
    assert_eq!(next[&of].position(), first.last().unwrap().entry.seq, "the claim returns the position");
    let Err(CommitError::Fenced(fenced)) = committer.commit(&zombie, &later).await else {
        panic!("a zombie committed")
    };
    assert_eq!(fenced, [of]);
    let row = database.row(&slices, of).await.unwrap();
    assert!(matches!(zombie.remove(&of).unwrap().go_on(&row), Err(Fenced::StaleEpoch { mine: 1, row: 2 })));
    assert_eq!(number(&postgres.url(), "SELECT count(*) FROM record_state").await, 20);
    committer.commit(&next, &later).await.unwrap();
    // The same commit again, as after a lost answer, changes nothing.
    let Err(CommitError::Fenced(_)) = committer.commit(&next, &later).await else { panic!("it landed twice") };
    let next = go_on(&database, &slices, next).await;
    assert_eq!(next[&of].position(), later.last().unwrap().entry.seq);
    assert_eq!(number(&postgres.url(), "SELECT sum(entries)::bigint FROM counters").await, 30);
    // What is released is free for anybody; what was claimed since is not released by the one before.
    for (_, owned) in next {
        assert!(database.release(&slices, owned).await.unwrap());
    }
    for (_, owned) in zombie {
        assert!(!database.release(&slices, owned).await.unwrap());
    }
    let third = claim_all(&database, &slices, "third", &[]).await;
    assert_eq!(third[&of].epoch(), 3);
}

#[tokio::test]
async fn a_claim_during_a_commit_waits_for_it_or_fences_it() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let committer = Arc::new(Committer::new(database.clone(), slices.clone()));
    let mut logging = Logging::default();
    let mut owned = claim_all(&database, &slices, "w0", &[]).await;
    for round in 1..20u64 {
        let entries: Vec<Numbered> =
            (0..200).flat_map(|n| logging.event(&slices, &create("a", n, 1000 * round + n, "{}"))).collect();
        let shard = entries[0].entry.shard;
        let (committing, of) = (committer.clone(), entries.clone());
        let commit = tokio::spawn(async move {
            let outcome = committing.commit(&owned, &of).await;
            (outcome.is_ok(), owned)
        });
        tokio::time::sleep(Duration::from_micros(500 * round)).await;
        let me = worker(&format!("w{round}"));
        let before = [worker(&format!("w{}", round - 1))];
        let claimed =
            database.claim(&slices, shard, &me, Seen::default(), &before, &Wanted::default()).await.unwrap().unwrap();
        let (landed, _) = commit.await.unwrap();
        let last = entries.last().unwrap().entry.seq;
        assert_eq!(claimed.owned.position() == last, landed, "the claim knows whether the commit landed");
        if !landed {
            let only = BTreeMap::from([(shard, claimed.owned)]);
            committer.commit(&only, &entries).await.unwrap();
        }
        let mut all = BTreeMap::new();
        for other in slices.shards() {
            let gone = [before[0].clone(), me.clone()];
            all.insert(
                other,
                database
                    .claim(&slices, other, &me, Seen::default(), &gone, &Wanted::default())
                    .await
                    .unwrap()
                    .unwrap()
                    .owned,
            );
        }
        owned = all;
    }
    assert_eq!(number(&postgres.url(), "SELECT sum(entries)::bigint FROM counters").await, 19 * 200);
}

#[tokio::test]
async fn what_postgres_does_not_take_is_a_dead_letter_and_the_rest_lands() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let committer = Committer::new(database.clone(), slices.clone());
    let owned = claim_all(&database, &slices, "one", &[]).await;
    let mut logging = Logging::default();
    let mut entries = Vec::new();
    for n in 0..300u64 {
        let record = match n {
            7 => r#"{"text":"a\u0000b"}"#.to_owned(),
            150 => r#"{"text":"\ud800"}"#.to_owned(),
            299 => "[".repeat(20_000) + &"]".repeat(20_000),
            // A key that is too long for the index, however it is compressed.
            200 => {
                let digest = |n: u64| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes()));
                let long = |from: u64, to: u64| (from..to).map(digest).collect::<String>();
                let line = create(&long(0, 100), n, n, "{}")
                    .replace(r#""rkey":"200""#, &format!(r#""rkey":"{}""#, long(100, 200)));
                entries.extend(logging.event(&slices, &line));
                continue;
            }
            _ => format!(r#"{{"n":{n}}}"#),
        };
        entries.extend(logging.event(&slices, &create("a", n, n, &record)));
    }
    committer.commit(&owned, &entries).await.unwrap();
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let dead: Vec<(i64, String, i64)> = sqlx::query_as(
        "SELECT seq, did, length(payload)::bigint FROM dead_letters WHERE reason = 'Refused' ORDER BY seq",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let refused = |n: usize| {
        let entry = &entries[n].entry;
        (entry.seq as i64, entry.item.event().unwrap().key.to_string(), entry.item.event().unwrap().bytes.len() as i64)
    };
    assert_eq!(dead[..2], [refused(7), refused(150)]);
    let of: Vec<i64> = dead.iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(of, [7, 150, 200, 299].map(|n: usize| refused(n).0));
    let landed: i64 = sqlx::query_scalar("SELECT count(*) FROM records").fetch_one(&pool).await.unwrap();
    assert_eq!(landed, 300 - dead.len() as i64);
    let counted: (i64, i64) = sqlx::query_as("SELECT sum(entries)::bigint, sum(dead_letters)::bigint FROM counters")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(counted, (300, dead.len() as i64));
}

#[tokio::test]
async fn an_outage_is_no_loss() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let committer = Committer::new(database.clone(), slices.clone());
    let mut owned = claim_all(&database, &slices, "one", &[]).await;
    let mut logging = Logging::default();
    for round in 0..3u64 {
        let entries: Vec<Numbered> =
            (0..100).flat_map(|n| logging.event(&slices, &create("a", n, 100 * round + n, "{}"))).collect();
        postgres.kill();
        assert!(matches!(committer.commit(&owned, &entries).await, Err(CommitError::Outage(_))));
        postgres.restart();
        committer.commit(&owned, &entries).await.unwrap();
        owned = go_on(&database, &slices, owned).await;
    }
    assert_eq!(number(&postgres.url(), "SELECT sum(entries)::bigint FROM counters").await, 300);
}

#[tokio::test]
async fn it_works_through_pgbouncer_by_the_transaction() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(bouncer) = PgBouncer::start(&postgres) else { return };
    let slices = slices();
    open(&postgres.url(), &slices).await;
    let mut tasks = Vec::new();
    for (shard, did) in slices.shards().collect::<Vec<_>>().into_iter().zip(["a", "b", "c", "d", "e"]) {
        let (slices, url) = (slices.clone(), bouncer.url());
        tasks.push(tokio::spawn(async move {
            let database = Database::open(&url, 2).unwrap();
            let committer = Committer::new(database.clone(), slices.clone());
            let me = worker(did);
            let mut owned = database
                .claim(&slices, shard, &me, Seen::default(), &[], &Wanted::default())
                .await
                .unwrap()
                .unwrap()
                .owned;
            let mut logging = Logging::default();
            for round in 0..20u64 {
                let mut entries: Vec<Numbered> =
                    (0..50).flat_map(|n| logging.event(&slices, &create(did, n, 50 * round + n, "{}"))).collect();
                entries.iter_mut().for_each(|entry| entry.entry.shard = shard);
                committer.commit(&BTreeMap::from([(shard, owned)]), &entries).await.unwrap();
                owned = database
                    .claim(&slices, shard, &me, Seen::default(), &[], &Wanted::default())
                    .await
                    .unwrap()
                    .unwrap()
                    .owned;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(number(&postgres.url(), "SELECT sum(entries)::bigint FROM counters").await, 5 * 20 * 50);
}

#[tokio::test]
async fn several_workers_migrate_at_once_and_another_pipeline_is_refused() {
    let Some(postgres) = Postgres::start() else { return };
    let slices = slices();
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (url, slices) = (postgres.url(), slices.clone());
            tokio::spawn(async move {
                open(&url, &slices).await;
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let database = Database::open(&postgres.url(), 1).unwrap();
    let refused = database.introduce("other", "posts rest", &slices, Vec::new(), None, true).await.unwrap_err();
    assert!(matches!(&refused, Error::OtherPipeline { field: "metadata.name", .. }), "{refused}");
    let refused = database.introduce("test", "posts", &slices, Vec::new(), None, true).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "spec.slices: posts does not fit the database, which was made with posts rest; give that, or another database"
    );
    let url = Database::open("postgres://user:secret@[", 1).unwrap_err().to_string();
    assert!(url.contains("spec.sinks.postgres.urlFrom") && !url.contains("secret"), "{url}");
}
