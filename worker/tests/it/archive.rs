//! The archive when its folder fails.

use crate::harness::{PATIENCE, Pipeline, eventually};
use crate::landed::{Db, archive, files, object};
use std::fmt::Write as _;

/// Records that do not compress, 2 kB each.
fn recording(folder: &std::path::Path, events: u64) -> std::path::PathBuf {
    let mut text = String::new();
    let mut random = 88_172_645_463_325_252_u64;
    for n in 0..events {
        let mut noise = String::new();
        while noise.len() < 2000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            write!(noise, "{random:016x}").unwrap();
        }
        let rev = turbo_core::tid::encode(1_783_175_888_000_000 + n as i64, 0);
        writeln!(
            text,
            r#"{{"did":"did:plc:{}","time_us":{},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"{n}","record":{{"t":"{noise}"}},"cid":"c"}}}}"#,
            n % 97,
            1_783_175_888_000_000 + n
        )
        .unwrap();
    }
    let file = folder.join("events.jsonl");
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn an_archive_that_can_not_be_written_holds_the_commits_back_and_loses_nothing() {
    const EVENTS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let file = recording(folder.path(), EVENTS);
    let sinks = "{sqlite: {path: out.sqlite}, archive: {directory: archive, roll: {size: 64Ki}}}";
    let source = format!("{{recording: {{path: '{}'}}}}", file.display());
    let pipeline = Pipeline::with_sinks(&source, sinks, "slices: [{name: default, partitions: 32}]");
    // A file where a folder has to be.
    std::fs::create_dir(pipeline.path("archive")).unwrap();
    std::fs::write(pipeline.path("archive/slice=default"), "").unwrap();
    let mut process = pipeline.start();
    let mut before = None;
    eventually(PATIENCE, "the commits are held back", || {
        let entries = process.stats()["sinks"][0]["entries"].as_u64();
        std::thread::sleep(std::time::Duration::from_millis(1500));
        before == entries && entries > Some(0) || {
            before = entries;
            false
        }
    });
    assert!(before < Some(EVENTS), "{before:?}");
    let summary = process.stats()["summary"].as_str().unwrap().to_owned();
    assert!(summary.starts_with("the archive can not be written and is tried again: "), "{summary}");
    std::fs::remove_file(pipeline.path("archive/slice=default")).unwrap();
    assert!(process.wait().success(), "{}", process.log());
    let rows = archive(&pipeline.path("archive"));
    assert_eq!(rows.len() as u64, EVENTS);
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    assert_eq!(db.number("SELECT count(*) FROM waiting"), 0);
    assert_eq!(db.number("SELECT count(*) FROM segments WHERE state <> 'committed'"), 0);
    assert_eq!(db.number("SELECT count(*) FROM segments") as usize, files(&pipeline.path("archive")).len());
}

#[test]
fn what_a_killed_process_left_of_an_object_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(folder.path(), 500);
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}'}}}}", file.display()), "");
    pipeline.run();
    // As if the process had been killed between putting the objects and committing their segments.
    let rows = archive(&pipeline.path("archive"));
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    let segments = db.number("SELECT count(*) FROM segments");
    db.rows::<(i64,)>("UPDATE segments SET state = 'intent', bytes = 0, checksum = NULL RETURNING id");
    for row in &rows {
        let event = std::fs::read_to_string(&file).unwrap();
        let line = event.lines().nth(row.rkey.as_ref().unwrap().parse().unwrap()).unwrap().to_owned();
        wait_again(&mut db, row.partition, row.seq, &line);
    }
    drop(db);
    // And once between writing an object and putting it in place.
    let first = &files(&pipeline.path("archive"))[0];
    let name = first.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::rename(first, first.with_file_name(format!(".{name}.partial"))).unwrap();
    pipeline.run();
    assert_eq!(archive(&pipeline.path("archive")), rows, "nothing twice, nothing lost");
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    assert_eq!(db.number("SELECT count(*) FROM segments WHERE state = 'committed'"), segments);
}

/// Puts an event back among those that wait, as the commit had it.
fn wait_again(db: &mut Db, partition: i32, seq: i64, line: &str) {
    let mut plain = Vec::new();
    plain.extend_from_slice(&seq.to_le_bytes());
    plain.extend_from_slice(&(line.len() as u32).to_le_bytes());
    plain.extend_from_slice(line.as_bytes());
    let chunk: String = zstd::bulk::compress(&plain, 1).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    db.rows::<(i64,)>(&format!(
        "INSERT INTO waiting (segment, first_seq, last_seq, rows, chunk)
         SELECT id, {seq}, {seq}, 1, x'{chunk}' FROM segments WHERE partition = {partition} RETURNING id"
    ));
}

#[test]
fn a_second_signal_exits_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = recording(folder.path(), 300);
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}'}}}}", file.display()), "");
    std::fs::create_dir(pipeline.path("archive")).unwrap();
    std::fs::write(pipeline.path("archive/slice=default"), "").unwrap();
    let mut process = pipeline.start();
    // The source has ended, and the archive can not be written: the process waits for it.
    eventually(PATIENCE, "everything is in SQLite", || process.stats()["sinks"][0]["entries"] == 300);
    process.signal("TERM");
    eventually(PATIENCE, "it stops", || process.get("/health/ready") == (503, "stopping\n".into()));
    // Those that come together count as one.
    std::thread::sleep(std::time::Duration::from_millis(600));
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(130));
    std::fs::remove_file(pipeline.path("archive/slice=default")).unwrap();
    pipeline.run();
    assert_eq!(archive(&pipeline.path("archive")).len(), 300);
}

#[test]
fn each_hour_has_objects_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (file, mut text) = (folder.path().join("events.jsonl"), String::new());
    // 2026-07-04, from 14:38 on, an event every 10 minutes.
    for n in 0..30u64 {
        let time_us = 1_783_175_888_000_000 + n * 600_000_000;
        writeln!(text, r#"{{"did":"did:plc:a","time_us":{time_us},"kind":"identity","identity":{{"time":"{n}"}}}}"#)
            .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let pipeline = Pipeline::new(&format!("{{recording: {{path: '{}'}}}}", file.display()), "");
    pipeline.run();
    let mut hours = std::collections::BTreeMap::new();
    for file in files(&pipeline.path("archive")) {
        let path = file.to_string_lossy().into_owned();
        let Some((_, hour)) = path.split_once("date=2026-07-04/hour=") else { continue };
        let hour: i64 = hour[..2].parse().unwrap();
        for row in object(&file) {
            assert_eq!(row.time_us / 3_600_000_000 % 24, hour, "{path}");
            *hours.entry(hour).or_insert(0) += 1;
        }
    }
    assert_eq!(hours.values().sum::<i32>(), 30);
    assert_eq!(hours.into_keys().collect::<Vec<_>>(), [14, 15, 16, 17, 18, 19]);
}
