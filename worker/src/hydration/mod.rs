//! Hydration: what a record points at is put beside it.

pub mod cache;
pub mod changes;
pub mod client;
pub mod completer;
pub mod document;
pub mod fetcher;
mod hosts;
pub mod hydrator;
pub mod item;
pub mod limits;
pub mod pacer;
mod plain;
pub mod references;
pub mod report;
pub mod session;
pub mod shared;
mod view;
pub mod wanted;
