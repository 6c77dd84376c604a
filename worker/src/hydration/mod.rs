//! Hydration: what a record points at is put beside it.

pub mod cache;
mod calls;
pub mod changes;
pub mod client;
pub mod completer;
pub mod document;
pub mod fetcher;
pub mod hydrator;
pub mod item;
pub mod json;
pub mod limits;
pub mod pacer;
mod plain;
pub mod references;
pub mod report;
pub mod session;
pub mod shared;
pub mod standing;
mod view;
pub mod wanted;
