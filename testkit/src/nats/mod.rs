//! nats-server.

mod cluster;
mod options;

pub use cluster::NatsCluster;
pub use options::NatsOptions;

use crate::http;
use crate::port::Port;
use crate::server::Server;
use std::ops::Deref;

/// One nats-server, with JetStream in files unless asked otherwise. The methods of [`Server`] stop and start it.
pub struct Nats {
    server: Server,
    client: Port,
    monitor: Port,
    /// Where the other nodes of a cluster reach it.
    _route: Option<Port>,
}

impl Nats {
    /// With JetStream and without any limit or credentials. `None` where the program is not installed.
    pub fn start() -> Option<Self> {
        Self::options().start()
    }

    /// A server that only passes messages on.
    pub fn without_jetstream() -> Option<Self> {
        Self::options().without_jetstream().start()
    }

    /// One that is configured.
    pub fn options() -> NatsOptions {
        NatsOptions::default()
    }

    /// A cluster of so many servers, with a meta leader. `None` where the program is not installed.
    pub fn cluster(nodes: usize) -> Option<NatsCluster> {
        Self::options().cluster(nodes)
    }

    /// `nats://127.0.0.1:<port>`. A user and a password do not stand in it: async-nats would not read them there.
    pub fn url(&self) -> String {
        format!("nats://{}", self.client.address())
    }

    /// `127.0.0.1:<port>`, for a URL of another scheme.
    pub fn address(&self) -> String {
        self.client.address()
    }

    /// What the monitoring port says, `/varz` and so on; an error is a server that does not answer.
    pub fn monitor(&self, path: &str) -> Result<serde_json::Value, String> {
        let body = http::request(&self.monitor.address(), "GET", path, "")?;
        serde_json::from_str(&body).map_err(|error| format!("{path}: {error}: {body}"))
    }
}

/// A server is what it is; this says where it is reached.
impl Deref for Nats {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
