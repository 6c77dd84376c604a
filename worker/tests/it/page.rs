//! The page as a browser shows it, and the archive as DuckDB reads it.

use crate::harness::{PATIENCE, Pipeline, eventually, missing};
use std::fmt::Write as _;
use std::process::Command;

/// A recording of posts, one every 10 ms at its own pace.
fn posts(folder: &std::path::Path, events: u64) -> std::path::PathBuf {
    let file = folder.join("posts.jsonl");
    let mut text = String::new();
    for n in 0..events {
        let time_us = 1_783_175_888_000_000 + n as i64 * 10_000;
        let rev = turbo_core::tid::encode(time_us, 0);
        let record =
            format!(r#"{{"$type":"app.bsky.feed.post","text":"<b>post {n}</b>","createdAt":"2026-07-04T14:38:08Z"}}"#);
        writeln!(
            text,
            r#"{{"did":"did:plc:{}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"app.bsky.feed.post","rkey":"{rev}","record":{record},"cid":"c{n}"}}}}"#,
            n % 50
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn the_page_shows_what_goes_on() {
    if missing("chromium", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = posts(folder.path(), 100_000);
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}', pace: recorded}}}}", file.display()), "");
    let process = pipeline.start();
    eventually(PATIENCE, "some events are in", || process.stats()["sinks"][0]["entries"].as_u64() > Some(100));
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("chromium").display()))
        .arg(format!("http://{}/", process.address()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |id: &str| {
        let (_, rest) = dom.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id}: {dom}"));
        rest.split_once('>').unwrap().1.split_once("</").unwrap().0.to_owned()
    };
    assert!(of("summary").contains("posts.jsonl, "), "{}", of("summary"));
    assert!(dom.contains("class=\"shard") && dom.matches("class=\"shard").count() == 4, "{dom}");
    assert!(dom.contains("&lt;b&gt;post "), "records are shown as text: {dom}");
    assert!(!dom.contains("<b>post"), "records are not markup");
    assert_ne!(of("events"), "–");
}

#[test]
fn duckdb_reads_the_archive_as_it_is() {
    if missing("python3", &["-c", "import duckdb"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = posts(folder.path(), 5000);
    let slices =
        "slices: [{name: posts, collections: [app.bsky.feed.post], partitions: 3}, {name: rest, partitions: 2}]";
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}'}}}}", file.display()), slices);
    pipeline.run();
    let script = r#"
import duckdb
q = lambda sql: print(duckdb.sql(sql.replace("ARCHIVE", "read_parquet('archive/**/*.parquet', hive_partitioning = true)")).fetchall())
q("SELECT count(*), count(DISTINCT seq), min(slice), max(slice), count(DISTINCT partition) FROM ARCHIVE")
q("SELECT count(*) FROM ARCHIVE WHERE did = 'did:plc:7' AND slice = 'posts' AND date = '2026-07-04'")
q("SELECT json_extract_string(record, '$.text') FROM ARCHIVE ORDER BY time_us LIMIT 1")
q("SELECT count(*) FROM (SELECT time_us < lag(time_us) OVER (PARTITION BY did, slice ORDER BY seq) AS back FROM ARCHIVE) WHERE back")
"#;
    let output = Command::new("python3").args(["-c", script]).current_dir(pipeline.path(".")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = "[(5000, 5000, 'posts', 'posts', 3)]\n[(100,)]\n[('<b>post 0</b>',)]\n[(0,)]\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), lines);
}
