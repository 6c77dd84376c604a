//! An event: one change to one record, or one identity, account or sync event of a repository, with the bytes it
//! came in.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a commit did to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The record is new.
    Create,
    /// The record has new content.
    Update,
    /// The record is gone.
    Delete,
}

impl Operation {
    /// The word used on the wire, in tables and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One event as it was read from a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What orders and shards events: the DID of the repository.
    pub key: Box<str>,
    /// When the source saw it, in microseconds since the Unix epoch, by the source's clock.
    pub time_us: i64,
    /// The source's own sequence number, where it gives one.
    pub cursor: Option<u64>,
    /// What happened.
    pub body: Body,
    /// The event's own bytes: the text of the frame or of the line.
    pub bytes: Bytes,
}

/// What happened in an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A change to one record.
    Commit(Commit),
    /// The handle or the DID document may have changed.
    Identity {
        /// The new handle, where the source tells it.
        handle: Option<Box<str>>,
        /// The event's own time, as text: part of its id.
        time: Box<str>,
    },
    /// The account became active or inactive.
    Account {
        /// Whether the repository can be fetched.
        active: bool,
        /// Why not: `deleted`, `takendown`, `suspended`, `deactivated`, …
        status: Option<Box<str>>,
        /// The event's own time, as text: part of its id.
        time: Box<str>,
    },
    /// The repository was replaced upstream.
    Sync {
        /// The revision of the repository that replaces the old one.
        rev: Box<str>,
        /// The event's own time, as text: part of its id.
        time: Box<str>,
    },
}

/// A change to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// What was done.
    pub operation: Operation,
    /// Revision of the repository, a TID.
    pub rev: Box<str>,
    /// Collection (NSID) of the record.
    pub collection: Box<str>,
    /// Key of the record in its collection.
    pub rkey: Box<str>,
    /// The record's JSON exactly as it came: a slice of [`Event::bytes`]. `None` for a delete.
    pub record: Option<Bytes>,
    /// Content id of the record; `None` for a delete.
    pub cid: Option<Box<str>>,
}

/// The four kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A change to one record.
    Commit,
    /// A change of handle or DID document.
    Identity,
    /// A change of the account's status.
    Account,
    /// The repository was replaced upstream.
    Sync,
}

impl Kind {
    /// Every kind, in the order of the tables.
    pub const ALL: [Self; 4] = [Self::Commit, Self::Identity, Self::Account, Self::Sync];

    /// The word used on the wire, in tables and in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Identity => "identity",
            Self::Account => "account",
            Self::Sync => "sync",
        }
    }
}

impl Event {
    /// The kind of the event.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.body {
            Body::Commit(_) => Kind::Commit,
            Body::Identity { .. } => Kind::Identity,
            Body::Account { .. } => Kind::Account,
            Body::Sync { .. } => Kind::Sync,
        }
    }

    /// The revision that the event bears: of its commit, or of the repository that a sync brings.
    #[must_use]
    pub fn rev(&self) -> Option<&str> {
        match &self.body {
            Body::Commit(commit) => Some(&commit.rev),
            Body::Sync { rev, .. } => Some(rev),
            Body::Identity { .. } | Body::Account { .. } => None,
        }
    }

    /// When the event was made, by the clock of who made it, in microseconds: the time in its revision, or its own
    /// time text. `None` where neither can be read.
    #[must_use]
    pub fn made_us(&self) -> Option<i64> {
        match &self.body {
            Body::Commit(commit) => crate::tid::time_us(&commit.rev),
            Body::Sync { rev, time } => crate::tid::time_us(rev).or_else(|| parse_time(time)),
            Body::Identity { time, .. } | Body::Account { time, .. } => parse_time(time),
        }
    }
}

/// Microseconds since the Unix epoch of an RFC 3339 text.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}
