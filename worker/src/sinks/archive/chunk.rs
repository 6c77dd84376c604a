//! How events wait for the archive: a chunk holds the events of one commit and one shard.
//!
//! zstd over, for each event: log sequence (8 bytes, little-endian), length (4 bytes), the event's own bytes. Where the
//! highest bit of the length is set, the hydrated document follows: length (4 bytes), bytes; where the bit below it is set, not
//! all of that was known.

use bytes::{Buf, Bytes};
use turbo_core::event::Event;
use turbo_core::fold::Logged;
use turbo_core::hydrated::{Hydrated, Hydration};
use turbo_core::wire::{Frame, decode};

/// Fast: the final object is compressed anew.
const LEVEL: i32 = 1;
/// In a length: a hydrated document follows.
const HYDRATED: u32 = 1 << 31;
/// In a length: what follows is not all.
const PARTIAL: u32 = 1 << 30;

/// A chunk that can not be read back.
#[derive(Debug, thiserror::Error)]
#[error("a waiting chunk is broken: {0}")]
pub struct Broken(String);

/// An event that has waited.
#[derive(Clone, Debug, PartialEq)]
pub struct Waited {
    /// Log sequence number.
    pub seq: u64,
    /// The event.
    pub event: Event,
    /// What was known of what it points at, where anything was.
    pub hydrated: Option<Hydrated>,
}

/// Packs events.
///
/// # Errors
/// zstd has no memory.
pub fn encode(events: &[Logged<'_>]) -> std::io::Result<Vec<u8>> {
    let size =
        |logged: &Logged<'_>| 16 + logged.event.bytes.len() + Hydrated::json(logged.hydrated).map_or(0, str::len);
    let mut plain = Vec::with_capacity(events.iter().map(size).sum());
    for Logged { seq, event, hydrated, .. } in events {
        let document = Hydrated::json(*hydrated);
        let flag = match (document, hydrated) {
            (Some(_), Some(Hydrated { hydration: Hydration::Partial, .. })) => HYDRATED | PARTIAL,
            (Some(_), _) => HYDRATED,
            (None, _) => 0,
        };
        plain.extend_from_slice(&seq.to_le_bytes());
        plain.extend_from_slice(&(event.bytes.len() as u32 | flag).to_le_bytes());
        plain.extend_from_slice(&event.bytes);
        if let Some(document) = document {
            plain.extend_from_slice(&(document.len() as u32).to_le_bytes());
            plain.extend_from_slice(document.as_bytes());
        }
    }
    zstd::bulk::compress(&plain, LEVEL)
}

/// Unpacks what [`encode`] packed.
///
/// # Errors
/// The bytes are not what `encode` made.
pub fn read(chunk: &[u8]) -> Result<Vec<Waited>, Broken> {
    let broken = |what: &dyn std::fmt::Display| Broken(what.to_string());
    let mut plain = Bytes::from(zstd::decode_all(chunk).map_err(|e| broken(&e))?);
    let mut events = Vec::new();
    while plain.has_remaining() {
        let seq = plain.try_get_u64_le().map_err(|e| broken(&e))?;
        let length = plain.try_get_u32_le().map_err(|e| broken(&e))?;
        let event = match decode(&cut(&mut plain, length & !(HYDRATED | PARTIAL))?) {
            Ok(Frame::Event(event)) => *event,
            Ok(_) => return Err(broken(&"no event")),
            Err(e) => return Err(broken(&e)),
        };
        let hydrated = if length & HYDRATED == 0 {
            None
        } else {
            let hydration = if length & PARTIAL == 0 { Hydration::Full } else { Hydration::Partial };
            let length = plain.try_get_u32_le().map_err(|e| broken(&e))?;
            let document = String::from_utf8(cut(&mut plain, length)?.into()).map_err(|e| broken(&e))?;
            Some(Hydrated { hydration, document: Some(document.into()) })
        };
        events.push(Waited { seq, event, hydrated });
    }
    Ok(events)
}

fn cut(plain: &mut Bytes, length: u32) -> Result<Bytes, Broken> {
    let length = length as usize;
    if length > plain.len() {
        return Err(Broken("an event is cut".to_owned()));
    }
    Ok(plain.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use turbo_core::hydrated::NOTHING;
    use turbo_core::shard::Shard;

    #[test]
    fn events_come_back_as_they_were() {
        let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"seq":3}}"#;
        let Ok(Frame::Event(event)) = decode(&Bytes::from_static(text.as_bytes())) else { panic!() };
        let [known, some] =
            [Hydration::Full, Hydration::Partial].map(|hydration| Hydrated { hydration, document: Some("{}".into()) });
        let logged = |seq, hydrated| Logged { seq, shard: Shard { slice: 0, partition: 0 }, event: &event, hydrated };
        let events = [logged(7, None), logged(9, Some(&known)), logged(10, Some(&some)), logged(11, Some(&NOTHING))];
        let chunk = encode(&events).unwrap();
        let waited = |seq, hydrated| Waited { seq, event: (*event).clone(), hydrated };
        let back = [waited(7, None), waited(9, Some(known.clone())), waited(10, Some(some.clone())), waited(11, None)];
        assert_eq!(read(&chunk).unwrap(), back);
        assert!(read(&chunk[..chunk.len() - 3]).is_err());
        assert!(read(&zstd::bulk::compress(b"12345", 1).unwrap()).is_err());
    }
}
