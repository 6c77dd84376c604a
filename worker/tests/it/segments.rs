//! `turbo segments`, and the layout as DuckDB reads it.

use crate::harness::missing;
use crate::landed;
use crate::owners::{Bench, Owner, eventually};
use crate::postgres::Logging;
use crate::s3_proxy::{Act, Proxy};
use crate::s3_store;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};
use turbo_testkit::Postgres;
use turbo_worker::commands::segments;
use turbo_worker::sinks::archive::{Folder, Format, Store};
use turbo_worker::sinks::postgres::Intent;

/// 15 o'clock.
const HOUR_US: i64 = 495_327 * 3_600_000_000;
const POSTS: &str = "app.bsky.feed.post";

fn store(folder: &Path) -> Store {
    Store::Folder(Folder::open(folder).unwrap())
}

/// Some segments of every shard, landed.
async fn landed(bench: &mut Bench, folder: &Path, format: Format) {
    bench.write_log(1200, 0.1);
    let owner = Owner::start(bench, store(folder), |options| (options.roll_size, options.format) = (8 << 10, format));
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    owner.entries(bench.log.iter().cloned()).await;
    bench.caught_up(bench.slices.shards()).await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_segment_is_listed_and_read_back() {
    let Some(postgres) = Postgres::start() else { return };
    for format in [Format::Parquet, Format::Jsonl] {
        let database = postgres.create_database(format.extension().split('.').next().unwrap());
        let mut bench = Bench::at(&database).await;
        let folder = tempfile::tempdir().unwrap();
        landed(&mut bench, folder.path(), format).await;
        let store = store(folder.path());
        let (text, well) = bench.list(&store, false).await;
        assert_eq!(well, Ok(()), "{text}");
        let segments = bench.segments().await;
        let rows: u64 = segments.iter().map(|segment| segment.object.rows).sum();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), segments.len() + 2);
        assert!(lines[0].starts_with("STATE"), "{}", lines[0]);
        let total = format!("total: {} committed, {rows} rows, ", segments.len());
        assert!(lines.last().unwrap().starts_with(&total), "{text}");
        assert!(lines.last().unwrap().ends_with("; all of them read back as committed; 0 on their way, 0 burnt"));
        let events = bench.log.iter().filter(|numbered| numbered.entry.item.event().is_some()).count();
        assert_eq!(rows, events as u64);
        let (json, _) = bench.list(&store, true).await;
        let first: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(first["path"], segments[0].object.path);
        assert_eq!(
            (&first["problem"], first["rows"].as_u64()),
            (&serde_json::Value::Null, Some(segments[0].object.rows))
        );
        let mut out = Vec::new();
        segments::list(&bench.database, &store, segments::Ask::default(), &mut out).await.unwrap();
        assert!(String::from_utf8(out).unwrap().lines().last().unwrap().ends_with("; 0 on their way, 0 burnt"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_object_is_named() {
    let Some(postgres) = Postgres::start() else { return };
    let mut bench = Bench::new(&postgres).await;
    let folder = tempfile::tempdir().unwrap();
    landed(&mut bench, folder.path(), Format::Parquet).await;
    let store = store(folder.path());
    let segments = bench.segments().await;
    assert!(segments.len() > 5);
    let place = |at: usize| folder.path().join(&segments[at].object.path);
    // Gone, cut, changed by one byte, and that of another with the catalog made to fit: rows of another shard.
    std::fs::remove_file(place(0)).unwrap();
    let bytes = std::fs::read(place(1)).unwrap();
    std::fs::write(place(1), &bytes[..bytes.len() - 1]).unwrap();
    let mut bytes = std::fs::read(place(2)).unwrap();
    bytes[100] ^= 1;
    std::fs::write(place(2), bytes).unwrap();
    let last = segments.len() - 1;
    std::fs::copy(place(3), place(last)).unwrap();
    let sql = "UPDATE segments SET bytes = $1, checksum = $2 WHERE id = $3";
    sqlx::query(sql)
        .bind(segments[3].object.bytes as i64)
        .bind(segments[3].object.checksum.clone())
        .bind(segments[last].id)
        .execute(&bench.pool)
        .await
        .unwrap();
    let sql = "UPDATE segments SET rows = rows + 1 WHERE id = $1";
    sqlx::query(sql).bind(segments[4].id).execute(&bench.pool).await.unwrap();
    let (text, well) = bench.list(&store, false).await;
    assert_eq!(well, Err("5 committed segments are not what the catalog says".to_owned()), "{text}");
    let wrong: Vec<(&str, &str)> = text
        .lines()
        .zip(text.lines().skip(1))
        .filter_map(|(line, next)| Some((line.split_whitespace().last()?, next.strip_prefix("  WRONG: ")?)))
        .collect();
    let expected = [(0, "is not there"), (1, "bytes, where"), (2, "checksum"), (4, "rows from"), (last, "is of ")];
    assert_eq!(wrong.len(), 5, "{text}");
    for ((path, said), (at, why)) in wrong.iter().zip(expected) {
        assert!(*path == segments[at].object.path && said.contains(why), "{path}: {said}");
    }
    // Two segments that have the same events.
    let sql = "UPDATE segments SET first_seq = 0 WHERE id = $1";
    sqlx::query(sql).bind(segments[last].id).execute(&bench.pool).await.unwrap();
    let (json, _) = bench.list(&store, true).await;
    assert!(json.lines().any(|line| line.contains("events are in both")), "{json}");
}

/// 40,000 events of 400 accounts, one after the other, within an hour, and one of the next hour that closes the segment.
fn long_hour(bench: &mut Bench) -> Shard {
    let mut logging = Logging::default();
    let shard = bench.slices.of_record("did:plc:0", POSTS);
    for n in 0..=40_000i64 {
        let (time_us, did) = if n < 40_000 { (HOUR_US + n * 50_000, n / 100) } else { (HOUR_US + 3_600_000_000, 0) };
        let rev = turbo_core::tid::encode(time_us, 0);
        let line = format!(
            r#"{{"did":"did:plc:{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"{POSTS}","rkey":"{n}","record":{{"n":{n}}},"cid":"c{n}"}}}}"#
        );
        let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!("no event") };
        for mut numbered in logging.log(&bench.slices, event) {
            // All in one shard, so that one object has several row groups.
            (numbered.entry.shard, numbered.number) = (shard, n as u64 + 1);
            bench.log.push(numbered);
        }
    }
    shard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_by_account_or_by_time_skips_row_groups_and_a_burnt_file_is_no_obstacle() {
    let Some(postgres) = Postgres::start() else { return };
    if missing("python3", &["-c", "import duckdb"]) {
        return;
    }
    let mut bench = Bench::new(&postgres).await;
    let shard = long_hour(&mut bench);
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    // Earlier owners have left intents of either format.
    let zombie = bench.fence(bench.claim(shard).await);
    for format in [Format::Parquet, Format::Jsonl] {
        let path = format!("slice=posts/date=2026-07-04/hour=15/p000-e000001-1.{}", format.extension());
        let checksum = String::new();
        let intent = Intent { path, first_seq: 1, last_seq: 2, rows: 2, bytes: 1, checksum };
        bench.database.intend(&zombie, &intent).await.unwrap().unwrap();
    }
    let owner = Owner::start(&bench, store, |options| {
        (options.roll_size, options.roll_age) = (1 << 30, Duration::from_secs(3600));
    });
    owner.claimed(bench.claim(shard).await).await;
    for part in bench.log.chunks(2000) {
        owner.entries(part.iter().cloned()).await;
    }
    eventually("the hour has landed", async || bench.position(shard).await == 40_000).await;
    let hour = folder.path().join("slice=posts/date=2026-07-04/hour=15");
    assert_eq!(landed::files(&hour).len(), 3, "the hour, and two burnt files");
    let script = r#"
import duckdb, glob
one = lambda sql: duckdb.sql(sql).fetchall()[0][0]
file = [f for f in glob.glob('slice=posts/date=2026-07-04/hour=15/*.parquet') if '-e000002-' in f][0]
groups = one(f"SELECT count(DISTINCT row_group_id) FROM parquet_metadata('{file}')")
excluded = sum(one(f"SELECT count(*) FROM parquet_bloom_probe('{file}', 'did', 'did:plc:{n}') WHERE bloom_filter_excludes") for n in range(0, 400, 20))
half = 495327 * 3600000000 + 20001 * 50000
by_time = one(f"SELECT count(*) FROM parquet_metadata('{file}') WHERE path_in_schema = 'time_us' AND stats_min_value::BIGINT <= {half} AND stats_max_value::BIGINT >= {half}")
codecs = one(f"SELECT string_agg(DISTINCT compression) FROM parquet_metadata('{file}')")
all = "read_parquet('**/*.parquet', hive_partitioning = true)"
print(groups, excluded >= 20 * (groups - 1) * 0.9, excluded <= 20 * (groups - 1), by_time, codecs)
print(one(f"SELECT count(*) FROM {all}"), one(f"SELECT count(*) FROM {all} WHERE slice = 'posts' AND date = '2026-07-04' AND hour = 15"))
print(one(f"SELECT count(*) FROM {all} WHERE did = 'did:plc:7'"), one(f"SELECT count(*) FROM {all} WHERE time_us = {half}"))
print(one(f"SELECT count(*) FROM (SELECT seq <= lag(seq) OVER (ORDER BY file_row_number) AS back FROM read_parquet('{file}', file_row_number = true)) WHERE back"))
print(one("SELECT count(*) FROM read_json('**/*.jsonl.zst', columns = {seq: 'BIGINT', did: 'VARCHAR'}, format = 'newline_delimited')"))
"#;
    let output = Command::new("python3").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = "4 True True 1 ZSTD\n40000 40000\n100 1\n0\n0\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_the_store_refuses_is_named_and_the_others_are_read_all_the_same() {
    let Some((postgres, s3)) = crate::archiving::servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(1200, 50.0);
    let proxy = Proxy::start(&s3).await;
    let store = s3_store::store(s3_store::options(&s3, &proxy.url()));
    let owner = Owner::start(&bench, store.clone(), |options| options.roll_size = 8 << 10);
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    owner.entries(bench.log.iter().cloned()).await;
    bench.caught_up(bench.slices.shards()).await;
    owner.end().await;
    let segments = bench.segments().await;
    let refused = segments[1].object.path.rsplit('/').next().unwrap().to_owned();
    proxy.rule(move |asked| match asked.method == "GET" && asked.target.contains(&refused) {
        true => Act::Answer(403, "<Error><Code>AccessDenied</Code></Error>"),
        false => Act::Pass,
    });
    let (text, well) = bench.list(&store, false).await;
    assert_eq!(well, Err("1 committed segments are not what the catalog says".to_owned()), "{text}");
    let wrong = text.lines().nth(3).unwrap();
    assert!(wrong.contains("WRONG: it could not be read") && wrong.contains("AccessDenied"), "{text}");
    assert_eq!(text.lines().count(), segments.len() + 3);
}
