//! A recording goes through, and what lands equals the file.

use crate::expected::assert_landed;
use crate::harness::{Pipeline, shared};
use crate::landed::Db;
use std::path::Path;

const TWO_SLICES: &str =
    "slices: [{name: posts, collections: [app.bsky.feed.post], partitions: 3}, {name: rest, partitions: 2}]";

fn pipeline(file: &Path, sinks: &str, more: &str) -> Pipeline {
    Pipeline::with_sinks(&format!("{{recording: {{path: '{}'}}}}", file.display()), sinks, more)
}

const PARQUET: &str = "{sqlite: {path: out.sqlite}, archive: {directory: archive}}";
const JSONL: &str = "{sqlite: {path: out.sqlite}, archive: {directory: archive, format: jsonl}}";

#[test]
fn what_lands_equals_the_file_in_every_format() {
    for file in ["jetstream/captured_v1.jsonl", "jetstream/golden_v1.jsonl"] {
        let Some(path) = shared(file) else { return };
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (sinks, more, slices) in
            [(PARQUET, "", 1), (JSONL, "", 1), (PARQUET, TWO_SLICES, 2), (JSONL, TWO_SLICES, 2)]
        {
            let pipeline = pipeline(&path, sinks, more);
            pipeline.run();
            assert_landed(&lines, &pipeline.path("out.sqlite"), &pipeline.path("archive"), slices);
            pipeline.run();
            assert_landed(&lines, &pipeline.path("out.sqlite"), &pipeline.path("archive"), slices);
        }
    }
}

#[test]
fn a_compressed_recording_grows_and_goes_on() {
    let Some(path) = shared("jetstream/captured_v1.jsonl") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl.zst");
    let pipeline = pipeline(&file, PARQUET, TWO_SLICES);
    for upto in [120, 120, lines.len()] {
        std::fs::write(&file, zstd::encode_all((lines[..upto].join("\n") + "\n").as_bytes(), 3).unwrap()).unwrap();
        pipeline.run();
        assert_landed(&lines[..upto], &pipeline.path("out.sqlite"), &pipeline.path("archive"), 2);
    }
}

#[test]
fn lines_that_are_no_event_become_dead_letters_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let good = r#"{"did":"did:plc:a","time_us":1783175888085434,"kind":"commit","commit":{"rev":"3mptbypluud2a","operation":"create","collection":"a.b.c","rkey":"k","record":{"x":1},"cid":"c"}}"#;
    std::fs::write(&file, format!("no json\n\n{good}\r\n{{\"kind\":\"commit\"}}\n{good}\n")).unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    for _ in 0..2 {
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        let dead: Vec<(String, Vec<u8>)> = db.rows("SELECT detail, payload FROM dead_letters ORDER BY id");
        assert_eq!(dead.len(), 2, "{dead:?}");
        assert!(dead[0].0.starts_with("line 1: not a Jetstream message"), "{dead:?}");
        assert_eq!(dead[0].1, b"no json");
        assert!(dead[1].0.starts_with("line 4: the field did is missing or empty"), "{dead:?}");
        assert_eq!(db.records().len(), 1);
        assert_eq!(db.number("SELECT sum(entries) FROM shards"), 3);
        assert_eq!(db.number("SELECT sum(dead_letters) FROM shards"), 2);
    }
}

#[test]
fn another_file_than_the_one_of_the_position_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let event = |did: &str| format!(r#"{{"did":"{did}","time_us":1,"kind":"identity","identity":{{"time":"t"}}}}"#);
    std::fs::write(&file, event("did:plc:a") + "\n").unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    pipeline.run();
    std::fs::write(&file, event("did:plc:b") + "\n").unwrap();
    let mut process = pipeline.start();
    assert_eq!(process.wait().code(), Some(1));
    assert!(process.log().contains("is not the file that the position is of; give that file"), "{}", process.log());
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let event = |n: usize| {
        format!(
            r#"{{"did":"did:plc:a","time_us":{n},"kind":"identity","identity":{{"time":"{n}","handle":"h{n:06}"}}}}"#
        )
    };
    let lines: Vec<String> = (0..30).map(event).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    pipeline.run();
    std::fs::write(&file, lines[..20].join("\n")).unwrap();
    let mut process = pipeline.start();
    assert_eq!(process.wait().code(), Some(1));
    assert!(process.log().contains("the file ends before the position"), "{}", process.log());
}

/// The n-th commit of a recording.
fn commit(n: u64) -> String {
    let rev = turbo_core::tid::encode(1_783_175_888_000_000 + n as i64, 0);
    format!(
        r#"{{"did":"did:plc:a","time_us":{},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"{n}","record":{{"n":{n}}},"cid":"c"}}}}"#,
        1_783_175_888_000_000 + n
    )
}

