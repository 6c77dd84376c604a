//! Pipeline files: one that is taken is taken again as it is written, and the schema lets nothing through that the
//! types refuse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use turbo_crds::load;

fuzz_target!(|text: &str| {
    match load(text) {
        Ok(pipeline) => {
            let written = serde_json::to_string(&pipeline).expect("written");
            let again = load(&written).unwrap_or_else(|problems| panic!("{written}\n{problems}"));
            assert_eq!(serde_json::to_string(&again).expect("written"), written);
        }
        Err(problems) => {
            assert!(problems.as_slice().iter().all(|problem| !problem.message.starts_with("BUG")), "{problems}");
        }
    }
});
