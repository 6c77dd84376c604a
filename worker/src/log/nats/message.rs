//! Messages of the log: an item as headers and payload, and back.
//!
//! The payload is the event's own bytes; what is no event is carried the same way. A payload that is too large for the
//! server is compressed, and one that is still too large goes without its bytes, as a dead letter. Headers:
//!
//! | header | value |
//! |---|---|
//! | `Turbo-Source` | `<host>\|<cursor>` of the event; the cursor is empty where the host gives none |
//! | `Turbo-At` | `<source time in microseconds>\|<event id>` of the last event, where the payload is none |
//! | `Turbo-N` | number in the shard, by one from message to message |
//! | `Turbo-Mark` | what the dedup window has to remember: base64 of [`Mark`]s |
//! | `Turbo-Reason` | why the payload is no event |
//! | `Turbo-Gap` | `<from>\|<to>` in microseconds of source time: a part of the source that was never seen; `<to>` may be empty |
//! | `Turbo-Encoding` | `zstd` where the payload is compressed |

use crate::log::{Content, Gap, Item};
use async_nats::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use std::io::Read;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::window::Mark;
use turbo_core::wire::{Frame, decode};

const SOURCE: &str = "Turbo-Source";
const AT: &str = "Turbo-At";
const NUMBER: &str = "Turbo-N";
const MARK: &str = "Turbo-Mark";
const REASON: &str = "Turbo-Reason";
const GAP: &str = "Turbo-Gap";
const ENCODING: &str = "Turbo-Encoding";
/// Bytes of headers that are reckoned beside a payload.
const HEADERS: usize = 4 << 10;
/// Characters of a reason that are kept.
const MAX_REASON: usize = 1000;
/// The largest payload after decompression; above the largest frame that a source may send.
const MAX_PAYLOAD: u64 = 65 << 20;

/// A message that is not one of ours, or broken.
#[derive(Debug, thiserror::Error)]
#[error("message {seq} of the log: {what}")]
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
}

/// Writes messages: remembers where the source was read to, since what is no event does not tell it.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The largest payload with its headers, in bytes, as the server says.
    pub max_payload: usize,
    /// The position of the last event written.
    pub position: Option<SourcePosition>,
}

impl Encoder {
    /// Headers and payload of an item that gets this number in its shard.
    pub(super) fn item(&mut self, item: &Item, number: u64) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, number.to_string());
        let mut marks = Vec::new();
        item.marks.iter().for_each(|mark| mark.write(&mut marks));
        headers.insert(MARK, STANDARD_NO_PAD.encode(&marks));
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
                self.position = Some(SourcePosition { host, cursor, time_us: event.time_us, id });
                &event.bytes
            }
            Content::Unreadable { bytes, reason } => {
                headers.insert(REASON, line(reason));
                bytes
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
        let cursor = position.cursor.map(|cursor| cursor.to_string()).unwrap_or_default();
        headers.insert(SOURCE, format!("{}|{cursor}", position.host));
        if headers.get(REASON).is_some() || headers.get(NUMBER).is_none() {
            headers.insert(AT, format!("{}|{:032x}", position.time_us, position.id.0));
        }
    }
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
            Some(at) => Ok(Message { seq, number: 0, item: None, position: Some(position(at)) }),
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
    let item = Some(Item { content, host: host.into(), marks });
    Ok(Message { seq, number, item, position: at.map(position) })
}

