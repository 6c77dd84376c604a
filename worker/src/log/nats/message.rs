//! Messages of the log: an item as headers and payload, and back.
//!
//! The payload is the event's own bytes; what is no event is carried the same way. A payload that is too large for the
//! server is compressed, and one that is still too large goes without its bytes, as a dead letter. Headers:
//!
//! | header | value |
//! |---|---|
//! | `Turbo-Source` | `<host>\|<cursor>` of the event; the cursor is empty where the host gives none |
//! | `Turbo-At` | `<source time in microseconds>\|<event id>` of the last event, where the payload is none |
//! | `Turbo-Rejoined` | `1` where another host may have the name than before the log began anew |
//! | `Turbo-N` | number in the shard, by one from message to message |
//! | `Turbo-Mark` | what the dedup window has to remember: base64 of [`Mark`]s |
//! | `Turbo-Reason` | why the payload is no event |
//! | `Turbo-Gap` | `<from>\|<to>` in microseconds of source time: a part of the source that was never seen; `<to>` may be empty |
//! | `Turbo-Encoding` | `zstd` where the payload is compressed |
//! | `traceparent` | the trace of an event that is traced |

use crate::log::{Content, Gap, Item};
use crate::telemetry::trace::{TRACEPARENT, TraceContext};
use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use std::io::Read;
use std::num::NonZeroU64;
use std::sync::Arc;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::window::Mark;
use turbo_core::wire::{Frame, decode};

const SOURCE: &str = "Turbo-Source";
const AT: &str = "Turbo-At";
const REJOINED: &str = "Turbo-Rejoined";
const NUMBER: &str = "Turbo-N";
const MARK: &str = "Turbo-Mark";
const REASON: &str = "Turbo-Reason";
const GAP: &str = "Turbo-Gap";
const ENCODING: &str = "Turbo-Encoding";
/// Bytes of headers that are reckoned beside a payload.
const HEADERS: usize = 4 << 10;
/// Bytes of a reason that are kept.
const MAX_REASON: usize = 1000;
/// The largest payload after decompression; above the largest frame that a source may send.
const MAX_PAYLOAD: u64 = 65 << 20;

/// A message that is not one of ours, or broken.
#[derive(Debug, thiserror::Error)]
#[error("message {seq} of the log: {what}; if another program sent it, remove it (nats stream rmm)")]
pub struct Broken {
    seq: u64,
    what: String,
}

/// A message of the log.
#[derive(Debug)]
pub struct Message {
    /// Sequence in the stream.
    pub seq: u64,
    /// Number in its shard; zero for a marker.
    pub number: u64,
    /// What it carries; `None` for a marker.
    pub item: Option<Item>,
    /// Where the source was read to; `None` where no event was there before it.
    pub position: Option<SourcePosition>,
    /// When the server took it, in milliseconds since the Unix epoch, where whoever read it knows.
    pub appended_ms: Option<NonZeroU64>,
}

/// Writes messages: remembers where the source was read to, since what is no event does not tell it.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The largest payload with its headers, in bytes, as the server says.
    pub max_payload: usize,
    /// The position of the last event written.
    pub position: Option<SourcePosition>,
    /// The same of the position as [`Item::rejoined`].
    pub rejoined: bool,
}

