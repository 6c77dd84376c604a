//! What the worker says of itself: logs, metrics, and one struct for each thing worth telling.

pub mod events;
pub mod logging;
pub mod metrics;
pub mod progress;
pub mod trace;
