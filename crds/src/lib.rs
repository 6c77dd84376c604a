//! The `TurboPipeline` manifest: its types, its rules, the reading of a file of it, and the CRD made from it.

#![allow(unreachable_pub, reason = "kube's derive copies a struct, with its visibility, into a function")]

mod cluster;
mod crd;
mod duration;
mod hydration;
mod jetstream;
mod load;
mod log;
mod not_yet;
mod patterns;
mod pipeline;
mod problem;
mod quantity;
mod roles;
mod rules;
mod secret;
mod sinks;
mod slices;
mod source;
mod structural;
mod warnings;

pub use cluster::{
    Amount, ConfigMapKey, Count, Egress, Istio, Mesh, MeshMode, Monitoring, Network, Peer, Pods, Resources,
    ServiceAccount, TurboPipelineStatus,
};
pub use crd::{Error as CrdError, crd, crd_yaml};
pub use duration::{Duration, Error as DurationError};
pub use hydration::{Hydrate, Hydration, Queue, Session, Tokens};
pub use jetstream::{Compression, Jetstream, JetstreamVersion};
pub use load::load;
pub use log::{Embedded, Log, Nats, NatsUser, Stream, Tls};
pub use pipeline::{TurboPipeline, TurboPipelineSpec};
pub use problem::{Problem, Problems};
pub use quantity::{Error as QuantityError, Quantity};
pub use roles::{Ingest, Tracing, Workers};
pub use secret::{SecretChoice, SecretKey, SecretRef};
pub use sinks::{
    Archive, ArchiveChoice, ArchiveFormat, Encryption, EncryptionMode, Enriched, EnrichedNats, Postgres, Projection,
    Retention, Roll, Rotate, S3, Sinks, Sqlite,
};
pub use slices::Slice;
pub use source::{Pace, Recording, Source, SourceChoice};
pub use warnings::takes;
