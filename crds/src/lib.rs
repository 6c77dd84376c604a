//! The `TurboPipeline` manifest: its types, its rules, the reading of a file of it, and the CRD made from it.

#![allow(unreachable_pub, reason = "kube's derive copies a struct, with its visibility, into a function")]

mod crd;
mod duration;
mod jetstream;
mod load;
mod not_yet;
mod patterns;
mod pipeline;
mod problem;
mod quantity;
mod rules;
mod secret;
mod sinks;
mod slices;
mod source;
mod structural;
mod warnings;

pub use crd::{Error as CrdError, crd, crd_yaml};
pub use duration::{Duration, Error as DurationError};
pub use jetstream::{Compression, Jetstream, JetstreamVersion};
pub use load::load;
pub use pipeline::{Embedded, Log, TurboPipeline, TurboPipelineSpec, Workers};
pub use problem::{Problem, Problems};
pub use quantity::{Error as QuantityError, Quantity};
pub use secret::{SecretChoice, SecretKey, SecretRef};
pub use sinks::{Archive, ArchiveFormat, Roll, Rotate, Sinks, Sqlite};
pub use slices::Slice;
pub use source::{Pace, Recording, Source, SourceChoice};
