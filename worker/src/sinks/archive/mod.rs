//! The archive: every event, in log order within a shard, as Parquet or JSON lines in a folder or in S3.
//!
//! An object is made from its intent: a row of the catalog that fixes its name and its content. It is made beside its
//! place, put only if nothing is there, and then the segment is marked committed.
//!
//! - [`Archiver`], embedded: the events of a closed segment wait in SQLite, in the same transaction as their rows. A
//!   process that is killed in between finds the intent, removes what it left, and makes the same object again.
//! - [`sharded`]: the events wait in files of the worker, and nothing in them is needed after a crash, since the log has
//!   them. Whoever claims the shard next burns the intent, so that nothing late can take its place.

pub mod chunk;
mod filling;
mod folder;
mod jsonl;
pub(crate) mod name;
mod object;
mod parquet;
pub mod read;
pub mod s3;
pub mod sharded;
mod stamp;
pub mod store;
pub mod verify;
mod writer;

pub use folder::Folder;
pub use object::Format;
pub use stamp::Stamp;
pub use store::Store;
pub use writer::Archiver;
