//! Rotation: windows that stand on their own, with every change in exactly one of them.

use crate::harness::{Pipeline, eventually};
use crate::landed::{Db, Key, Record, files};
use crate::owners::download;
use crate::s3_store::BUCKET;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use turbo_testkit::S3;

fn line(did: u64, rkey: u64, n: u64) -> String {
    let rev = turbo_core::tid::encode(1_783_175_888_000_000 + n as i64, 0);
    let body = if n % 7 == 3 {
        format!(r#""operation":"delete","collection":"a.b.c","rkey":"{rkey}""#)
    } else {
        let text = "x".repeat(2000);
        format!(
            r#""operation":"create","collection":"a.b.c","rkey":"{rkey}","record":{{"n":{n},"t":"{text}"}},"cid":"c{n}""#
        )
    };
    let time_us = 1_783_175_888_000_000 + n * 1000;
    format!(r#"{{"did":"did:plc:{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}",{body}}}}}"#)
}

/// The records of a window's file.
fn window(file: &Path) -> BTreeMap<Key, Record> {
    let plain = file.with_extension("plain");
    std::fs::write(&plain, zstd::decode_all(std::fs::File::open(file).unwrap()).unwrap()).unwrap();
    let records = Db::open(&plain).records();
    std::fs::remove_file(plain).unwrap();
    records
}

fn cut(pipeline: &Pipeline) -> Vec<std::path::PathBuf> {
    files(&pipeline.path(".")).into_iter().filter(|file| file.to_string_lossy().ends_with(".sqlite.zst")).collect()
}

#[test]
fn every_change_is_in_one_window_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let mut text = String::new();
    let all: Vec<(u64, u64, u64)> = (0..4000).map(|n| (n * 31 % 17, n * 7 % 97, n)).collect();
    for (did, rkey, n) in &all {
        writeln!(text, "{}", line(*did, *rkey, *n)).unwrap();
    }
    std::fs::write(&events, text).unwrap();
    let source = format!("{{recording: {{path: '{}'}}}}", events.display());
    let pipeline = Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite, rotate: {size: 1Mi, keep: 50}}}", "");
    pipeline.run();
    let windows = cut(&pipeline);
    assert!(windows.len() >= 2, "{windows:?}");
    // A commit is 2,048 entries at most: the window is cut behind the one that fills it.
    for file in &windows {
        let bytes: usize = window(file).values().filter_map(|row| row.record.as_ref()).map(String::len).sum();
        assert!(bytes < (1 << 20) + 2048 * 2100, "{bytes} in {}", file.display());
    }
    let mut merged = BTreeMap::new();
    let mut rows = 0;
    for file in &windows {
        let window = window(file);
        rows += window.len();
        assert!(window.values().any(|record| record.record.is_none()), "deletes are rows without a record");
        merged.extend(window);
    }
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    merged.extend(
        db.rows::<Record>("SELECT * FROM record_state")
            .into_iter()
            .map(|r| ((r.did.clone(), r.collection.clone(), r.rkey.clone()), r)),
    );
    assert_eq!(rows as i64, db.number("SELECT sum(rows) FROM rotations WHERE state = 'committed'"));
    let mut last = BTreeMap::new();
    for (did, rkey, n) in &all {
        last.insert((format!("did:plc:{did}"), "a.b.c".to_owned(), rkey.to_string()), *n);
    }
    assert_eq!(merged.len(), last.len());
    for (key, n) in last {
        let cid = (n % 7 != 3).then(|| format!("c{n}"));
        assert_eq!(merged[&key].cid, cid, "{key:?}");
    }
    // A smaller cap takes effect at the next start.
    let file = std::fs::read_to_string(pipeline.path("pipeline.yaml")).unwrap();
    std::fs::write(pipeline.path("pipeline.yaml"), file.replace("keep: 50", "keep: 1")).unwrap();
    pipeline.run();
    let left = cut(&pipeline);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0] >= windows[windows.len() - 1], "the newest stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_copied_to_a_bucket_and_none_goes_before_it_is_there() {
    let Some(s3) = S3::start() else { return };
    s3.create_bucket(BUCKET);
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    let text: String = (0..4000u64).map(|n| line(n % 17, n % 97, n) + "\n").collect();
    std::fs::write(&events, text).unwrap();
    let source = format!("{{recording: {{path: '{}'}}}}", events.display());
    let keys = "accessKeyIdFrom: {file: id}, secretAccessKeyFrom: {file: secret}";
    let bucket = format!("s3: {{bucket: {BUCKET}, prefix: of/mine, endpoint: '{}', {keys}}}", s3.url());
    let rotate = format!("rotate: {{size: 1Mi, keep: 1, {bucket}}}");
    let pipeline = Pipeline::with_sinks(&source, &format!("{{sqlite: {{path: out.sqlite, {rotate}}}}}"), "");

    // What can not work is refused before anything is made.
    std::fs::write(pipeline.path("id"), s3.access_key()).unwrap();
    std::fs::write(pipeline.path("secret"), "wrong").unwrap();
    let mut refused = pipeline.start();
    assert!(!refused.wait().success());
    assert!(refused.log().contains("spec.sinks.sqlite.rotate.s3.secretAccessKeyFrom: "), "{}", refused.log());
    assert!(!pipeline.path("out.sqlite").exists());
    std::fs::write(pipeline.path("secret"), s3.secret_key()).unwrap();

    s3.kill();
    let mut running = pipeline.start();
    let (patience, log) = (std::time::Duration::from_secs(120), || running.log());
    eventually(patience, "two windows are cut", || cut(&pipeline).len() >= 2);
    eventually(patience, "it is told", || log().contains("its file can not be copied: "));
    let told = |stats: &serde_json::Value| {
        let windows = stats["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == "windows").unwrap().clone();
        (windows["commits"].as_u64().unwrap(), windows["error"].as_str().unwrap_or_default().to_owned())
    };
    let (files, error) = told(&running.stats());
    assert!(files >= 1 && error.starts_with("its file can not be copied: "), "{files} {error}");
    let windows = cut(&pipeline);
    assert!(windows.len() >= 2, "one may stay, and none may go that is not in the bucket");
    let made: Vec<(String, Vec<u8>)> = windows
        .iter()
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(file).unwrap()))
        .collect();
    s3.restart();
    assert!(running.wait().success(), "{}", running.log());
    assert_eq!(cut(&pipeline).len(), 1, "the cap holds once they are copied");
    let copies = tempfile::tempdir().unwrap();
    let copied = download(&s3, copies.path()).await;
    assert!(copied.len() >= made.len(), "{copied:?}");
    for (name, bytes) in made {
        assert_eq!(std::fs::read(copies.path().join("of/mine/windows").join(name)).unwrap(), bytes);
    }
}
