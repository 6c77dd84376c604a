//! One struct for each thing worth telling an operator: it logs and counts in one place.

mod hydration;
mod ownership;
mod sinks;
mod source;

pub use hydration::*;
pub use ownership::*;
pub use sinks::*;
pub use source::*;
