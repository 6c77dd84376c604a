//! The envelope of an event, v1 and v2.
//!
//! Sources: v1 is the text of a Jetstream `/subscribe` server; v2 is the lexicon
//! `network.bsky.jetstream.subscribeEvents` in the framing `xrpc.v1.json` (one object with `$type` `message` or `error`).
//! Unknown fields are ignored, unknown kinds are told to the caller, and a repeated key is an error.

use crate::event::{Body, Commit, Event, Operation, parse_time};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// What one frame says.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// An event.
    Event(Box<Event>),
    /// A notice of the server (v2 `#info`): name, message.
    Info(String, String),
    /// The server's last word on this connection (v2 error frame): name, message.
    Error(String, String),
    /// A kind of message that this version does not know.
    Unknown(String),
}

/// Why bytes are no frame.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No JSON, or JSON of another shape.
    #[error("not a Jetstream message: {0}")]
    Shape(String),
    /// A field that the kind needs is not there or is empty.
    #[error("the field {0} is missing or empty")]
    Missing(&'static str),
    /// A name, a key or a revision is longer than any may be.
    #[error("the field {0} has {1} bytes, which is above {LONGEST}")]
    Long(&'static str, usize),
    /// A field has a value that it can not have.
    #[error("the field {0} has the value {1:?}")]
    Value(&'static str, String),
}

/// The longest DID, in bytes (<https://www.w3.org/TR/did-core> sets no limit, the AT Protocol says 2 KiB); every other name is
/// shorter. What is longer could not be a key of a table.
const LONGEST: usize = 2048;

/// A borrowed string, also inside an `Option`, where a derived `Cow` would always copy.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// An object, where a derived struct would take a list of its fields too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(rename = "$type", borrow)]
    envelope: Option<Text<'a>>,
    #[serde(borrow)]
    payload: Option<Object<Payload<'a>>>,
    #[serde(borrow)]
    error: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    did: Option<Text<'a>>,
    time_us: Option<i64>,
    cursor: Option<u64>,
    #[serde(borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    commit: Option<Object<Change<'a>>>,
    #[serde(borrow)]
    identity: Option<Object<Upstream<'a>>>,
    #[serde(borrow)]
    account: Option<Object<Upstream<'a>>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(rename = "$type", borrow)]
    kind: Option<Text<'a>>,
    seq: Option<u64>,
    #[serde(borrow)]
    did: Option<Text<'a>>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    rev: Option<Text<'a>>,
    #[serde(borrow)]
    operation: Option<Text<'a>>,
    #[serde(borrow)]
    collection: Option<Text<'a>>,
    #[serde(borrow)]
    rkey: Option<Text<'a>>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    cid: Option<Text<'a>>,
    #[serde(borrow)]
    identity: Option<Object<Upstream<'a>>>,
    #[serde(borrow)]
    account: Option<Object<Upstream<'a>>>,
    #[serde(borrow)]
    sync: Option<Object<Upstream<'a>>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

/// The fields of a commit: an object of their own on v1, part of the payload on v2.
#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    rev: Option<Text<'a>>,
    #[serde(borrow)]
    operation: Option<Text<'a>>,
    #[serde(borrow)]
    collection: Option<Text<'a>>,
    #[serde(borrow)]
    rkey: Option<Text<'a>>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    #[serde(borrow)]
    cid: Option<Text<'a>>,
}

/// The relay's own identity, account or sync event.
#[derive(Deserialize)]
struct Upstream<'a> {
    seq: Option<i64>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    handle: Option<Text<'a>>,
    active: Option<bool>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow)]
    rev: Option<Text<'a>>,
}

/// Decodes the text of one frame or of one line.
///
/// # Errors
/// The bytes are no JSON object of the shape of either version, or a field that the kind needs is missing or wrong.
pub fn decode(bytes: &Bytes) -> Result<Frame, Error> {
    let text = std::str::from_utf8(bytes).map_err(|e| Error::Shape(e.to_string()))?;
    // There is one line: which one it is says whoever knows it.
    let shape = |e: serde_json::Error| Error::Shape(e.to_string().replace(" at line 1 column ", " at column "));
    let Object(top): Object<Top<'_>> = serde_json::from_str(text).map_err(shape)?;
    match top.envelope.as_ref().map(|envelope| &*envelope.0) {
        None => v1(bytes, top),
        Some("message") => v2(bytes, object("payload", top.payload)?),
        Some("error") => Ok(Frame::Error(own(top.error), own(top.message))),
        Some(other) => Ok(Frame::Unknown(other.to_owned())),
    }
}

