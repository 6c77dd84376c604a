//! What a subscriber wants.

use crate::wire::Row;
use crate::world::What;
use std::collections::HashSet;

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum EventKind {
    Commit,
    Identity,
    Account,
    Sync,
}

/// All conditions must hold; an empty one holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) kinds: Vec<EventKind>,
    pub(crate) dids: HashSet<String>,
    /// Of commits only: other kinds pass.
    pub(crate) collections: Collections,
    /// Bytes of an event before compression; 0 for any.
    pub(crate) max_bytes: u32,
}

/// Collections by name and by prefix (with the dot at its end).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collections {
    pub(crate) exact: HashSet<String>,
    pub(crate) prefixes: Vec<String>,
}

impl Filter {
    /// Whether everything passes.
    pub(crate) fn is_open(&self) -> bool {
        self.kinds.is_empty() && self.dids.is_empty() && self.collections.is_open() && self.max_bytes == 0
    }

    /// Whether an event of so many bytes passes.
    pub(crate) fn passes(&self, row: &Row, bytes: u32) -> bool {
        let happening = &row.happening;
        let kind = EventKind::of(&happening.what);
        (self.max_bytes == 0 || bytes <= self.max_bytes)
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.dids.is_empty() || self.dids.contains(&*happening.did))
            && happening.collection().is_none_or(|collection| self.collections.has(collection))
    }
}

impl Collections {
    fn is_open(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn has(&self, collection: &str) -> bool {
        self.is_open()
            || self.exact.contains(collection)
            || self.prefixes.iter().any(|prefix| collection.starts_with(prefix.as_str()))
    }
}

impl EventKind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "commit" => Self::Commit,
            "identity" => Self::Identity,
            "account" => Self::Account,
            "sync" => Self::Sync,
            _ => return None,
        })
    }

    fn of(what: &What) -> Self {
        match what {
            What::Commit(_) => Self::Commit,
            What::Identity { .. } => Self::Identity,
            What::Account { .. } => Self::Account,
            What::Sync { .. } => Self::Sync,
        }
    }
}
