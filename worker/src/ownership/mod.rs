//! Who owns which shard: members with their heartbeats, and one planner among them.
//!
//! Invariants:
//! - a heartbeat and a lease are for liveness only; who may commit is decided where the data lands, by the epoch;
//! - who is gone is judged by each observer's own clock, and only while it looked ([`turbo_core::ownership::Liveness`]);
//! - all workers of a log have one catalog ([`catalog`]);
//! - the plan is one pure function ([`turbo_core::plan`]), written over the very plan that it was computed from.

mod ahead;
mod board;
pub(crate) mod catalog;
mod claiming;
mod committing;
mod covered;
mod holder;
mod keeper;
mod members;
mod outbox;
mod planner;
mod reread;
mod telling;

pub use board::{Board, Heartbeat, announced};
pub use holder::{Holder, Parts};
pub use keeper::{Announcements, Keeper};
pub use members::{Member, View};
pub use planner::Planner;
pub use telling::Telling;

/// Keys of heartbeats begin with this; the rest is the worker's id.
const WORKER: &str = "worker.";
/// The key of the plan.
const PLAN: &str = "plan";
/// The key of the planner's lease.
const LEASE: &str = "lease.planner";
