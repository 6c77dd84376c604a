//! Compressed frames, whole and damaged: whatever comes in, what comes out is bounded, and a whole frame comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use turbo_core::wire::frame::{Inflate, dictionary_id};
use zstd::bulk::Compressor;

const LIMIT: usize = 1 << 16;

struct Both {
    deflate: Compressor<'static>,
    inflate: Inflate,
}

/// With a dictionary made as servers make theirs.
fn both() -> Both {
    let sample = |n: u32| format!("{{\"did\":\"did:plc:{n:024}\",\"kind\":\"commit\",\"n\":{}}}", n * 7919 % 4096).into_bytes();
    let samples: Vec<Vec<u8>> = (0..2000).map(sample).collect();
    let dictionary = zstd::dict::from_samples(&samples, 4096).expect("trained");
    let deflate = Compressor::with_dictionary(1, &dictionary).expect("a dictionary");
    Both { deflate, inflate: Inflate::new(&dictionary, LIMIT).expect("a dictionary") }
}

thread_local!(static BOTH: RefCell<Both> = RefCell::new(both()));

fuzz_target!(|input: (&[u8], u16, u8)| {
    let (text, at, damage) = input;
    let _ = dictionary_id(text);
    BOTH.with_borrow_mut(|both| {
        // The library itself is not instrumented: damaged whole frames reach its depths, random bytes do not.
        let mut frame = both.deflate.compress(text).expect("compressed");
        assert_eq!(both.inflate.inflate(&frame).expect("whole"), text);
        let at = usize::from(at) % frame.len();
        frame[at] ^= damage;
        for input in [&frame[..], &frame[..at], text] {
            if let Ok(text) = both.inflate.inflate(input) {
                assert!(text.len() <= LIMIT);
            }
        }
    });
});
