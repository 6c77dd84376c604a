//! What happens in a world: one event as the network itself would tell it, before any server gives it a number.

use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

/// One event of one repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// Number in the world, from 0.
    pub index: u64,
    /// True time in microseconds since the Unix epoch.
    pub at_us: i64,
    /// The repository.
    pub did: Arc<str>,
    /// What happened.
    pub what: What,
    /// The v1 frame as a recording holds it, where the event comes from one.
    pub verbatim: Option<Box<str>>,
}

/// The kinds of event.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// One change to one record.
    Commit(Commit),
    /// The DID's document or handle may have changed.
    Identity {
        /// The handle, which the upstream may leave out.
        handle: Option<Box<str>>,
        /// Where it comes from.
        upstream: Upstream,
    },
    /// The account's state changed.
    Account {
        /// Whether its content may be shown.
        active: bool,
        /// Why not: `deactivated`, `deleted`, …
        status: Option<Box<str>>,
        /// Where it comes from.
        upstream: Upstream,
    },
    /// The repository was replaced.
    Sync {
        /// Its revision now.
        rev: Box<str>,
        /// Upstream's blocks; empty where the server resynced by itself.
        blocks: Box<[u8]>,
        /// Where it comes from; number 0 and no time where the server resynced by itself.
        upstream: Upstream,
    },
}

/// One change to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Revision of the repository (a TID).
    pub rev: Box<str>,
    /// What was done.
    pub operation: Operation,
    /// The record's collection (an NSID).
    pub collection: Cow<'static, str>,
    /// The record's key.
    pub rkey: Box<str>,
    /// The record; none where it is deleted.
    pub record: Option<Arc<Record>>,
    /// Whether it restates a record after a sync. Only v2 sends these, and does not mark them.
    pub resync: bool,
}

/// A record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// JSON as servers send it, byte for byte.
    pub json: Box<str>,
    /// Its CID.
    pub cid: Box<str>,
}

/// What was done to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A record that was not there.
    Create,
    /// A record that was there.
    Update,
    /// It goes.
    Delete,
}

/// The number and time that the relay gave an identity, account or sync event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The relay's sequence number.
    pub seq: i64,
    /// The relay's time, as text.
    pub time: Box<str>,
}

impl Happening {
    /// Whether v1 never sends it: syncs, and the creates that follow them (jetstream `internal/subscribe`).
    #[must_use]
    pub fn v2_only(&self) -> bool {
        match &self.what {
            What::Commit(commit) => commit.resync,
            What::Sync { .. } => true,
            What::Identity { .. } | What::Account { .. } => false,
        }
    }

    /// The collection, which only commits have.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        match &self.what {
            What::Commit(commit) => Some(&commit.collection),
            _ => None,
        }
    }
}

impl Operation {
    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}
