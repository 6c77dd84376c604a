//! Short stories with their ends.

use super::*;
use crate::world::{Commit, Operation, Record, Upstream, What};

fn put(rev: &str, rkey: &str, json: &str, resync: bool) -> What {
    let record = Some(Arc::new(Record { json: json.into(), cid: "c".into() }));
    let (collection, operation) = ("x.y.z".into(), Operation::Create);
    What::Commit(Commit { rev: rev.into(), operation, collection, rkey: rkey.into(), record, resync })
}

fn delete(rev: &str, rkey: &str) -> What {
    let (collection, operation) = ("x.y.z".into(), Operation::Delete);
    What::Commit(Commit { rev: rev.into(), operation, collection, rkey: rkey.into(), record: None, resync: false })
}

fn upstream() -> Upstream {
    Upstream { seq: 1, time: "2026-01-01T00:00:00.000Z".into() }
}

fn sync(rev: &str) -> What {
    What::Sync { rev: rev.into(), blocks: Box::default(), upstream: upstream() }
}

fn account(status: Option<&str>) -> What {
    What::Account { active: status.is_none(), status: status.map(Into::into), upstream: upstream() }
}

fn told(story: Vec<What>) -> Truth {
    let tell = |(index, what)| Happening { index, at_us: 0, did: "did:plc:a".into(), what, verbatim: None };
    let happenings: Vec<Happening> = (0..).zip(story).map(tell).collect();
    Truth::of(&happenings)
}

/// `rkey=json@rev` of each record.
fn rows(view: &View) -> String {
    let row = |(_, record): (&str, RecordState<'_>)| format!("{}={}@{}", record.rkey, record.json, record.rev);
    view.records().map(row).collect::<Vec<_>>().join(" ")
}

#[test]
fn only_a_newer_revision_replaces() {
    let truth = told(vec![put("2", "a", "1", false), put("1", "a", "2", false), put("2", "a", "3", false)]);
    assert_eq!(rows(&truth.v2), "a=1@2");
    let truth = told(vec![put("1", "a", "1", false), delete("3", "a"), put("2", "a", "2", false)]);
    assert_eq!(rows(&truth.v2), "");
}

#[test]
fn a_resync_at_the_same_revision_leaves_what_is_told_again() {
    let story = vec![
        put("1", "a", "1", false),
        put("2", "b", "2", false),
        sync("2"),
        put("2", "b", "2", true),
        put("2", "c", "3", true),
        put("3", "d", "4", false),
    ];
    let truth = told(story);
    assert_eq!(rows(&truth.v2), "b=2@2 c=3@2 d=4@3");
    assert_eq!(rows(&truth.v1), "a=1@1 b=2@2 d=4@3");
    assert_eq!(truth.unknowable(), Unknowable { missing: 1, surplus: 1, different: 0, other_rev: 0 });
}

#[test]
fn creates_above_the_syncs_revision_count_and_older_ones_do_not() {
    let truth = told(vec![sync("5"), put("4", "a", "1", false), put("6", "b", "2", true), sync("3")]);
    assert_eq!(rows(&truth.v2), "b=2@6");
    let truth = told(vec![sync("5"), sync("3"), put("4", "a", "1", false)]);
    assert_eq!(rows(&truth.v2), "");
}

#[test]
fn after_a_deletion_only_newer_revisions_count_until_a_sync() {
    let gone = vec![put("4", "a", "1", false), account(Some("deleted")), put("4", "b", "2", false)];
    assert_eq!(rows(&told(gone.clone()).v2), "");
    let newer = [gone.clone(), vec![put("5", "c", "3", false)]].concat();
    assert_eq!(rows(&told(newer).v2), "c=3@5");
    let again = [gone.clone(), vec![account(None), sync("4"), put("4", "d", "4", true)]].concat();
    assert_eq!(rows(&told(again.clone()).v2), "d=4@4");
    assert_eq!(rows(&told(again).v1), "");
    let lower = [gone, vec![sync("3"), put("4", "d", "4", true)]].concat();
    assert_eq!(rows(&told(lower).v2), "");
}

#[test]
fn a_deletion_remembers_revisions_of_what_was_deleted_and_synced() {
    let story = vec![sync("7"), account(Some("deleted")), put("7", "a", "1", false)];
    assert_eq!(rows(&told(story).v2), "");
    let story = vec![put("2", "a", "1", false), account(Some("deactivated"))];
    assert_eq!(rows(&told(story).v2), "a=1@2");
}

#[test]
fn a_handle_stays_until_another_is_told() {
    let identity = |handle: Option<&str>| What::Identity { handle: handle.map(Into::into), upstream: upstream() };
    let truth = told(vec![identity(Some("a.example")), identity(None), account(Some("takendown"))]);
    let state = &truth.v2.repos["did:plc:a"].account;
    let status = Some(String::from("takendown"));
    assert_eq!(*state, AccountState { handle: Some("a.example".into()), active: Some(false), status });
    assert_eq!(truth.v2.repos["did:plc:a"].events.len(), 3);
}

#[test]
fn the_lines_can_be_read() {
    let mut out = Vec::new();
    Truth::of_world(&WorldConfig { accounts: 50, ..WorldConfig::seeded(5) }, 500).write(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = lines.iter().filter(|line| line["event"]["version"] == "v2").count();
    assert_eq!(events, 500);
    assert_eq!(lines.last().unwrap()["summary"]["happenings"], 500);
}