impl Encoder {
    /// Headers and payload of an item that gets this number in its shard.
    pub(super) fn item(&mut self, item: &Item, number: u64) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.to_string());
        let mut marks = Vec::new();
        item.marks.iter().for_each(|mark| mark.write(&mut marks));
        headers.insert(MARK, STANDARD_NO_PAD.encode(&marks));
        if let Some(trace) = &item.trace {
            headers.insert(TRACEPARENT, trace.traceparent());
        }
        let bytes = match &item.content {
            Content::Gap(gap) => {
                let to_us = gap.to_us.map(|to_us| to_us.to_string()).unwrap_or_default();
                headers.insert(GAP, format!("{}|{to_us}", gap.from_us));
                headers.insert(REASON, line(&gap.reason));
                &Bytes::from(gap.host.clone())
            }
            Content::Event(event) => {
                let id = EventId::of(event);
                let (host, cursor) = (item.host.to_string(), event.cursor);
                self.rejoined = item.rejoined;
                self.position = Some(SourcePosition { host, cursor, time_us: event.time_us, id });
                &event.bytes
            }
            Content::Unreadable { bytes, reason } => {
                headers.insert(REASON, line(reason));
                bytes
            }
            Content::Covered(_) => {
                debug_assert!(false, "what is covered is never written to a log");
                &Bytes::new()
            }
        };
        let payload = self.payload(bytes, &mut headers);
        self.source(&mut headers);
        (headers, payload)
    }

    /// Headers of a marker: where the source was read to, without an event.
    pub(super) fn marker(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.source(&mut headers);
        headers
    }

    fn payload(&self, bytes: &Bytes, headers: &mut HeaderMap) -> Bytes {
        let limit = self.max_payload.saturating_sub(HEADERS);
        if bytes.len() <= limit {
            return bytes.clone();
        }
        match zstd::bulk::compress(bytes, 3) {
            Ok(small) if small.len() <= limit => {
                headers.insert(ENCODING, "zstd");
                small.into()
            }
            _ => {
                let had = format!(
                    "{} bytes are above the log's limit of {limit}; raise max_payload of the NATS server",
                    bytes.len()
                );
                headers.insert(REASON, had);
                Bytes::new()
            }
        }
    }

    fn source(&self, headers: &mut HeaderMap) {
        let Some(position) = &self.position else { return };
        place_source(position, headers);
        if self.rejoined {
            headers.insert(REJOINED, "1");
        }
        if headers.get(REASON).is_some() || headers.get(NUMBER).is_none() {
            place_at(position, headers);
        }
    }
}

fn place_source(position: &SourcePosition, headers: &mut HeaderMap) {
    let cursor = position.cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
    headers.insert(SOURCE, format!("{}|{cursor}", position.host));
}

fn place_at(position: &SourcePosition, headers: &mut HeaderMap) {
    headers.insert(AT, format!("{}|{:032x}", position.time_us, position.id.0));
}

/// Writes a place in the source into headers, whole.
pub(crate) fn place(position: &SourcePosition, headers: &mut HeaderMap) {
    place_source(position, headers);
    place_at(position, headers);
}

/// Reads the place in the source that headers bear, if they bear one.
pub(crate) fn placed(headers: &HeaderMap) -> Option<SourcePosition> {
    let (host, cursor) = read_source(headers.get(SOURCE)?.as_str())?;
    let (time_us, id) = read_at(headers.get(AT)?.as_str())?;
    Some(SourcePosition { host: host.to_owned(), cursor, time_us, id })
}

/// Reads a message whole.
///
/// # Errors
/// It is not one of ours.
pub(super) fn read(seq: u64, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Message, Broken> {
    let broken = |what: &str| Broken { seq, what: what.to_owned() };
    let text = |name: &str| headers.and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str);
    let (host, cursor) = match text(SOURCE) {
        Some(source) => read_source(source).ok_or_else(|| broken("Turbo-Source is broken"))?,
        None => ("", None),
    };
    let at = text(AT).map(|at| read_at(at).ok_or_else(|| broken("Turbo-At is broken"))).transpose()?;
    let position = |(time_us, id)| SourcePosition { host: host.to_owned(), cursor, time_us, id };
    let Some(number) = text(NUMBER) else {
        return match at {
            Some(at) => Ok(Message { seq, number: 0, item: None, position: Some(position(at)), appended_ms: None }),
            None => Err(broken("neither Turbo-N nor Turbo-At is there")),
        };
    };
    let number = number.parse().map_err(|_| broken("Turbo-N is no number"))?;
    let marks = marks(seq, headers)?;
    let payload = match text(ENCODING) {
        Some("zstd") => inflate(&payload).map_err(|error| broken(&error.to_string()))?,
        Some(other) => return Err(broken(&format!("Turbo-Encoding {other} is unknown"))),
        None => payload,
    };
    let (content, at) = match (text(GAP), text(REASON)) {
        (Some(gap), reason) => {
            let (from_us, to_us) = read_gap(gap).ok_or_else(|| broken("Turbo-Gap is broken"))?;
            let (host, reason) =
                (String::from_utf8_lossy(&payload).into_owned(), reason.unwrap_or_default().to_owned());
            (Content::Gap(Gap { host, from_us, to_us, reason }), at)
        }
        (None, Some(reason)) => (Content::Unreadable { bytes: payload, reason: reason.to_owned() }, at),
        (None, None) => match decode(&payload).map_err(|error| broken(&error.to_string()))? {
            Frame::Event(mut event) => {
                event.cursor = cursor;
                let at = (event.time_us, EventId::of(&event));
                (Content::Event(event), Some(at))
            }
            _ => return Err(broken("the payload is no event")),
        },
    };
    let trace = text(TRACEPARENT).and_then(TraceContext::parse).map(Arc::new);
    let item = Some(Item { content, host: host.into(), marks, trace, rejoined: headers.is_some_and(rejoined) });
    Ok(Message { seq, number, item, position: at.map(position), appended_ms: None })
}

