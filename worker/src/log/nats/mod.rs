//! The log on NATS JetStream: one stream for each pipeline, one subject for each shard.
//!
//! Invariants:
//! - messages get in by atomic batches only; the first of each expects the stream's last sequence, and one batch is in
//!   flight, so that a second writer's batch is refused whole and the log has neither hole nor duplicate;
//! - an answer that does not come means *unknown*: the log's end is read before anything else is written;
//! - within a shard the number of messages grows by one from message to message;
//! - nothing else writes to the stream; it is purged where every sink has what goes, and to begin anew in the next
//!   generation.

mod announced;
pub(crate) mod batch;
mod bucket;
pub(crate) mod connection;
mod feed;
mod generation;
mod kept;
mod lease;
pub(crate) mod message;
mod names;
mod purge;
mod reader;
mod refusal;
pub(crate) mod stream;
mod tail;
mod writer;

pub use announced::{Announced, Depth, depth};
pub use batch::MAX_BATCH;
pub use feed::{Told, Watch, feed};
pub use lease::Lease;
pub use message::{Broken, Message};
pub use names::Names;
pub use reader::{Behind, Next, ShardReader};
pub use stream::{Log, Options};
pub use tail::Tail;
pub use writer::{Refused, Writer};

use turbo_crds::Quantity;

/// Why the log does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server can not be reached.
    #[error("spec.log.nats.url: {url}: {why}; give the address of a NATS server that runs")]
    Unreachable {
        /// The address, without what may be secret in it.
        url: String,
        /// What the client says.
        why: String,
    },
    /// The server lets nobody in with these credentials.
    #[error(
        "spec.log.nats: the server refuses the credentials: {url}: {why}; give credentialsFrom, nkeyFrom or user as it wants"
    )]
    Credentials {
        /// The address, without what may be secret in it.
        url: String,
        /// What the client says.
        why: String,
    },
    /// The server has no atomic batches.
    #[error(
        "spec.log.nats.url: the server has version {0}; give one of version 2.12 or newer, which has atomic batches"
    )]
    TooOld(String),
    /// The server or the account has no JetStream.
    #[error("spec.log.nats.url: JetStream is off: {0}; switch it on for the server and the account")]
    NoJetStream(String),
    /// TLS fails for what one side does not trust in the other.
    #[error("{field}: {url}: {why}; {mend}")]
    Tls {
        /// The field of the pipeline file.
        field: &'static str,
        /// The address, without what may be secret in it.
        url: String,
        /// What TLS says.
        why: String,
        /// What to do.
        mend: &'static str,
    },
    /// The stream is not of this pipeline.
    #[error(
        "metadata.name: {pipeline}: the stream {stream} {whose}; give the pipeline another name or namespace, or another \
         account of NATS, or remove the stream where nobody needs it"
    )]
    Foreign {
        /// Namespace and name.
        pipeline: String,
        /// The stream.
        stream: String,
        /// Whose it is.
        whose: String,
    },
    /// The stream was made with other slices.
    #[error(
        "spec.slices: {given} does not fit the stream {stream}, which was made with {made}; give that, or the pipeline \
         another name"
    )]
    OtherSlices {
        /// The stream.
        stream: String,
        /// What the pipeline file says.
        given: String,
        /// What the stream was made with.
        made: String,
    },
    /// There is no room for the stream.
    #[error(
        "{field}.maxBytes: {value} is more than NATS has room for: {why}; give less, or more to the server (max_file_store) \
         or the account"
    )]
    Room {
        /// What the pipeline file calls the stream.
        field: &'static str,
        /// What it asks for.
        value: Quantity,
        /// What the server says.
        why: String,
    },
    /// The stream or the bucket can not be made as the spec says.
    #[error("{field}: {stream} can not be made so: {why}; {mend}")]
    Limits {
        /// The field of the pipeline file.
        field: &'static str,
        /// The stream.
        stream: String,
        /// What the server says.
        why: String,
        /// What to do.
        mend: &'static str,
    },
    /// The pipeline has left nothing in NATS yet.
    #[error("stream {stream}: {why}; start the pipeline first, or give its name and namespace")]
    NotThere {
        /// The stream.
        stream: String,
        /// What the server says.
        why: String,
    },
    /// A request failed, or was not answered.
    #[error("NATS: {what}: {why}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// What the client says.
        why: String,
    },
    /// A message of the log can not be read.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl Error {
    /// Whether it may pass by itself: a server that is not there, or that does not answer.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Request { .. })
    }

    pub(crate) fn request(what: &'static str) -> impl Fn(&dyn std::error::Error) -> Self {
        move |error| Self::Request { what, why: said(error) }
    }
}

/// An error with its causes.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
