//! One struct for each thing worth telling an operator: it logs and counts in one place.

mod ownership;
mod sinks;
mod source;

pub use ownership::*;
pub use sinks::*;
pub use source::*;
