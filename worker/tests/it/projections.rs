//! Projections: they say what `records` says, field by field.

use crate::postgres::event_of;
use crate::rig::{Rig, change_in, deleted_account, sync};
use sqlx::PgPool;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_sim::{World, WorldConfig};
use turbo_worker::sinks::postgres::Committer;
use turbo_worker::sinks::postgres::projections::{Backfill, BackfillOptions, names};

const LIKE: &str = "app.bsky.feed.like";
const ALL: [&str; 8] = ["posts", "likes", "reposts", "follows", "blocks", "lists", "list_items", "profiles"];

/// Another reading of the records, by SQL over their JSON.
const READING: &str = r"
CREATE OR REPLACE FUNCTION str(j jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(j) = 'string' THEN j #>> '{}' END $$;
CREATE OR REPLACE FUNCTION arr(j jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' THEN j ELSE '[]' END $$;
CREATE OR REPLACE FUNCTION strs(j jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' THEN ARRAY(
       SELECT str(e) FROM jsonb_array_elements(j) WITH ORDINALITY AS x (e, n) WHERE str(e) IS NOT NULL ORDER BY n) END $$;
CREATE OR REPLACE FUNCTION vals(j jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' THEN ARRAY(
       SELECT str(e -> 'val') FROM jsonb_array_elements(j) WITH ORDINALITY AS x (e, n)
       WHERE str(e -> 'val') IS NOT NULL ORDER BY n) END $$;
CREATE OR REPLACE FUNCTION moment(j jsonb) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN str(j) ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$' THEN str(j)::timestamptz END $$;
CREATE OR REPLACE FUNCTION cid(j jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT coalesce(str(j #> '{ref,$link}'), str(j -> 'cid')) $$;
CREATE OR REPLACE FUNCTION facets(j jsonb, kind text, field text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(j) = 'array' THEN ARRAY(
       SELECT str(f -> field) FROM jsonb_array_elements(j) WITH ORDINALITY AS a (x, n),
         jsonb_array_elements(arr(x -> 'features')) WITH ORDINALITY AS b (f, m)
       WHERE f ->> '$type' = 'app.bsky.richtext.facet#' || kind AND str(f -> field) IS NOT NULL ORDER BY n, m) END $$;
CREATE OR REPLACE FUNCTION media(e jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN jsonb_typeof(e) = 'object' THEN ARRAY(
       SELECT cid(x -> 'image') FROM jsonb_array_elements(arr(e -> 'images') || arr(e -> 'items')) WITH ORDINALITY AS a (x, n)
       WHERE cid(x -> 'image') IS NOT NULL ORDER BY n)
     || CASE WHEN cid(e -> 'video') IS NULL THEN '{}'::text[] ELSE ARRAY[cid(e -> 'video')] END END $$;
";

/// Of each projection: its collection, its columns, and the same from `r`, the record.
const FIELDS: [(&str, &str, &str, &str); 8] = [
    (
        "posts",
        "app.bsky.feed.post",
        "uri, text, langs, reply_root_uri, reply_parent_uri, embed_kind, embed_uri, quote_uri, media_cids, mentions, links,
         hashtags, tags, labels",
        "'at://' || did || '/app.bsky.feed.post/' || rkey, str(r -> 'text'), strs(r -> 'langs'), str(r #> '{reply,root,uri}'),
         str(r #> '{reply,parent,uri}'), regexp_replace(str(r #> '{embed,$type}'), '^app\\.bsky\\.embed\\.', ''),
         coalesce(str(r #> '{embed,external,uri}'), str(r #> '{embed,media,external,uri}')),
         coalesce(str(r #> '{embed,record,uri}'), str(r #> '{embed,record,record,uri}')),
         CASE WHEN media(r -> 'embed') IS NOT NULL THEN media(r -> 'embed') || coalesce(media(r #> '{embed,media}'), '{}') END,
         facets(r -> 'facets', 'mention', 'did'), facets(r -> 'facets', 'link', 'uri'), facets(r -> 'facets', 'tag', 'tag'),
         strs(r -> 'tags'), vals(r #> '{labels,values}')",
    ),
    ("likes", LIKE, REACTION.0, REACTION.1),
    ("reposts", "app.bsky.feed.repost", REACTION.0, REACTION.1),
    ("follows", "app.bsky.graph.follow", "subject_did", "str(r -> 'subject')"),
    ("blocks", "app.bsky.graph.block", "subject_did", "str(r -> 'subject')"),
    (
        "lists",
        "app.bsky.graph.list",
        "uri, purpose, name, description, avatar_cid",
        "'at://' || did || '/app.bsky.graph.list/' || rkey, str(r -> 'purpose'), str(r -> 'name'), str(r -> 'description'),
         cid(r -> 'avatar')",
    ),
    ("list_items", "app.bsky.graph.listitem", "subject_did, list_uri", "str(r -> 'subject'), str(r -> 'list')"),
    (
        "profiles",
        "app.bsky.actor.profile",
        "display_name, description, pronouns, website, avatar_cid, banner_cid, pinned_post_uri, starter_pack_uri",
        "str(r -> 'displayName'), str(r -> 'description'), str(r -> 'pronouns'), str(r -> 'website'), cid(r -> 'avatar'),
         cid(r -> 'banner'), str(r #> '{pinnedPost,uri}'), str(r #> '{joinedViaStarterPack,uri}')",
    ),
];
const REACTION: (&str, &str) = (
    "subject_uri, subject_did, subject_cid, via_uri",
    "str(r #> '{subject,uri}'), substring(str(r #> '{subject,uri}') from '^at://(did:[^/]*)'), str(r #> '{subject,cid}'),
     str(r #> '{via,uri}')",
);

/// Every projection is what the other reading gives. Returns how many rows there are.
async fn assert_projected(pool: &PgPool) -> Vec<i64> {
    sqlx::raw_sql(READING).execute(pool).await.unwrap();
    let mut counts = Vec::new();
    for (name, collection, columns, reading) in FIELDS {
        let mine = format!("SELECT did, rkey, rev, cid, time_us, seq, created_at, {columns} FROM {name}");
        let other = format!(
            "SELECT did, rkey, rev, cid, time_us, seq, moment(r -> 'createdAt'), {reading}
             FROM (SELECT *, record AS r FROM records WHERE collection = '{collection}') AS records"
        );
        for (left, right, only) in [(&mine, &other, "projection"), (&other, &mine, "records")] {
            let sql = format!("SELECT row_to_json(d)::text FROM (({left}) EXCEPT ALL ({right})) AS d LIMIT 3");
            let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
            assert!(rows.is_empty(), "{name}: only in the {only}: {rows:#?}");
        }
        let count = format!("SELECT count(*) FROM {name}");
        counts.push(sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(pool).await.unwrap());
    }
    counts
}

fn hard_world(seed: u64) -> World {
    World::new(WorldConfig { accounts: 60, nasty: 0.01, resyncs: 0.003, removals: 0.003, ..WorldConfig::seeded(seed) })
}

#[tokio::test]
async fn a_hard_world_is_projected_as_sql_reads_it() {
    assert_eq!(names().collect::<Vec<_>>(), ALL);
    let Some(mut rig) = Rig::start(&ALL).await else { return };
    let labelled = r#"{"text":"x","labels":{"values":[{"val":"b"},{"val":1},"c",{"val":"a"}]}}"#;
    rig.lines(&[change_in("app.bsky.feed.post", "a", "create", "labelled", 1, labelled)]).await;
    assert_projected(&rig.pool).await;
    assert_eq!(rig.texts("SELECT labels::text FROM posts").await, ["{b,a}"]);
    let mut world = hard_world(7);
    // The large ones go by COPY, the small ones as arrays.
    for size in [1, 7, 500, 3, 1000, 2000, 8000] {
        rig.events((0..size).map(|_| event_of(&world.next()))).await;
        let counts = assert_projected(&rig.pool).await;
        assert!(size < 1000 || counts.iter().all(|count| *count > 0), "{counts:?}");
    }
}

#[tokio::test]
async fn nothing_that_a_record_holds_keeps_a_batch_from_landing() {
    let Some(mut rig) = Rig::start(&ALL).await else { return };
    let long = format!("at://did:plc:{}", "x".repeat(100_000));
    let deep = format!(r#"{{"embed":{}{},"facets":{{}},"text":"deep"}}"#, "[".repeat(900), "]".repeat(900));
    let odd = [
        "true".to_owned(),
        "[]".to_owned(),
        "3".to_owned(),
        r#""text""#.to_owned(),
        "{}".to_owned(),
        deep,
        format!(r#"{{"subject":"{long}","list":"{long}","reply":{{"root":{{"uri":"{long}"}}}},"embed":{{"$type":"{long}"}}}}"#),
        format!(r#"{{"subject":{{"uri":"{long}","cid":"{long}"}},"langs":["{long}","en"]}}"#),
        r#"{"subject":{"uri":["x"],"cid":{}},"text":{"a":1},"langs":"en","tags":[null,1,"t",[]],"facets":[1,{"features":[{"$type":"app.bsky.richtext.facet#tag","tag":3}]}]}"#.to_owned(),
        r#"{"subject":[],"embed":{"images":{"image":3},"record":[{"uri":1}],"external":"x","media":[]},"reply":"x"}"#.to_owned(),
        r#"{"embed":{"$type":"app.bsky.embed.images","images":[null,{"image":{"ref":{"$link":4}}},{"image":{"cid":"old","mimeType":"x"}}]}}"#.to_owned(),
        r#"{"createdAt":"-009999-01-01T00:00:00Z","avatar":{"ref":"x"},"labels":{"values":[{"val":1},{"val":"!no"},3]}}"#.to_owned(),
        r#"{"createdAt":"9999-12-31T23:59:59.999999999Z","labels":{"values":{}}}"#.to_owned(),
        r#"{"createdAt":"0001-01-01T00:00:00Z","text":"x","text":"y"}"#.to_owned(),
        r#"{"createdAt":20260701,"text":"\u0001\uffff\u202e","n":1E400}"#.to_owned(),
    ];
    let collections = FIELDS.map(|(_, collection, ..)| collection);
    let mut lines = Vec::new();
    for collection in collections {
        for (n, json) in odd.iter().enumerate() {
            lines.push(change_in(collection, "a", "create", &format!("{n:02}"), n as i64, json));
        }
        for json in [r#"{"text":"a\u0000","subject":"\u0000"}"#, r#"{"text":"\ud800","name":"\ud800"}"#] {
            lines.push(change_in(collection, "a", "create", json.len().to_string().as_str(), 99, json));
        }
    }
    let committed = rig.lines(&lines).await;
    assert_eq!(committed.records, (odd.len() * collections.len()) as u64);
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters").await, 2 * collections.len() as i64);
    for name in ALL {
        let sql = format!("SELECT count(*) FROM {name}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&rig.pool).await.unwrap();
        assert_eq!(count, odd.len() as i64, "{name}");
    }
    let found =
        "SELECT concat_ws(' ', rkey, text, langs::text, tags::text, media_cids::text, labels::text, created_at::text)
                 FROM posts ORDER BY rkey";
    let found = rig.texts(found).await;
    assert_eq!(found[5], "05 deep");
    assert_eq!(found[7], "07 {en}");
    assert_eq!(found[8], "08 {t}");
    assert_eq!(found[10], "10 {old}");
    assert_eq!(found[11], "11 {!no}");
    assert_eq!(found[13], "13 y 0001-01-01 00:00:00+00");
}

#[tokio::test]
async fn a_projection_is_held_by_the_same_rules_as_the_records() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    let like = |did: &str, operation: &str, rkey: &str, of, uri: &str| {
        let record = if uri.is_empty() { String::new() } else { format!(r#"{{"subject":{{"uri":"{uri}"}}}}"#) };
        change_in(LIKE, did, operation, rkey, of, &record)
    };
    let likes = "SELECT did || '/' || rkey || ' ' || subject_uri FROM likes ORDER BY 1";
    let steps = [
        // Each a batch of its own: a newer one, an older one, the same one again.
        (like("a", "create", "1", 5, "at://five"), vec!["did:plc:a/1 at://five"]),
        (like("a", "update", "1", 4, "at://four"), vec!["did:plc:a/1 at://five"]),
        (like("a", "delete", "1", 3, ""), vec!["did:plc:a/1 at://five"]),
        (like("a", "update", "1", 6, "at://six"), vec!["did:plc:a/1 at://six"]),
        (like("a", "delete", "1", 7, ""), vec![]),
        (like("a", "update", "1", 6, "at://six"), vec![]),
        (like("a", "create", "2", 8, "at://eight"), vec!["did:plc:a/2 at://eight"]),
        (like("b", "create", "1", 9, "at://nine"), vec!["did:plc:a/2 at://eight", "did:plc:b/1 at://nine"]),
        (sync("a", 8), vec!["did:plc:b/1 at://nine"]),
        (like("a", "create", "3", 8, "at://three"), vec!["did:plc:a/3 at://three", "did:plc:b/1 at://nine"]),
        (deleted_account("b"), vec!["did:plc:a/3 at://three"]),
        (like("b", "create", "1", 9, "at://nine"), vec!["did:plc:a/3 at://three"]),
    ];
    for (line, expected) in steps {
        rig.lines(std::slice::from_ref(&line)).await;
        assert_eq!(rig.texts(likes).await, expected, "after {line}");
    }
}

#[tokio::test]
async fn what_landed_before_is_taken_in_while_commits_go_on() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let mut world = hard_world(8);
    rig.events((0..4000).map(|_| event_of(&world.next()))).await;
    let all = ALL.map(str::to_owned);
    let (every, zero) = (Duration::from_millis(10), Duration::ZERO);
    let fast = BackfillOptions { delay: zero, every, rows: 20, pause: zero };
    for round in 0..2 {
        rig.database.project(&all, None).await.unwrap();
        rig.committer = Committer::new(rig.database.clone(), rig.slices.clone()).with_projections(&all).unwrap();
        let stop = CancellationToken::new();
        let running: Vec<_> =
            (0..2).map(|_| tokio::spawn(Backfill::new(rig.database.clone(), fast.clone()).run(stop.clone()))).collect();
        for _ in 0..40 {
            rig.events((0..25).map(|_| event_of(&world.next()))).await;
        }
        if round == 0 {
            // A worker is stopped in the middle, and another goes on.
            stop.cancel();
        }
        for task in running {
            task.await.unwrap();
        }
        Backfill::new(rig.database.clone(), fast.clone()).run(CancellationToken::new()).await;
        assert_projected(&rig.pool).await;
        assert_eq!(rig.number("SELECT count(*) FROM projections WHERE done").await, 8);
        // Switched off, it is not filled; switched on again, nothing of then is left.
        rig.database.project(&[], None).await.unwrap();
        rig.committer = Committer::new(rig.database.clone(), rig.slices.clone());
        rig.events((0..1000).map(|_| event_of(&world.next()))).await;
    }
    assert_eq!(rig.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await, 0);
    let unknown = rig.database.project(&["lieks".to_owned()], None).await.unwrap_err();
    assert!(unknown.to_string().starts_with("spec.sinks.postgres.projections: there is no \"lieks\""), "{unknown}");
}

/// A worker that has read the old file before the projections were switched on lands deletes, and takes accounts away, without
/// a word to them.
#[tokio::test]
async fn rows_whose_record_a_worker_of_an_older_file_has_removed_go() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let mut world = hard_world(9);
    let all = ALL.map(str::to_owned);
    let old = Committer::new(rig.database.clone(), rig.slices.clone());
    rig.database.project(&all, None).await.unwrap();
    rig.committer = Committer::new(rig.database.clone(), rig.slices.clone()).with_projections(&all).unwrap();
    rig.events((0..3000).map(|_| event_of(&world.next()))).await;
    rig.committer = old;
    rig.events((0..3000).map(|_| event_of(&world.next()))).await;
    let dids = rig.texts("SELECT DISTINCT did FROM posts ORDER BY did LIMIT 1").await;
    rig.lines(&[crate::rig::deleted_account(dids[0].strip_prefix("did:plc:").unwrap())]).await;
    let surplus = "SELECT count(*) FROM posts p WHERE NOT EXISTS (SELECT FROM records r
                   WHERE r.did = p.did AND r.collection = 'app.bsky.feed.post' AND r.rkey = p.rkey)";
    assert!(rig.number(surplus).await > 0);
    let (every, zero) = (Duration::from_millis(10), Duration::ZERO);
    let options = BackfillOptions { delay: zero, every, rows: 20, pause: zero };
    Backfill::new(rig.database.clone(), options).run(CancellationToken::new()).await;
    assert_eq!(rig.number(surplus).await, 0);
    assert_projected(&rig.pool).await;
    assert_eq!(rig.number("SELECT count(*) FROM projections WHERE done AND swept").await, 8);
}

#[tokio::test]
async fn a_process_of_an_old_file_that_starts_during_a_rollout_switches_nothing() {
    let Some(rig) = Rig::start(&[]).await else { return };
    let on = || async { rig.texts("SELECT name FROM projections ORDER BY name").await };
    let (old, new) = (["likes".to_owned()], ["likes".to_owned(), "posts".to_owned()]);
    rig.database.project(&old, Some(4)).await.unwrap();
    rig.database.project(&new, Some(5)).await.unwrap();
    sqlx::raw_sql("INSERT INTO posts (did, rkey, rev, time_us, seq) VALUES ('d', 'k', 'r', 0, 0)")
        .execute(&rig.pool)
        .await
        .unwrap();
    let mut fills = rig.database.project(&old, Some(4)).await.unwrap();
    fills.sort_unstable();
    assert_eq!((on().await, fills), (new.to_vec(), new.to_vec()), "it fills what the newer file has switched on");
    rig.database.project(&new, Some(5)).await.unwrap();
    assert_eq!(rig.number("SELECT count(*) FROM posts").await, 1, "it was never off, and so is not emptied");
    rig.database.project(&old, Some(6)).await.unwrap();
    assert_eq!(on().await, old);
    // A file on a machine of one's own has no generation, and counts.
    rig.database.project(&new, None).await.unwrap();
    assert_eq!(on().await, new);
}
