//! A message of the enriched stream: one event as headers and one JSON document. `docs/enriched-stream.md` is its contract.
//!
//! Invariants:
//! - a record, and an event that is no commit, stand in the document byte for byte as they came;
//! - every event has a message, however large it is: what the server does not take is compressed, and what it does not
//!   take then goes without its content, which a header says.

use super::subject;
use crate::log::Numbered;
use crate::log::nats::batch::Outgoing;
use crate::telemetry::events;
use crate::telemetry::trace::{Step, TRACEPARENT};
use async_nats::HeaderMap;
use bytes::Bytes;
use serde::Serialize;
use turbo_core::event::{Body, Event};
use turbo_core::hydrated::Hydrated;

/// The version of the document; it grows when a field changes its meaning, not when one is new.
const VERSION: u8 = 1;
/// The log sequence of the event.
pub(super) const SEQ: &str = "Turbo-Seq";
/// Its number in the shard.
pub(super) const NUMBER: &str = "Turbo-N";
const ENCODING: &str = "Turbo-Encoding";
const OMITTED: &str = "Turbo-Omitted";
/// Bytes of headers and subject that are reckoned beside a payload.
pub(super) const HEADERS: usize = 4 << 10;
/// How hard is compressed.
const LEVEL: i32 = 3;

/// How much of an event its message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Whole,
    /// Without what was looked up.
    Plain,
    /// Without the record, or the event that is no commit, and without the cid.
    Named,
    /// Only where it stood.
    Bare,
}

/// The document without its last field, which is spliced in.
#[derive(Serialize)]
struct Head<'a> {
    v: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
    kind: &'a str,
    seq: u64,
    time_us: i64,
    slice: &'a str,
    partition: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rkey: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rev: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a str>,
    hydration: &'a str,
}

/// Writes the messages of one shard.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    /// What the shard's subjects begin with.
    pub(super) prefix: &'a str,
    /// The name of the slice.
    pub(super) slice: &'a str,
    /// The largest payload with its headers, in bytes, as the server says.
    pub(super) max_payload: usize,
}

impl Encoder<'_> {
    /// The message of an event.
    pub(super) fn message(&self, numbered: &Numbered, event: &Event) -> Outgoing {
        let mut headers = HeaderMap::new();
        headers.insert(SEQ, numbered.entry.seq.to_string());
        headers.insert(NUMBER, numbered.number.to_string());
        if let Some(trace) = &numbered.entry.item.trace {
            headers.insert(TRACEPARENT, trace.child(Step::Publish, numbered.entry.seq).traceparent());
        }
        let payload = self.payload(numbered, event, &mut headers);
        let subject = format!("{}.{}", self.prefix, subject::of(event));
        Outgoing { subject: subject.into(), headers, payload }
    }

    fn payload(&self, numbered: &Numbered, event: &Event, headers: &mut HeaderMap) -> Bytes {
        for (content, omitted) in [
            (Content::Whole, None),
            (Content::Plain, Some("hydrated")),
            (Content::Named, Some("content")),
            (Content::Bare, Some("all")),
        ] {
            if content == Content::Plain && Hydrated::json(numbered.entry.hydrated.as_deref()).is_none() {
                continue;
            }
            let document = self.document(numbered, event, content);
            let Some((payload, encoding)) = self.fitting(document) else { continue };
            encoding.into_iter().for_each(|encoding| headers.insert(ENCODING, encoding));
            if let Some(omitted) = omitted {
                headers.insert(OMITTED, omitted);
                events::EnrichedOmitted { seq: numbered.entry.seq, omitted, max_payload: self.max_payload }.emit();
            }
            return payload;
        }
        // Not reached: what is bare is smaller than the smallest max_payload that the sink starts with.
        Bytes::new()
    }

    /// The document as it is or compressed, if the server takes it.
    fn fitting(&self, document: Vec<u8>) -> Option<(Bytes, Option<&'static str>)> {
        let limit = self.max_payload.saturating_sub(HEADERS);
        if document.len() <= limit {
            return Some((document.into(), None));
        }
        let small = zstd::bulk::compress(&document, LEVEL).ok()?;
        (small.len() <= limit).then(|| (small.into(), Some("zstd")))
    }

    fn document(&self, numbered: &Numbered, event: &Event, content: Content) -> Vec<u8> {
        let named = content != Content::Bare;
        let commit = match &event.body {
            Body::Commit(commit) if named => Some(commit),
            _ => None,
        };
        let hydrated = numbered.entry.hydrated.as_deref().filter(|_| content == Content::Whole);
        let head = Head {
            v: VERSION,
            did: named.then_some(&*event.key),
            kind: event.kind().as_str(),
            seq: numbered.entry.seq,
            time_us: event.time_us,
            slice: self.slice,
            partition: numbered.entry.shard.partition,
            operation: commit.map(|commit| commit.operation.as_str()),
            collection: commit.map(|commit| &*commit.collection),
            rkey: commit.map(|commit| &*commit.rkey),
            rev: event.rev().filter(|_| named),
            cid: commit.and_then(|commit| commit.cid.as_deref()).filter(|_| content <= Content::Plain),
            hydration: Hydrated::word(hydrated),
        };
        // Texts and numbers in a struct always make JSON.
        let mut document = serde_json::to_vec(&head).unwrap_or_default();
        if content <= Content::Plain {
            match &event.body {
                Body::Commit(commit) => splice(&mut document, "record", commit.record.as_deref()),
                _ => splice(&mut document, "event", Some(&event.bytes)),
            }
            splice(&mut document, "hydrated", Hydrated::json(hydrated));
        }
        document
    }
}

/// Puts JSON that was read as JSON before into an object as its last field, without reading it again.
fn splice<T: AsRef<[u8]> + ?Sized>(object: &mut Vec<u8>, field: &str, json: Option<&T>) {
    let Some(json) = json else { return };
    object.pop();
    object.extend_from_slice(b",\"");
    object.extend_from_slice(field.as_bytes());
    object.extend_from_slice(b"\":");
    object.extend_from_slice(json.as_ref());
    object.push(b'}');
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
