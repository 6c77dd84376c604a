//! Where events land.

pub mod archive;
pub mod intents;
pub mod sqlite;
