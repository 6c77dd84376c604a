//! What PostgreSQL does not take: a NUL in JSON, say.
//!
//! The server names no row. So the rows are merged by halves, in transactions that are rolled back, until the ones that
//! it refuses stand alone. Each becomes a dead letter of this sink; every other sink still has it.
//!
//! Invariants:
//! - a refused event leaves its record as the events before it made it, also those of the same batch;
//! - its revision counts as seen, so that a deletion of its account still refuses it when it is sent again.

use super::effects::Effects;
use super::{Database, Error};
use crate::log::Numbered;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use turbo_core::event::{Body, Commit, Event};
use turbo_core::fold::{Folded, Logged, Row, fold};
use turbo_core::hydrated::{Hydrated, Hydration};

/// Refused events: log sequence, and why.
pub(super) type Refused = BTreeMap<u64, String>;

/// Versions of one record that are looked at, newest first, before all that the batch has of it is refused.
const ROUNDS: usize = 4;

/// Events that no statement can bear: one of their names holds a NUL.
pub(super) fn unfit<'a>(events: impl Iterator<Item = Logged<'a>>) -> Refused {
    let why = |field: &str| format!("{field} holds a NUL, which PostgreSQL does not take");
    events.filter_map(|logged| Some((logged.seq, why(nul(logged.event)?)))).collect()
}

fn nul(event: &Event) -> Option<&'static str> {
    let of_body: [(&str, Option<&str>); 4] = match &event.body {
        Body::Commit(Commit { rev, collection, rkey, cid, .. }) => {
            [("rev", Some(rev)), ("collection", Some(collection)), ("rkey", Some(rkey)), ("cid", cid.as_deref())]
        }
        Body::Identity { handle, .. } => [("handle", handle.as_deref()), ("", None), ("", None), ("", None)],
        Body::Account { status, .. } => [("status", status.as_deref()), ("", None), ("", None), ("", None)],
        Body::Sync { rev, .. } => [("rev", Some(rev)), ("", None), ("", None), ("", None)],
    };
    let texts = [("did", Some(&*event.key))].into_iter().chain(of_body);
    texts
        .into_iter()
        .find(|(_, text)| text.is_some_and(|text| memchr::memchr(0, text.as_bytes()).is_some()))
        .map(|(field, _)| field)
}

/// What stands in the fold for refused events: their revision is seen, and their record is nobody's.
pub(super) fn shadows<'a>(events: impl Iterator<Item = Logged<'a>>, refused: &Refused) -> BTreeMap<u64, Event> {
    let shadow = |event: &Event| {
        let Body::Commit(commit) = &event.body else { return None };
        let nobody = Commit { collection: "".into(), rkey: "".into(), cid: None, record: None, ..commit.clone() };
        nul(event).is_none().then(|| Event { body: Body::Commit(nobody), ..event.clone() })
    };
    let of = events.filter(|logged| refused.contains_key(&logged.seq));
    of.filter_map(|logged| Some((logged.seq, shadow(logged.event)?))).collect()
}

/// The events of a batch as the fold takes them: a refused one is its shadow.
pub(super) fn sift<'a>(
    events: impl Iterator<Item = Logged<'a>>,
    refused: &Refused,
    shadows: &'a BTreeMap<u64, Event>,
) -> Vec<Logged<'a>> {
    let sifted = |logged: Logged<'a>| match refused.contains_key(&logged.seq) {
        true => shadows.get(&logged.seq).map(|event| Logged { event, ..logged }),
        false => Some(logged),
    };
    events.filter_map(sifted).collect()
}

/// The events of entries, in their order.
pub(super) fn events(entries: &[Numbered]) -> impl Iterator<Item = Logged<'_>> {
    entries.iter().filter_map(|numbered| numbered.entry.logged())
}

/// The same entries without what was looked up for them, which must not cost a record: it is completed later. `None` where
/// there is nothing of that.
pub(super) fn without_documents(entries: &[Numbered]) -> Option<Vec<Numbered>> {
    let has = |numbered: &Numbered| Hydrated::json(numbered.entry.hydrated.as_deref()).is_some();
    let nothing = Arc::new(Hydrated { hydration: Hydration::None, document: None });
    let bare = |numbered: &Numbered| {
        let mut bare = numbered.clone();
        bare.entry.hydrated = bare.entry.hydrated.map(|_| nothing.clone());
        bare
    };
    entries.iter().any(has).then(|| entries.iter().map(bare).collect())
}

/// The rows of a fold that are written: all but those of shadows.
pub(super) fn rows<'f, 'a>(folded: &'f Folded<'a>) -> Vec<&'f Row<'a>> {
    folded.rows.values().filter(|row| !row.commit.collection.is_empty()).collect()
}

/// All events that the server refuses, beside the ones known. Where one is refused, an older one takes its place in the
/// fold, and is looked at in its turn.
pub(super) async fn find_all<'a>(
    database: &Database,
    effects: &Effects,
    all: &[Logged<'a>],
    mut refused: Refused,
) -> Result<Refused, Error> {
    let mut last = Refused::new();
    for _ in 0..ROUNDS {
        let shadows = shadows(all.iter().cloned(), &refused);
        let events = sift(all.iter().cloned(), &refused, &shadows);
        let mut transaction = database.begin().await?;
        let known = effects.known(&mut transaction, &events).await?;
        transaction.rollback().await?;
        let folded = fold(&events, &known);
        last = find(database, effects, &rows(&folded)).await?;
        if last.is_empty() {
            return Ok(refused);
        }
        refused.extend(last.clone());
    }
    // Somebody writes what is refused to one record, again and again.
    let record = |logged: &Logged<'a>| match &logged.event.body {
        Body::Commit(commit) => Some((logged.event.key.clone(), commit.collection.clone(), commit.rkey.clone())),
        _ => None,
    };
    let of: BTreeSet<_> = all.iter().filter(|logged| last.contains_key(&logged.seq)).filter_map(record).collect();
    for logged in all.iter().filter(|logged| record(logged).is_some_and(|key| of.contains(&key))) {
        refused.entry(logged.seq).or_insert_with(|| "other changes of the record are refused".to_owned());
    }
    Ok(refused)
}

/// The rows that the server refuses, whatever stands beside them.
async fn find(database: &Database, effects: &Effects, rows: &[&Row<'_>]) -> Result<Refused, Error> {
    let mut refused = Refused::new();
    let mut parts = vec![rows];
    while let Some(part) = parts.pop() {
        let Err(error) = probe(database, effects, part).await else { continue };
        if !error.refuses_data() {
            return Err(error);
        }
        match part {
            [] => {}
            [row] => {
                refused.insert(row.seq, error.to_string());
            }
            _ => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right, left]);
            }
        }
    }
    Ok(refused)
}

async fn probe(database: &Database, effects: &Effects, rows: &[&Row<'_>]) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    let merged = effects.rows(&mut transaction, rows).await;
    transaction.rollback().await?;
    merged.map(|_| ())
}
