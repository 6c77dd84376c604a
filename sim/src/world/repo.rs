//! What a world remembers of a repository: all of it while it is small, then the last few paths only.
//!
//! Invariant: while `whole`, `records` is the repository as it stands upstream, so that it can be told again after a
//! resync. A repository stays partial until its account is deleted; memory is bounded by that.

use super::dice::Dice;
use super::happening::Record;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Paths that a partial repository remembers.
const RECENT: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Repo {
    whole: bool,
    /// By `collection/rkey`, whose byte order is the order of the repository's tree.
    records: BTreeMap<Box<str>, Kept>,
    recent: VecDeque<(Cow<'static, str>, Box<str>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) collection: Cow<'static, str>,
    pub(crate) record: Arc<Record>,
}

impl Default for Repo {
    fn default() -> Self {
        Self { whole: true, records: BTreeMap::new(), recent: VecDeque::new() }
    }
}

impl Repo {
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn has(&self, collection: &str, rkey: &str) -> bool {
        if self.whole {
            return self.records.contains_key(path(collection, rkey).as_str());
        }
        self.recent.iter().any(|(theirs, key)| theirs == collection && **key == *rkey)
    }

    pub(crate) fn put(&mut self, collection: Cow<'static, str>, rkey: &str, record: Arc<Record>) {
        if self.whole {
            self.records.insert(path(&collection, rkey).into(), Kept { collection, record });
        } else if !self.has(&collection, rkey) {
            self.recent.push_back((collection, rkey.into()));
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
    }

    pub(crate) fn remove(&mut self, collection: &str, rkey: &str) {
        self.records.remove(path(collection, rkey).as_str());
        self.recent.retain(|(theirs, key)| theirs != collection || **key != *rkey);
    }

    /// Forgets all but a few paths.
    pub(crate) fn forget(&mut self) {
        self.whole = false;
        let spare = self.records.len().saturating_sub(RECENT);
        for (path, kept) in std::mem::take(&mut self.records).into_iter().skip(spare) {
            self.recent.push_back((kept.collection.clone(), rkey_of(&path, &kept.collection).into()));
        }
    }

    /// Any record. Follows are preferred, since most deletes of the network are unfollows.
    pub(crate) fn any(&self, dice: &mut Dice) -> Option<(Cow<'static, str>, Box<str>)> {
        let first = self.nth(dice.below(self.count()))?;
        let second = self.nth(dice.below(self.count()))?;
        Some(if second.0 == "app.bsky.graph.follow" { second } else { first })
    }

    /// Every record in the order of the repository's tree: collection, record key, record.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Kept, &str)> {
        self.records.iter().map(|(path, kept)| (kept, rkey_of(path, &kept.collection)))
    }

    /// Loses each record with this probability, as a replaced repository does: nobody is told.
    pub(crate) fn lose(&mut self, dice: &mut Dice, probability: f64) {
        self.records.retain(|_, _| !dice.chance(probability));
    }

    fn count(&self) -> usize {
        if self.whole { self.records.len() } else { self.recent.len() }
    }

    fn nth(&self, index: usize) -> Option<(Cow<'static, str>, Box<str>)> {
        if !self.whole {
            return self.recent.get(index).cloned();
        }
        let (path, kept) = self.records.iter().nth(index)?;
        Some((kept.collection.clone(), rkey_of(path, &kept.collection).into()))
    }
}

fn path(collection: &str, rkey: &str) -> String {
    [collection, "/", rkey].concat()
}

fn rkey_of<'a>(path: &'a str, collection: &str) -> &'a str {
    &path[collection.len() + 1..]
}
