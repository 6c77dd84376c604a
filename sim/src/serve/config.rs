//! What makes one network differ from another.

use crate::appview::AppViewConfig;
use crate::host::HostConfig;
use crate::recording::Recording;
use crate::world::WorldConfig;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// A world and the hosts that tell of it.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// What happens.
    pub world: WorldConfig,
    /// What happens instead, where there is one.
    pub recording: Option<Arc<Recording>>,
    /// Who tells of it.
    pub hosts: Vec<HostConfig>,
    /// Who shows profiles and posts, where anybody does.
    pub appview: Option<AppViewConfig>,
    /// How time goes.
    pub pace: Pace,
    /// World time that has passed already when the network starts, in microseconds.
    pub history_us: i64,
    /// After so many events it is quiet.
    pub events: Option<u64>,
    /// Where it listens.
    pub address: IpAddr,
    /// Port of the first host; the others take the next ones. 0: any.
    pub port: u16,
    /// For so long after the start subscriptions meet 503.
    pub loading: Duration,
    /// The zstd dictionary of v1; without one it is trained.
    pub v1_dictionary: Option<Vec<u8>>,
    /// The zstd dictionary of v2; without one it is trained.
    pub v2_dictionary: Option<Vec<u8>>,
    /// Threads that serve.
    pub threads: usize,
}

/// How time goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// World time goes `speed` times as fast as wall time, from the world's start (and its history) on.
    Real {
        /// 1 for the pace of the world.
        speed: f64,
    },
    /// So many events are all there at once, and nothing comes after them.
    Full {
        /// How many; a recording has as many as it has.
        events: u64,
    },
    /// Time stands. [`Network::step`](super::Network::step) makes events happen.
    Stepped,
}

impl Default for NetworkConfig {
    /// One host of the default world at its own pace.
    fn default() -> Self {
        Self {
            world: WorldConfig::default(),
            recording: None,
            hosts: vec![HostConfig::default()],
            appview: None,
            pace: Pace::Real { speed: 1.0 },
            history_us: 0,
            events: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            loading: Duration::ZERO,
            v1_dictionary: None,
            v2_dictionary: None,
            threads: 2,
        }
    }
}
