//! What landed, against the ground truth of the simulated network.

use crate::landed::{Account, Archived, Db, archive};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use turbo_sim::{EventId, View};

/// What is wrong, counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    pub lost: usize,
    pub duplicated: usize,
    pub out_of_order: usize,
    pub records: usize,
    pub accounts: usize,
}

/// Entries that a view leaves in the log: one for each commit, one in each slice for every other event.
pub fn entries(view: &View, slices: usize) -> usize {
    let of = |id: &EventId| if matches!(id, EventId::Commit { .. }) { 1 } else { slices };
    view.repos.values().flat_map(|repo| &repo.events).map(of).sum()
}

/// Compares SQLite and the archive with a view of the truth. The first differences are printed.
pub fn compare(view: &View, sqlite: &Path, folder: &Path, slices: &[(&str, Option<&str>)]) -> Wrong {
    let mut db = Db::open(sqlite);
    let mut wrong = Wrong::default();
    records(view, &mut db, &mut wrong);
    accounts(view, &mut db, &mut wrong);
    let rows = archive(folder);
    assert_eq!(rows.len() as i64, db.number("SELECT sum(entries - dead_letters) FROM shards"), "the archive is whole");
    archived(view, &rows, slices, &mut wrong);
    wrong
}

/// Compares the rows of an archive, in the order of the log, with a view of the truth.
pub fn archived(view: &View, rows: &[Archived], slices: &[(&str, Option<&str>)], wrong: &mut Wrong) {
    let mut landed = HashMap::<(&str, &str), Vec<EventId>>::new();
    for row in rows {
        landed.entry((&row.slice, &row.did)).or_default().push(id(row));
    }
    for (slice, collection) in slices {
        for (did, repo) in &view.repos {
            let is_here = |event: &&EventId| match event {
                EventId::Commit { collection: of, .. } => match collection {
                    Some(collection) => of == collection,
                    None => slices.iter().all(|(_, other)| *other != Some(of)),
                },
                _ => true,
            };
            let sent: Vec<EventId> = repo.events.iter().filter(is_here).cloned().collect();
            let got = landed.remove(&(*slice, &**did)).unwrap_or_default();
            order(did, slice, &sent, &got, wrong);
        }
    }
    assert!(landed.is_empty(), "events that were never sent: {landed:?}");
}

fn order(did: &str, slice: &str, sent: &[EventId], got: &[EventId], wrong: &mut Wrong) {
    if sent == got {
        return;
    }
    let count = |list: &[EventId]| {
        let mut counts = HashMap::<EventId, usize>::new();
        list.iter().for_each(|id| *counts.entry(id.clone()).or_default() += 1);
        counts
    };
    // The truth may tell one event twice: a second resync to the same revision.
    let (sent_counts, got_counts) = (count(sent), count(got));
    let lost: usize = sent_counts.keys().filter(|id| !got_counts.contains_key(id)).count();
    let duplicated: usize =
        got_counts.iter().map(|(id, n)| n.saturating_sub(sent_counts.get(id).copied().unwrap_or(0))).sum();
    if lost + duplicated == 0 && !is_subsequence(got, sent) {
        wrong.out_of_order += 1;
    }
    if lost + duplicated > 0 || wrong.out_of_order > 0 {
        let more = got.iter().filter(|id| got_counts[id] > sent_counts.get(id).copied().unwrap_or(0));
        let missing = sent.iter().filter(|id| !got_counts.contains_key(id));
        let (more, missing) = (more.collect::<Vec<_>>(), missing.collect::<Vec<_>>());
        eprintln!("{did} in {slice}:\n  missing {missing:?}\n  too often {more:?}\n  sent {sent:?}\n  got  {got:?}");
    }
    wrong.lost += lost;
    wrong.duplicated += duplicated;
}

fn is_subsequence(part: &[EventId], whole: &[EventId]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|id| whole.any(|other| other == id))
}

fn records(view: &View, db: &mut Db, wrong: &mut Wrong) {
    let landed = db.records();
    let mut truth = BTreeMap::new();
    for (did, record) in view.records() {
        truth.insert((did.to_owned(), record.collection.to_owned(), record.rkey.to_owned()), record);
    }
    for (key, record) in &truth {
        let same = landed.get(key).is_some_and(|row| {
            row.record.as_deref() == Some(record.json)
                && row.rev == record.rev
                && row.cid.as_deref() == Some(record.cid)
        });
        if !same {
            wrong.records += 1;
            eprintln!("{key:?}: truth {} landed {:?}", record.rev, landed.get(key).map(|row| &row.rev));
        }
    }
    for key in landed.keys().filter(|key| !truth.contains_key(*key)) {
        wrong.records += 1;
        eprintln!("{key:?}: landed, but is gone: {}", landed[key].rev);
    }
}

fn accounts(view: &View, db: &mut Db, wrong: &mut Wrong) {
    let landed = db.accounts();
    for (did, repo) in &view.repos {
        let told = repo.events.iter().any(|id| matches!(id, EventId::Identity { .. } | EventId::Account { .. }));
        let truth = told.then(|| Account {
            did: did.to_string(),
            handle: repo.account.handle.clone(),
            active: repo.account.active,
            status: repo.account.status.clone(),
        });
        if landed.get(&**did) != truth.as_ref() {
            wrong.accounts += 1;
            eprintln!("{did}: truth {truth:?} landed {:?}", landed.get(&**did));
        }
    }
}

fn id(row: &Archived) -> EventId {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let whole: Value = row.event.as_deref().map_or(Value::Null, |event| serde_json::from_str(event).unwrap());
    let body = if whole["payload"].is_null() { &whole } else { &whole["payload"] };
    let time = || body[&row.kind]["time"].as_str().unwrap_or_default().to_owned();
    match row.kind.as_str() {
        "commit" => EventId::Commit {
            rev: text(&row.rev),
            operation: text(&row.operation),
            collection: text(&row.collection),
            rkey: text(&row.rkey),
        },
        "identity" => EventId::Identity { time: time() },
        "account" => EventId::Account { time: time() },
        _ => EventId::Sync { rev: text(&row.rev), time: time() },
    }
}
