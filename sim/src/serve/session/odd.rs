//! Frames that no server should send.

use crate::fault::{Garbage, Odd};
use crate::wire::dictionary::{Dictionary, Squeeze};
use crate::wire::{Wire, frame, v2};

/// A message as a frame of this session: text, or one zstd frame.
pub(super) fn pack(text: &[u8], dictionary: Option<&Dictionary>) -> Vec<u8> {
    let squeezed = dictionary.and_then(|dictionary| Squeeze::new(dictionary).ok()?.squeeze(text).ok());
    match squeezed {
        Some(bytes) => frame::message(true, &bytes),
        None => frame::message(false, text),
    }
}

pub(super) fn odd(what: Odd, wire: Wire, dictionary: Option<&Dictionary>) -> Vec<u8> {
    match what {
        Odd::Garbage(Garbage::Bytes) => frame::message(true, &[0xff, 0xfe, 0x00, 0x80, 0x7b]),
        Odd::Garbage(garbage) => pack(text(garbage, wire).as_bytes(), dictionary),
        Odd::Oversized(bytes) => pack(padding(bytes, wire).as_bytes(), dictionary),
        Odd::CorruptZstd => {
            let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0x67];
            bytes.extend((0..200u8).map(|byte| byte.wrapping_mul(151)));
            frame::message(true, &bytes)
        }
    }
}

fn text(garbage: Garbage, wire: Wire) -> &'static str {
    match (garbage, wire.is_v2()) {
        (Garbage::Truncated, true) => r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscrib"#,
        (Garbage::Truncated, false) => r#"{"did":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa","time_us":17831758880"#,
        (Garbage::OtherShape, true) => r#"{"$type":"message","payload":[{"seq":"none"}]}"#,
        (Garbage::OtherShape, false) => r#"{"did":7,"time_us":"now","kind":"commit","commit":[]}"#,
        (Garbage::NoObject, _) => r#"[1,"two",null]"#,
        (Garbage::NotJson | Garbage::Bytes, _) => "<html><body>502 Bad Gateway</body></html>",
    }
}

fn padding(bytes: usize, wire: Wire) -> String {
    match wire.is_v2() {
        true => v2::padding(bytes),
        false => format!(r#"{{"did":"did:plc:pad","time_us":1,"kind":"padding","pad":"{}"}}"#, "a".repeat(bytes)),
    }
}
