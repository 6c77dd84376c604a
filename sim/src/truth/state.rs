//! One repository, event by event, in the plainest way.
//!
//! - A record is replaced only by a newer revision. A delete leaves a tombstone with its revision.
//! - A sync: rows and tombstones with a revision not above the sync's go; from then on only revisions at or above it
//!   count. It never lowers what was refused before.
//! - Account deleted: everything goes, and only revisions above the highest one seen count, until a sync says anew.
//! - An identity event without a handle leaves the handle as it was.

use super::EventId;
use crate::world::{Commit, Happening, Record, What};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that is true of one DID.
#[derive(Clone, Debug, Default)]
pub struct RepoState {
    rows: BTreeMap<(String, String), Row>,
    /// What the identity and account events left.
    pub account: AccountState,
    /// Its events in order.
    pub events: Vec<EventId>,
    floor: Option<Floor>,
    highest: String,
}

/// The newest change to a record; a tombstone where there is no record.
#[derive(Clone, Debug)]
struct Row {
    rev: String,
    record: Option<Arc<Record>>,
}

#[derive(Clone, Debug)]
enum Floor {
    /// This revision and newer ones count.
    From(String),
    /// Only newer ones count.
    Above(String),
}

/// A record that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordState<'a> {
    /// Its collection.
    pub collection: &'a str,
    /// Its key.
    pub rkey: &'a str,
    /// The revision that it bears.
    pub rev: &'a str,
    /// Its CID.
    pub cid: &'a str,
    /// Its JSON, byte for byte as it was sent.
    pub json: &'a str,
}

/// The final state of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountState {
    /// The last handle told.
    pub handle: Option<String>,
    /// Whether it is active; none where no account event came.
    pub active: Option<bool>,
    /// The last status told.
    pub status: Option<String>,
}

impl RepoState {
    /// Takes the next event of this DID.
    pub fn add(&mut self, happening: &Happening) {
        self.events.push(EventId::of(happening));
        match &happening.what {
            What::Commit(commit) => self.commit(commit),
            What::Sync { rev, .. } => self.sync(rev),
            What::Identity { handle: Some(handle), .. } => self.account.handle = Some(handle.to_string()),
            What::Identity { handle: None, .. } => {}
            What::Account { active, status, .. } => {
                self.account.active = Some(*active);
                self.account.status = status.as_deref().map(String::from);
                if !active && status.as_deref() == Some("deleted") {
                    self.deleted();
                }
            }
        }
    }

    fn commit(&mut self, commit: &Commit) {
        let rev = commit.rev.to_string();
        self.highest = self.highest.clone().max(rev.clone());
        let counts = match &self.floor {
            None => true,
            Some(Floor::From(floor)) => rev >= *floor,
            Some(Floor::Above(floor)) => rev > *floor,
        };
        let key = (commit.collection.to_string(), commit.rkey.to_string());
        let newer = self.rows.get(&key).is_none_or(|row| rev > row.rev);
        if counts && newer {
            self.rows.insert(key, Row { rev, record: commit.record.clone() });
        }
    }

    fn sync(&mut self, rev: &str) {
        self.highest = self.highest.clone().max(rev.into());
        self.rows.retain(|_, row| row.rev.as_str() > rev);
        let lower = match &self.floor {
            Some(Floor::From(floor) | Floor::Above(floor)) => rev < floor.as_str(),
            None => false,
        };
        if !lower {
            self.floor = Some(Floor::From(rev.into()));
        }
    }

    fn deleted(&mut self) {
        self.rows.clear();
        self.floor = Some(Floor::Above(self.highest.clone()));
    }

    /// The records that are there, by collection and key.
    pub fn records(&self) -> impl Iterator<Item = RecordState<'_>> {
        self.rows.iter().filter_map(|((collection, rkey), row)| {
            let record = row.record.as_ref()?;
            Some(RecordState { collection, rkey, rev: &row.rev, cid: &record.cid, json: &record.json })
        })
    }

    /// One record.
    #[must_use]
    pub fn record(&self, collection: &str, rkey: &str) -> Option<RecordState<'_>> {
        self.records().find(|record| record.collection == collection && record.rkey == rkey)
    }
}
