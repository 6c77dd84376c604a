//! Bytes from outside: frames of Jetstream v1 and v2, and lines of a recording.
//!
//! [`decode`] reads either version's JSON into an [`Event`](crate::event::Event), the envelope borrowed and typed, the
//! record carried as the bytes it came in. [`frame`] undoes the compression.

mod envelope;
pub mod frame;

pub use envelope::{Error, Frame, decode};
