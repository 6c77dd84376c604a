//! Hydration: what a record points at is put beside it.

pub mod cache;
pub mod item;
pub mod references;
