//! What TurboPipeline decides, without I/O: events and their bytes, sharding, the dedup window, how a resumed stream
//! is seen to join, what a batch of events does to the records that are there, and who owns which shard.
//!
//! Nothing here knows a socket, a file, SQL or Kubernetes. Everything is a value or a function of values, so that it
//! can be tested by properties and shared by the workers, the operator and the simulator.

pub mod backoff;
pub mod budget;
pub mod event;
pub mod floor;
pub mod fold;
pub mod hydrated;
pub mod id;
pub mod join;
pub mod ownership;
pub mod plan;
pub mod position;
pub mod reason;
pub mod shard;
pub mod tid;
pub mod window;
pub mod wire;

#[cfg(test)]
mod testing;
