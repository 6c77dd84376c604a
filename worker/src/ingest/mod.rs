//! Ingest: one reader of the source, which decides what is new and where a lost stream goes on.
//!
//! Invariants:
//! - every event is checked against the dedup window before it is appended;
//! - the position is that of an event in the window, so that a resumed stream can be seen to join;
//! - nothing is appended from a stream before its join is seen ([`turbo_core::join`]), be it an event or none;
//! - what is no event is asked for once more, and is appended as unreadable when it comes again.

mod appending;
mod patience;
mod reader;
mod receiving;
mod unreadable;

pub use appending::Start;
pub use reader::{Ended, Ingest};
