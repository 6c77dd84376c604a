//! A simulated AT Protocol network: seeded and deterministic, served over Jetstream v1 and v2, with faults on demand
//! and a ground truth to compare with.
//!
//! - [`World`] makes what happens; [`Truth`] knows what comes of it.
//! - A [`HostConfig`] is one server's view: its own sequences, clock, delays, retention and manners.
//! - [`Network::start`] serves them on ports of this machine; a [`Fault`] makes something go wrong, a [`Schedule`]
//!   many things over time.
//!
//! ```no_run
//! use turbo_sim::{Fault, Network, NetworkConfig, Pace, WorldConfig};
//!
//! # fn main() -> Result<(), turbo_sim::StartError> {
//! let (world, pace) = (WorldConfig::seeded(7), Pace::Real { speed: 10.0 });
//! let network = Network::start(NetworkConfig { world, pace, events: Some(20_000), ..NetworkConfig::default() })?;
//! // … a reader of network.url(0) …
//! network.fault(0, &Fault::Cut { mid_frame: true });
//! let truth = network.truth_of(20_000);
//! assert_eq!(truth.v2.events, 20_000);
//! # Ok(())
//! # }
//! ```
//!
//! It shares no decoder with what is tested by it.

mod appview;
mod fault;
mod host;
mod json;
mod recording;
mod serve;
mod source;
#[cfg(test)]
mod tests;
mod time;
mod truth;
mod wire;
mod world;

pub use appview::{Account, AppViewConfig, AppViewStats, Mood};
pub use fault::{Fault, Garbage, Kind, Planned, Schedule, UnknownKind};
pub use host::{Flavour, HostConfig, Manners, Slow, TimeCursors};
pub use recording::{Recording, RecordingError};
pub use serve::{HostStats, Network, NetworkConfig, Pace, StartError};
pub use truth::{AccountState, EventId, RecordState, RepoState, Truth, Unknowable, View};
pub use wire::Wire;
pub use world::{Commit, DEFAULT_START_US, Happening, Operation, Record, Upstream, What, World, WorldConfig};
