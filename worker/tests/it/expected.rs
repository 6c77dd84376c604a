//! What a list of v1 events should leave: a naive fold of the JSON itself.

use crate::landed::{Account, Archived, Db, Key, archive};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The record of a line, as the bytes that stand there.
pub fn raw_record(line: &str) -> Option<String> {
    let raw: HashMap<String, &RawValue> = serde_json::from_str(line).unwrap();
    let commit: HashMap<String, &RawValue> = serde_json::from_str(raw.get("commit")?.get()).unwrap();
    commit.get("record").map(|record| record.get().to_owned())
}

/// Compares what is in SQLite and in the archive with the lines of v1 events that were read.
pub fn assert_landed(lines: &[&str], sqlite: &Path, folder: &Path, slices: usize) {
    let mut db = Db::open(sqlite);
    let mut records = BTreeMap::<Key, (String, String)>::new();
    let mut accounts = BTreeMap::<String, Account>::new();
    let mut of_did = HashMap::<String, Vec<&str>>::new();
    for line in lines {
        let event: Value = serde_json::from_str(line).unwrap();
        let did = event["did"].as_str().unwrap().to_owned();
        of_did.entry(did.clone()).or_default().push(line);
        let account = || Account { did: did.clone(), handle: None, active: None, status: None };
        let commit = &event["commit"];
        let part = |name: &str| commit[name].as_str().unwrap().to_owned();
        match event["kind"].as_str().unwrap() {
            "commit" if part("operation") == "delete" => {
                records.remove(&(did, part("collection"), part("rkey")));
            }
            "commit" => {
                records.insert((did, part("collection"), part("rkey")), (part("rev"), raw_record(line).unwrap()));
            }
            "identity" => {
                let handle = event["identity"]["handle"].as_str().map(ToOwned::to_owned);
                let known = accounts.entry(did.clone()).or_insert_with(account);
                known.handle = handle.or(known.handle.take());
            }
            "account" => {
                let known = accounts.entry(did.clone()).or_insert_with(account);
                known.active = event["account"]["active"].as_bool();
                known.status = event["account"]["status"].as_str().map(ToOwned::to_owned);
                if known.status.as_deref() == Some("deleted") {
                    records.retain(|key, _| key.0 != did);
                }
            }
            other => panic!("{other}"),
        }
    }
    let landed = db.records();
    assert_eq!(landed.keys().collect::<Vec<_>>(), records.keys().collect::<Vec<_>>());
    for (key, (rev, record)) in &records {
        assert_eq!((&landed[key].rev, landed[key].record.as_ref()), (rev, Some(record)), "{key:?}");
    }
    assert_eq!(db.accounts(), accounts);
    assert_eq!(db.number("SELECT count(*) FROM waiting"), 0);
    assert_archived(lines, &of_did, &archive(folder), slices);
}

fn assert_archived(lines: &[&str], of_did: &HashMap<String, Vec<&str>>, rows: &[Archived], slices: usize) {
    let commits = lines.iter().filter(|line| line.contains("\"kind\":\"commit\"")).count();
    assert_eq!(rows.len(), commits + (lines.len() - commits) * slices);
    for (did, lines) in of_did {
        let of: Vec<&Archived> = rows.iter().filter(|row| row.did == **did).collect();
        let mut at = 0;
        for line in lines {
            let event: Value = serde_json::from_str(line).unwrap();
            let copies = if event["kind"] == "commit" { 1 } else { slices };
            for row in &of[at..at + copies] {
                assert_eq!(row.time_us, event["time_us"]);
                assert_eq!(row.kind, event["kind"]);
                assert_eq!(row.record, raw_record(line));
                assert_eq!(row.event.as_deref(), (copies == slices && event["kind"] != "commit").then_some(*line));
                for field in ["operation", "collection", "rkey", "rev", "cid"] {
                    let value = match field {
                        "operation" => &row.operation,
                        "collection" => &row.collection,
                        "rkey" => &row.rkey,
                        "rev" => &row.rev,
                        _ => &row.cid,
                    };
                    assert_eq!(value.as_deref(), event["commit"][field].as_str(), "{line}");
                }
            }
            at += copies;
        }
        assert_eq!(at, of.len());
    }
}
