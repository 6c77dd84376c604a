//! What an event is known by, whichever server sends it.

use crate::world::{Happening, What};
use serde::Serialize;

/// The identity of an event of one DID: a commit is its revision, operation and path; any other kind its revision (a
/// sync only) and the relay's own time, which is empty for a sync that the server made by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum EventId {
    /// One change to one record.
    Commit {
        /// The repository's revision.
        rev: String,
        /// `create`, `update` or `delete`.
        operation: String,
        /// The collection.
        collection: String,
        /// The record key.
        rkey: String,
    },
    /// An identity event.
    Identity {
        /// The relay's time.
        time: String,
    },
    /// An account event.
    Account {
        /// The relay's time.
        time: String,
    },
    /// A sync event.
    Sync {
        /// The repository's revision.
        rev: String,
        /// The relay's time.
        time: String,
    },
}

impl EventId {
    /// The identity of a happening.
    #[must_use]
    pub fn of(happening: &Happening) -> Self {
        match &happening.what {
            What::Commit(commit) => Self::Commit {
                rev: commit.rev.to_string(),
                operation: commit.operation.as_str().into(),
                collection: commit.collection.to_string(),
                rkey: commit.rkey.to_string(),
            },
            What::Identity { upstream, .. } => Self::Identity { time: upstream.time.to_string() },
            What::Account { upstream, .. } => Self::Account { time: upstream.time.to_string() },
            What::Sync { rev, upstream, .. } => Self::Sync { rev: rev.to_string(), time: upstream.time.to_string() },
        }
    }
}