#[test]
fn a_file_cut_inside_a_zstd_frame_lands_as_far_as_it_goes_and_the_whole_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl.zst");
    // Records that do not compress away, so that the frame has many blocks.
    let lines: Vec<String> = (0..20_000).map(commit).collect();
    let whole = zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 1).unwrap();
    std::fs::write(&file, &whole[..3]).unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    let mut process = pipeline.start();
    assert_eq!(process.wait().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("spec.source.recording.path: "), "{}", process.log());
    std::fs::write(&file, &whole[..whole.len() * 2 / 3]).unwrap();
    let mut landed = 0;
    for _ in 0..2 {
        let mut process = pipeline.start();
        assert_eq!(process.wait().code(), Some(1));
        let log = process.log();
        assert!(log.contains("spec.source.recording.path: ") && log.contains("give the whole file"), "{log}");
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        landed = db.number("SELECT count(*) FROM records");
        assert!(landed > 5000, "{landed}: {log}");
        assert_eq!(db.number("SELECT count(*) FROM dead_letters"), 0);
    }
    assert!(landed < 20_000);
    std::fs::write(&file, whole).unwrap();
    pipeline.run();
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM records"), 20_000);
}

#[test]
fn a_line_above_the_limit_is_a_dead_letter_and_the_next_lines_land() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let long = "x".repeat((64 << 20) + 1);
    std::fs::write(&file, format!("{}\n{long}\n{}\n", commit(1), commit(2))).unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    for _ in 0..2 {
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(db.number("SELECT count(*) FROM records"), 2);
        let dead: Vec<(String, i64)> = db.rows("SELECT detail, length(payload) FROM dead_letters");
        let said = "line 2: it has 67108865 bytes, which is too long; its first 1048576 are kept";
        assert_eq!(dead, [(said.to_owned(), 1 << 20)]);
    }
}

#[test]
fn the_same_garbage_is_a_dead_letter_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, format!("{}\nno json\nno json\n{}\nno json\nno json\n", commit(1), commit(2))).unwrap();
    let pipeline = pipeline(&file, PARQUET, "");
    for _ in 0..2 {
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(db.number("SELECT count(*) FROM dead_letters"), 4);
    }
}

#[test]
fn a_last_line_that_is_still_written_is_read_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let pipeline = pipeline(&file, PARQUET, "");
    let text = commit(1) + "\n" + &commit(2) + "\n";
    for (upto, records) in [(commit(1).len() + 50, 1), (text.len() - 1, 2), (text.len(), 2)] {
        std::fs::write(&file, &text[..upto]).unwrap();
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(
            (db.number("SELECT count(*) FROM records"), db.number("SELECT count(*) FROM dead_letters")),
            (records, 0)
        );
    }
    assert!(pipeline.history().contains("the last line is not whole"), "{}", pipeline.history());
}

#[test]
fn a_small_recording_grows_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let pipeline = pipeline(&file, PARQUET, "");
    let mut text = String::new();
    for n in 1..4 {
        text += &(commit(n) + "\n");
        std::fs::write(&file, &text).unwrap();
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(db.number("SELECT count(*) FROM records"), n as i64);
        assert_eq!(db.number("SELECT sum(entries) FROM shards"), n as i64);
    }
}

#[test]
fn a_single_line_without_an_end_grows_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let pipeline = pipeline(&file, PARQUET, "");
    for (text, records) in [(commit(1), 1), (commit(1) + "\n", 1), (commit(1) + "\n" + &commit(2), 2)] {
        std::fs::write(&file, text).unwrap();
        pipeline.run();
        assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards"), records);
    }
}

#[test]
fn times_at_the_ends_of_what_a_number_holds_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let pipeline = pipeline(&file, PARQUET, "");
    let event = |time_us: i64| {
        format!(r#"{{"did":"did:plc:a","time_us":{time_us},"kind":"identity","identity":{{"time":"{time_us}"}}}}"#)
    };
    let lines = [i64::MAX, i64::MIN, 0, 1_783_175_888_000_000, i64::MAX - 1].map(event);
    for upto in 1..=lines.len() {
        std::fs::write(&file, lines[..upto].join("\n") + "\n").unwrap();
        pipeline.run();
        let mut db = Db::open(&pipeline.path("out.sqlite"));
        assert_eq!(db.number("SELECT sum(entries) FROM shards"), upto as i64);
    }
}

#[test]
fn the_recorded_pace_takes_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let event = |ms: u64| {
        format!(r#"{{"did":"did:plc:a","time_us":{},"kind":"identity","identity":{{"time":"{ms}"}}}}"#, ms * 1000)
    };
    std::fs::write(&file, [event(5000), event(5300)].join("\n")).unwrap();
    let source = format!("{{recording: {{path: '{}', pace: recorded}}}}", file.display());
    let pipeline = Pipeline::new(&source, "");
    let began = std::time::Instant::now();
    pipeline.run();
    assert!(began.elapsed().as_millis() >= 300);
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards"), 2);
}
