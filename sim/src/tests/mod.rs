//! The network as its clients see it.

mod client;
mod faults;
mod frames;
mod live;
mod recorded;
mod speed;
mod v1;
mod v2_cursors;
mod v2_parameters;
mod wire_truth;
mod zstandard;

use crate::{HostConfig, Network, NetworkConfig, Pace, WorldConfig};

/// A small world with everything in it but what the JSON reader of the tests refuses.
fn world(seed: u64) -> WorldConfig {
    WorldConfig { accounts: 300, resyncs: 0.004, removals: 0.002, nasty: 0.0, ..WorldConfig::seeded(seed) }
}

/// One host with so many events, all there at once.
fn full(events: u64, host: HostConfig) -> Network {
    let pace = Pace::Full { events };
    Network::start(NetworkConfig { world: world(1), hosts: vec![host], pace, ..NetworkConfig::default() }).unwrap()
}

/// One host in whose world nothing happens but by steps.
fn stepped(host: HostConfig) -> Network {
    let config = NetworkConfig { world: world(1), hosts: vec![host], pace: Pace::Stepped, ..NetworkConfig::default() };
    Network::start(config).unwrap()
}

const V1: &str = "/subscribe";
const V2: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";
