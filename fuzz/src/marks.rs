//! Stored marks of the dedup window.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turbo_core::window::{MAX_EVENTS, Mark, Window};

fuzz_target!(|input: &[u8]| {
    if let Some(marks) = Mark::read(input) {
        let mut again = Vec::new();
        marks.iter().for_each(|mark| mark.write(&mut again));
        assert_eq!(again, input);
        let mut window = Window::new();
        window.restore(marks);
        assert!(window.len() <= MAX_EVENTS);
    }
});