fn v1(bytes: &Bytes, top: Top<'_>) -> Result<Frame, Error> {
    let key = need("did", top.did)?;
    let time_us = top.time_us.ok_or(Error::Missing("time_us"))?;
    let kind = need("kind", top.kind)?;
    let body = match &*kind {
        "commit" => commit(bytes, object("commit", top.commit)?)?,
        "identity" => identity(object("identity", top.identity)?),
        "account" => account(object("account", top.account)?)?,
        other => return Ok(Frame::Unknown(other.to_owned())),
    };
    Ok(event(bytes, key, time_us, top.cursor, body))
}

fn v2(bytes: &Bytes, payload: Payload<'_>) -> Result<Frame, Error> {
    let kind = payload.kind.ok_or(Error::Missing("payload.$type"))?;
    let body = match kind.0.rsplit_once('#').map_or(&*kind.0, |(_, fragment)| fragment) {
        "commit" => {
            let Payload { rev, operation, collection, rkey, record, cid, .. } = payload;
            commit(bytes, Change { rev, operation, collection, rkey, record, cid })?
        }
        "identity" => identity(object("payload.identity", payload.identity)?),
        "account" => account(object("payload.account", payload.account)?)?,
        "sync" => sync(object("payload.sync", payload.sync)?)?,
        "info" => return Ok(Frame::Info(own(payload.name), own(payload.message))),
        _ => return Ok(Frame::Unknown(kind.0.into_owned())),
    };
    let key = need("payload.did", payload.did)?;
    let seq = payload.seq.ok_or(Error::Missing("payload.seq"))?;
    let time = need("payload.time", payload.time)?;
    let time_us = parse_time(&time).ok_or_else(|| Error::Value("payload.time", time.into()))?;
    Ok(event(bytes, key, time_us, Some(seq), body))
}

fn event(bytes: &Bytes, key: Box<str>, time_us: i64, cursor: Option<u64>, body: Body) -> Frame {
    Frame::Event(Box::new(Event { key, time_us, cursor, body, bytes: bytes.clone() }))
}

fn commit(bytes: &Bytes, change: Change<'_>) -> Result<Body, Error> {
    let operation = match &*need("operation", change.operation)? {
        "create" => Operation::Create,
        "update" => Operation::Update,
        "delete" => Operation::Delete,
        other => return Err(Error::Value("operation", other.to_owned())),
    };
    let record = match (operation, change.record) {
        (Operation::Delete, _) => None,
        (_, Some(raw)) => Some(bytes.slice_ref(raw.get().as_bytes())),
        (_, None) => return Err(Error::Missing("record")),
    };
    Ok(Body::Commit(Commit {
        operation,
        rev: need("rev", change.rev)?,
        collection: need("collection", change.collection)?,
        rkey: need("rkey", change.rkey)?,
        cid: change.cid.filter(|_| record.is_some()).map(boxed),
        record,
    }))
}

fn identity(upstream: Upstream<'_>) -> Body {
    let time = own_time(&upstream);
    Body::Identity { handle: upstream.handle.map(boxed), time }
}

fn account(upstream: Upstream<'_>) -> Result<Body, Error> {
    let time = own_time(&upstream);
    let active = upstream.active.ok_or(Error::Missing("account.active"))?;
    Ok(Body::Account { active, status: upstream.status.map(boxed), time })
}

fn sync(upstream: Upstream<'_>) -> Result<Body, Error> {
    let time = own_time(&upstream);
    Ok(Body::Sync { rev: need("sync.rev", upstream.rev)?, time })
}

/// The time that the relay gave the event; its sequence number there where it gave no time. A resync that a Jetstream
/// server made by itself has neither.
fn own_time(upstream: &Upstream<'_>) -> Box<str> {
    match (&upstream.time, upstream.seq) {
        (Some(time), _) if !time.0.is_empty() => (&*time.0).into(),
        (_, Some(seq)) if seq != 0 => seq.to_string().into(),
        _ => "".into(),
    }
}

fn object<T>(field: &'static str, object: Option<Object<T>>) -> Result<T, Error> {
    object.map(|Object(fields)| fields).ok_or(Error::Missing(field))
}

fn need(field: &'static str, text: Option<Text<'_>>) -> Result<Box<str>, Error> {
    match text.filter(|text| !text.0.is_empty()).ok_or(Error::Missing(field))? {
        long if long.0.len() > LONGEST => Err(Error::Long(field, long.0.len())),
        text => Ok(boxed(text)),
    }
}

fn boxed(text: Text<'_>) -> Box<str> {
    text.0.into()
}

fn own(text: Option<Text<'_>>) -> String {
    text.map(|text| text.0.into_owned()).unwrap_or_default()
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;