/// Reads a message of a shard; one whose payload is broken becomes a dead letter there.
///
/// # Errors
/// It is not one of ours: it has no number.
pub(super) fn read_for_shard(seq: u64, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Message, Broken> {
    read(seq, headers, payload.clone()).or_else(|broken| {
        let number = number(seq, headers.ok_or_else(|| Broken { seq, what: "it has no headers".into() })?)?;
        let content = Content::Unreadable { bytes: payload, reason: broken.to_string() };
        let item = Some(Item { content, host: "".into(), marks: Vec::new(), trace: None, rejoined: false });
        Ok(Message { seq, number, item, position: None, appended_ms: None })
    })
}

/// The same of a message's position as [`Item::rejoined`].
pub(super) fn rejoined(headers: &HeaderMap) -> bool {
    headers.get(REJOINED).is_some()
}

/// What the dedup window has to remember of a message, by its headers alone.
///
/// # Errors
/// It is not one of ours.
pub(super) fn marks(seq: u64, headers: Option<&HeaderMap>) -> Result<Vec<Mark>, Broken> {
    let Some(text) = headers.and_then(|headers| headers.get(MARK)) else { return Ok(Vec::new()) };
    let bytes = STANDARD_NO_PAD.decode(text.as_str()).ok();
    bytes.and_then(|bytes| Mark::read(&bytes)).ok_or_else(|| Broken { seq, what: "Turbo-Mark is broken".into() })
}

/// The number of a message in its shard.
///
/// # Errors
/// It has none.
pub(super) fn number(seq: u64, headers: &HeaderMap) -> Result<u64, Broken> {
    let number = headers.get(NUMBER).and_then(|number| number.as_str().parse().ok());
    number.ok_or_else(|| Broken { seq, what: "Turbo-N is missing, or no number".into() })
}

fn read_source(text: &str) -> Option<(&str, Option<u64>)> {
    let (host, cursor) = text.rsplit_once('|')?;
    if cursor.is_empty() { Some((host, None)) } else { Some((host, Some(cursor.parse().ok()?))) }
}

fn read_gap(text: &str) -> Option<(i64, Option<i64>)> {
    let (from_us, to_us) = text.split_once('|')?;
    Some((from_us.parse().ok()?, if to_us.is_empty() { None } else { Some(to_us.parse().ok()?) }))
}

fn read_at(text: &str) -> Option<(i64, EventId)> {
    let (time_us, id) = text.split_once('|')?;
    Some((time_us.parse().ok()?, EventId(u128::from_str_radix(id, 16).ok()?)))
}

fn inflate(payload: &[u8]) -> std::io::Result<Bytes> {
    let mut bytes = Vec::new();
    zstd::Decoder::new(payload)?.take(MAX_PAYLOAD).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// A text as it can stand in a header.
fn line(text: &str) -> String {
    let text = text.get(..text.floor_char_boundary(MAX_REASON)).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
