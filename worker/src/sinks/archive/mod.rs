//! The archive: every event, in log order within a shard, as Parquet or JSON lines in a folder.
//!
//! An object is made from its intent: the events of a closed segment, which wait in SQLite. It is written beside its
//! place, made durable, put in place only if nothing is there, and then the segment is marked committed and its events
//! leave SQLite, in one transaction. A process that is killed in between finds the intent, removes what it left, and
//! makes the same object again.

pub mod chunk;
mod folder;
mod jsonl;
mod object;
mod parquet;
mod writer;

pub use folder::Folder;
pub use object::Format;
pub use writer::Archiver;
