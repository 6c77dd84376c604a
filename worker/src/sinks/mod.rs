//! Where events land.

pub mod archive;
pub(crate) mod covered;
pub mod enriched;
pub mod feed;
pub mod intents;
pub mod postgres;
pub mod sqlite;
