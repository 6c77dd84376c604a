//! Where events land.

pub mod archive;
pub mod intents;
pub mod postgres;
pub mod sqlite;
