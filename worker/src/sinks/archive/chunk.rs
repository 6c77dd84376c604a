//! How events wait for the archive: a chunk holds the events of one commit and one shard.
//!
//! zstd over, for each event: log sequence (8 bytes, little-endian), length (4 bytes), the event's own bytes.

use bytes::{Buf, Bytes};
use turbo_core::event::Event;
use turbo_core::wire::{Frame, decode};

/// Fast: the final object is compressed anew.
const LEVEL: i32 = 1;

/// A chunk that can not be read back.
#[derive(Debug, thiserror::Error)]
#[error("a waiting chunk is broken: {0}")]
pub struct Broken(String);

/// Packs events with their log sequences.
///
/// # Errors
/// zstd has no memory.
pub fn encode(events: &[(u64, &Event)]) -> std::io::Result<Vec<u8>> {
    let size = events.iter().map(|(_, event)| 12 + event.bytes.len()).sum();
    let mut plain = Vec::with_capacity(size);
    for (seq, event) in events {
        plain.extend_from_slice(&seq.to_le_bytes());
        plain.extend_from_slice(&(event.bytes.len() as u32).to_le_bytes());
        plain.extend_from_slice(&event.bytes);
    }
    zstd::bulk::compress(&plain, LEVEL)
}

/// Unpacks what [`encode`] packed.
///
/// # Errors
/// The bytes are not what `encode` made.
pub fn read(chunk: &[u8]) -> Result<Vec<(u64, Event)>, Broken> {
    let broken = |what: &dyn std::fmt::Display| Broken(what.to_string());
    let mut plain = Bytes::from(zstd::decode_all(chunk).map_err(|e| broken(&e))?);
    let mut events = Vec::new();
    while plain.has_remaining() {
        let seq = plain.try_get_u64_le().map_err(|e| broken(&e))?;
        let len = plain.try_get_u32_le().map_err(|e| broken(&e))? as usize;
        if len > plain.len() {
            return Err(broken(&"an event is cut"));
        }
        match decode(&plain.split_to(len)) {
            Ok(Frame::Event(event)) => events.push((seq, *event)),
            Ok(_) => return Err(broken(&"no event")),
            Err(e) => return Err(broken(&e)),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_back_as_they_were() {
        let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"seq":3}}"#;
        let Ok(Frame::Event(event)) = decode(&Bytes::from_static(text.as_bytes())) else { panic!() };
        let chunk = encode(&[(7, &event), (9, &event)]).unwrap();
        let back = read(&chunk).unwrap();
        assert_eq!(back, [(7, (*event).clone()), (9, *event)]);
        assert!(read(&chunk[..chunk.len() - 3]).is_err());
        assert!(read(&zstd::bulk::compress(b"12345", 1).unwrap()).is_err());
    }
}
