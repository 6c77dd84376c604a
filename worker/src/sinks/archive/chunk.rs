//! How events wait for the archive: a chunk holds the events of one commit and one shard.
//!
//! zstd over, for each event: log sequence (8 bytes, little-endian), length (4 bytes), the event's own bytes. Where the
//! highest bit of the length is set, the hydrated document follows: length (4 bytes), bytes.

use bytes::{Buf, Bytes};
use turbo_core::event::Event;
use turbo_core::fold::Logged;
use turbo_core::hydrated::Hydrated;
use turbo_core::wire::{Frame, decode};

/// Fast: the final object is compressed anew.
const LEVEL: i32 = 1;
/// In a length: a hydrated document follows.
const HYDRATED: u32 = 1 << 31;

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
    /// What was known of what it points at, as JSON.
    pub hydrated: Option<String>,
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
        let hydrated = Hydrated::json(*hydrated);
        let flag = if hydrated.is_some() { HYDRATED } else { 0 };
        plain.extend_from_slice(&seq.to_le_bytes());
        plain.extend_from_slice(&(event.bytes.len() as u32 | flag).to_le_bytes());
        plain.extend_from_slice(&event.bytes);
        if let Some(hydrated) = hydrated {
            plain.extend_from_slice(&(hydrated.len() as u32).to_le_bytes());
            plain.extend_from_slice(hydrated.as_bytes());
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
        let event = match decode(&cut(&mut plain, length & !HYDRATED)?) {
            Ok(Frame::Event(event)) => *event,
            Ok(_) => return Err(broken(&"no event")),
            Err(e) => return Err(broken(&e)),
        };
        let hydrated = if length & HYDRATED == 0 {
            None
        } else {
            let length = plain.try_get_u32_le().map_err(|e| broken(&e))?;
            Some(String::from_utf8(cut(&mut plain, length)?.into()).map_err(|e| broken(&e))?)
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
    use turbo_core::hydrated::Hydration;
    use turbo_core::shard::Shard;

    #[test]
    fn events_come_back_as_they_were() {
        let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"seq":3}}"#;
        let Ok(Frame::Event(event)) = decode(&Bytes::from_static(text.as_bytes())) else { panic!() };
        let known = Hydrated { hydration: Hydration::Full, document: Some("{}".into()) };
        let logged = |seq, hydrated| Logged { seq, shard: Shard { slice: 0, partition: 0 }, event: &event, hydrated };
        let chunk = encode(&[logged(7, None), logged(9, Some(&known)), logged(10, None)]).unwrap();
        let waited =
            |seq, hydrated: Option<&str>| Waited { seq, event: (*event).clone(), hydrated: hydrated.map(Into::into) };
        assert_eq!(read(&chunk).unwrap(), [waited(7, None), waited(9, Some("{}")), waited(10, None)]);
        assert!(read(&chunk[..chunk.len() - 3]).is_err());
        assert!(read(&zstd::bulk::compress(b"12345", 1).unwrap()).is_err());
    }
}
