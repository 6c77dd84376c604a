//! The data plane: sources, the log, sinks, and what a process says of itself. `main.rs` is the binary `turbo`.

pub mod cli;
pub mod commands;
pub mod http;
pub mod hydration;
pub mod ingest;
pub mod live;
pub mod log;
pub mod ownership;
pub mod pipeline;
mod record;
pub mod reference;
pub mod secrets;
pub mod signals;
pub mod sinks;
pub mod sources;
pub mod telemetry;
pub mod work;
