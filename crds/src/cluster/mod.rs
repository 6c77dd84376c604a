//! What only a cluster asks for: pods, their mesh, their network, who watches them, and the rules that it adds.

mod free;
mod mesh;
mod network;
mod pods;
mod rules;
mod status;

pub use mesh::{Istio, Mesh, MeshMode, Monitoring};
pub use network::{Egress, Network, Peer};
pub use pods::{Amount, ConfigMapKey, Pods, Resources, ServiceAccount};
pub use status::{Count, TurboPipelineStatus};

pub(crate) use pods::image;
