//! The control plane: brings a cluster to what `TurboPipeline`s say.
//!
//! observe ▶ validate ▶ build ▶ apply ▶ report, a file or a folder each. `build` and `report` are functions of values; only
//! [`writer`] writes.

pub mod build;
pub mod children;
pub mod cli;
pub mod commands;
pub mod controller;
pub mod error;
pub mod events;
mod http;
pub mod lease;
mod logging;
pub mod observe;
mod process;
pub mod reconcile;
pub mod report;
pub mod served;
pub mod telemetry;
pub mod writer;
