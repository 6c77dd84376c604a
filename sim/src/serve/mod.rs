//! The network: hosts that listen on ports of this machine.

mod accept;
mod appview;
mod config;
mod dictionaries;
mod http;
mod network;
mod pace;
mod route;
mod session;
mod starting;
mod strike;
mod subscribe;
mod upgrade;

pub use config::{NetworkConfig, Pace};
pub(crate) use http::{Request, query::Query, response::Response};
pub use network::{HostStats, Network};
pub use starting::StartError;
