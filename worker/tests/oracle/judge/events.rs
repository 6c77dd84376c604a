//! The events of a sink that keeps all of them, against those that were sent: by slice and DID.

use super::Failure;
use crate::order::{Kind, Landed, Wrong, compare};
use crate::slices::{self, SLICES};
use crate::truth::{Sent, Truth, content};
use serde_json::Value;
use std::collections::HashMap;
use turbo_sim::EventId;

/// What landed, by slice and DID, in the order of the sink.
#[derive(Debug, Default)]
pub struct Events {
    of: HashMap<(usize, String), Vec<Landed>>,
    pub count: u64,
}

/// One event as a sink tells it.
#[derive(Debug, Default)]
pub struct Told<'a> {
    pub seq: u64,
    pub slice: &'a str,
    pub partition: i64,
    pub did: &'a str,
    pub kind: &'a str,
    pub operation: Option<&'a str>,
    pub collection: Option<&'a str>,
    pub rkey: Option<&'a str>,
    pub rev: Option<&'a str>,
    pub record: Option<&'a str>,
    /// The bytes of an event that is no commit.
    pub event: Option<&'a str>,
}

impl Events {
    /// Takes the next one.
    ///
    /// # Errors
    /// An event that can not be read.
    pub fn take(&mut self, told: &Told<'_>, wrong: &mut Wrong) -> Result<(), Failure> {
        let Some(slice) = slices::named(told.slice) else {
            wrong.note(Kind::Different, || format!("seq {}: there is no slice {}", told.seq, told.slice));
            return Ok(());
        };
        if i64::from(slices::partition(told.did, slice)) != told.partition {
            wrong.note(Kind::Different, || format!("seq {}: {} in partition {}", told.seq, told.did, told.partition));
        }
        let landed = Landed { seq: told.seq, id: id(told)?, content: content(told.record) };
        self.put(slice, told.did.to_owned(), landed);
        Ok(())
    }

    /// Puts one behind those of its slice and DID.
    pub fn put(&mut self, slice: usize, did: String, landed: Landed) {
        self.of.entry((slice, did)).or_default().push(landed);
        self.count += 1;
    }

    /// Orders all of them by their sequences.
    pub fn sort(&mut self) {
        self.of.values_mut().for_each(|events| events.sort_by_key(|event| event.seq));
    }
}

/// Compares what landed with what was sent.
pub fn compare_all(truth: &Truth, mut landed: Events, wrong: &mut Wrong) {
    for (slice, of) in SLICES.iter().enumerate() {
        for (did, repo) in &truth.repos {
            let is_here = |sent: &&Sent| slices::of(&sent.id).contains(&slice);
            let sent: Vec<&Sent> = repo.sent.iter().filter(is_here).collect();
            let got = landed.of.remove(&(slice, did.to_string())).unwrap_or_default();
            compare(&format!("{did} in {}", of.name), &sent, &got, wrong);
        }
    }
    for ((_, did), events) in landed.of {
        for event in events {
            wrong.note(Kind::Different, || format!("{did}, seq {}: the source never sent anything of it", event.seq));
        }
    }
}

fn id(told: &Told<'_>) -> Result<EventId, Failure> {
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    if told.kind == "commit" {
        let (rev, operation) = (text(told.rev), text(told.operation));
        return Ok(EventId::Commit { rev, operation, collection: text(told.collection), rkey: text(told.rkey) });
    }
    let event: Value = serde_json::from_str(told.event.unwrap_or("null"))?;
    let body = if event["payload"].is_null() { &event } else { &event["payload"] };
    let time = body[told.kind]["time"].as_str().unwrap_or_default().to_owned();
    Ok(match told.kind {
        "identity" => EventId::Identity { time },
        "account" => EventId::Account { time },
        _ => EventId::Sync { rev: text(told.rev), time },
    })
}