/// Reads a message of a shard; one whose payload is broken becomes a dead letter there.
///
/// # Errors
/// It is not one of ours: it has no number.
pub(super) fn read_for_shard(seq: u64, headers: Option<&HeaderMap>, payload: Bytes) -> Result<Message, Broken> {
    read(seq, headers, payload.clone()).or_else(|broken| {
        let number = number(seq, headers.ok_or_else(|| Broken { seq, what: "it has no headers".into() })?)?;
        let content = Content::Unreadable { bytes: payload, reason: broken.to_string() };
        let item = Some(Item { content, host: "".into(), marks: Vec::new() });
        Ok(Message { seq, number, item, position: None })
    })
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
    text.chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(text: &str) -> Content {
        let line = serde_json::json!({"did": "did:plc:a", "time_us": 7, "kind": "commit", "commit": {"rev": "3mptbypluud2a",
            "operation": "create", "collection": "a.b.c", "rkey": "k", "record": {"text": text}, "cid": "c"}});
        match decode(&Bytes::from(line.to_string())) {
            Ok(Frame::Event(event)) => Content::Event(event),
            other => panic!("{other:?}"),
        }
    }

    fn item(mut content: Content, cursor: Option<u64>) -> Item {
        if let Content::Event(event) = &mut content {
            event.cursor = cursor;
        }
        let marks = vec![Mark { id: EventId(9), key: 1, rev: 2, time_us: 3 }];
        Item { content, host: "a:1".into(), marks }
    }

    proptest! {
        #[test]
        fn an_event_comes_back_byte_for_byte(text in ".{0,3000}", cursor: Option<u64>, limit in 5000usize..8000, number: u64) {
            let mut encoder = Encoder { max_payload: limit, position: None };
            let sent = item(event(&text), cursor);
            let (headers, payload) = encoder.item(&sent, number);
            prop_assert!(payload.len() <= limit - HEADERS);
            let message = read(5, Some(&headers), payload).unwrap();
            let came = message.item.unwrap();
            prop_assert_eq!((message.number, &came.marks, &came.host), (number, &sent.marks, &sent.host));
            prop_assert_eq!(&message.position, &encoder.position);
            match came.content {
                Content::Event(event) => prop_assert_eq!(&*event, sent.event().unwrap()),
                Content::Gap(_) => prop_assert!(false),
                Content::Unreadable { reason, bytes } => {
                    prop_assert!(bytes.is_empty() && reason.contains("raise max_payload"), "{}", reason);
                }
            }
        }

        #[test]
        fn what_is_no_event_keeps_the_position(bytes: Vec<u8>, reason in ".{0,50}", first: bool) {
            let position = first.then(|| SourcePosition { host: "h".into(), cursor: None, time_us: -1, id: EventId(3) });
            let mut encoder = Encoder { max_payload: 1 << 20, position: position.clone() };
            let (headers, payload) = encoder.item(&item(Content::Unreadable { bytes: bytes.clone().into(), reason }, None), 1);
            let message = read(5, Some(&headers), payload).unwrap();
            prop_assert_eq!(message.position, position);
            let Some(Content::Unreadable { bytes: came, .. }) = message.item.map(|item| item.content) else { panic!() };
            prop_assert_eq!(came, bytes);
        }
    }

    #[test]
    fn a_gap_comes_back_as_it_was() {
        for to_us in [None, Some(-3)] {
            let gap = Gap { host: "h:1".into(), from_us: -5, to_us, reason: "an outage".into() };
            let mut encoder = Encoder { max_payload: 1 << 20, position: None };
            let (headers, payload) = encoder.item(&item(Content::Gap(gap.clone()), None), 2);
            let message = read(5, Some(&headers), payload).unwrap();
            let Some(Content::Gap(came)) = message.item.map(|item| item.content) else { panic!() };
            assert_eq!((came, message.number), (gap, 2));
        }
    }

    #[test]
    fn a_marker_carries_the_position_and_no_item() {
        let position = SourcePosition { host: "a:1".into(), cursor: Some(4), time_us: 5, id: EventId(u128::MAX) };
        let encoder = Encoder { max_payload: 1 << 20, position: Some(position.clone()) };
        let message = read(1, Some(&encoder.marker()), Bytes::new()).unwrap();
        assert_eq!((message.position, message.item.is_none(), message.number), (Some(position), true, 0));
    }

    #[test]
    fn a_broken_payload_is_a_dead_letter_of_its_shard() {
        let mut encoder = Encoder { max_payload: 1 << 20, position: None };
        let (headers, _) = encoder.item(&item(event("x"), Some(1)), 8);
        assert!(read(3, Some(&headers), Bytes::from_static(b"{")).is_err(), "a position can not be had from it");
        let message = read_for_shard(3, Some(&headers), Bytes::from_static(b"{")).unwrap();
        let Some(Content::Unreadable { bytes, reason }) = message.item.map(|item| item.content) else { panic!() };
        assert_eq!((message.number, &bytes[..]), (8, &b"{"[..]));
        assert!(reason.starts_with("message 3 of the log: not a Jetstream message"), "{reason}");
        assert!(read_for_shard(3, None, Bytes::new()).is_err());
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        assert!(read(1, None, Bytes::new()).is_err());
        let mut headers = HeaderMap::new();
        headers.insert(NUMBER, "x");
        assert_eq!(
            read(3, Some(&headers), Bytes::new()).unwrap_err().to_string(),
            "message 3 of the log: Turbo-N is no number"
        );
    }
}
