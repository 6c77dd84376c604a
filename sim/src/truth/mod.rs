//! The ground truth: what a reader that missed nothing and doubted nothing would hold in the end. Written to be
//! obviously right, not fast, and without any code of the readers that are measured by it.

mod event_id;
mod lines;
mod state;
#[cfg(test)]
mod tests;

pub use event_id::EventId;
pub use state::{AccountState, RecordState, RepoState};

use crate::world::{Happening, World, WorldConfig};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What one version of the protocol tells: every DID that had an event.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By DID.
    pub repos: BTreeMap<Arc<str>, RepoState>,
    /// How many events it sends.
    pub events: u64,
}

/// The truth after a number of happenings, as each version of the protocol tells it.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// All that is true.
    pub v2: View,
    /// What is left of it for a reader of v1, which is told neither syncs nor the creates that follow them.
    pub v1: View,
    /// How many happenings are in it.
    pub happenings: u64,
}

/// Records in which v1 differs from the truth, through no fault of its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unknowable {
    /// There, but v1 was not told.
    pub missing: u64,
    /// Gone, but v1 was not told.
    pub surplus: u64,
    /// There with another content.
    pub different: u64,
    /// There with the same content, under another revision.
    pub other_rev: u64,
}

impl View {
    fn add(&mut self, happening: &Happening) {
        self.events += 1;
        self.repos.entry(Arc::clone(&happening.did)).or_default().add(happening);
    }

    /// Every record: DID and record.
    pub fn records(&self) -> impl Iterator<Item = (&str, RecordState<'_>)> {
        self.repos.iter().flat_map(|(did, repo)| repo.records().map(move |record| (&**did, record)))
    }
}

impl Truth {
    /// The truth of the first `events` happenings of a world.
    #[must_use]
    pub fn of_world(config: &WorldConfig, events: u64) -> Self {
        let mut world = World::new(config.clone());
        let mut truth = Self::default();
        for _ in 0..events {
            truth.add(&world.next());
        }
        truth
    }

    /// The truth of these happenings.
    pub fn of<'a>(happenings: impl IntoIterator<Item = &'a Happening>) -> Self {
        let mut truth = Self::default();
        happenings.into_iter().for_each(|happening| truth.add(happening));
        truth
    }

    /// Takes the next happening.
    pub fn add(&mut self, happening: &Happening) {
        self.happenings += 1;
        self.v2.add(happening);
        if !happening.v2_only() {
            self.v1.add(happening);
        }
    }

    /// What v1 cannot know right, counted.
    #[must_use]
    pub fn unknowable(&self) -> Unknowable {
        let mut count = Unknowable::default();
        let empty = RepoState::default();
        for (did, whole) in &self.v2.repos {
            let part = self.v1.repos.get(did).unwrap_or(&empty);
            let part: BTreeMap<_, _> =
                part.records().map(|record| ((record.collection, record.rkey), record)).collect();
            let whole: BTreeMap<_, _> =
                whole.records().map(|record| ((record.collection, record.rkey), record)).collect();
            count.surplus += part.keys().filter(|key| !whole.contains_key(*key)).count() as u64;
            for (key, record) in &whole {
                match part.get(key) {
                    None => count.missing += 1,
                    Some(other) if other.json != record.json => count.different += 1,
                    Some(other) if other.rev != record.rev => count.other_rev += 1,
                    Some(_) => {}
                }
            }
        }
        count
    }
}
