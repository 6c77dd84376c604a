//! Frames and lines of any version.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use turbo_core::event::Body;
use turbo_core::id::EventId;
use turbo_core::wire::{Frame, decode};

fuzz_target!(|input: &[u8]| {
    let bytes = Bytes::copy_from_slice(input);
    if let Ok(Frame::Event(event)) = decode(&bytes) {
        assert_eq!(event.bytes, bytes);
        let _ = (EventId::of(&event), event.made_us());
        if let Body::Commit(commit) = &event.body {
            assert!(!commit.rev.is_empty() && !commit.collection.is_empty() && !commit.rkey.is_empty());
            if let Some(record) = &commit.record {
                assert!(std::str::from_utf8(record).is_ok());
            }
        }
    }
});
