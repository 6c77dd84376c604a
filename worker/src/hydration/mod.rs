//! Hydration: what a record points at is put beside it.

pub mod cache;
pub mod client;
pub mod document;
pub mod fetcher;
pub mod hydrator;
pub mod item;
pub mod limits;
pub mod pacer;
pub mod references;
mod view;
pub mod wanted;
