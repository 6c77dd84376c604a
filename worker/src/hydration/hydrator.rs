//! What stands between reading and committing: each event tells the cache what it changes, and is given what is known.
//!
//! Invariants:
//! - nothing here waits: what is not known is wanted ([`Handle::fresh`]), and the record lands without it;
//! - the events of a repository come in their order, so the cache ends with the newest that this worker has seen of it;
//! - what an event tells counts from the event on: a record after it in the same batch is given it already.

use super::cache::{Cache, Entry, Known};
use super::changes::{Change, changes};
use super::document::{hydrated, items};
use super::fetcher::Handle;
use super::item::{Item, Kind};
use super::json::Json;
use super::references::{Place, References, Target, references};
use super::wanted::Want;
use crate::telemetry::metrics as m;
use metrics::{Counter, counter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use turbo_core::event::{Body, Event};
use turbo_core::hydrated::{Hydrated, Hydration};

/// What is looked up for the records of a slice, and how old it may be.
pub type Targets = BTreeMap<Target, Duration>;

/// Gives events what is known of what they point at.
#[derive(Clone)]
pub struct Hydrator {
    cache: Arc<Cache>,
    handle: Handle,
    /// By the index of the slice.
    slices: Arc<[Targets]>,
    counters: Arc<Counters>,
    /// Who tells the other workers of changes, where there are any.
    told: Option<mpsc::Sender<Change>>,
}

/// What is known of a record that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What is known.
    pub hydrated: Arc<Hydrated>,
    /// When some of it becomes older than its time to live; `None` for never.
    pub until: Option<Instant>,
}

impl Hydrator {
    /// For slices with these targets.
    #[must_use]
    pub fn new(cache: Arc<Cache>, handle: Handle, slices: Vec<Targets>) -> Self {
        Self { cache, handle, slices: slices.into(), counters: Arc::default(), told: None }
    }

    /// The same, which tells what changes to those who listen there.
    #[must_use]
    pub fn telling(self, told: mpsc::Sender<Change>) -> Self {
        Self { told: Some(told), ..self }
    }

    /// Another worker tells what has changed.
    pub fn hear(&self, changes: &[Change]) {
        changes.iter().for_each(|change| change.apply(&self.cache));
    }

    /// Takes an event of a slice: learns from it where it is new, and says what is known of its record; `None` where the
    /// slice looks nothing up, or there is no record. `new` is when it was appended to the log, in microseconds since the
    /// Unix epoch; what is read again is older than what was learned since.
    pub fn take(&self, slice: u16, event: &Event, new: Option<i64>) -> Option<Taken> {
        if let Some(at_us) = new {
            self.learn(event, at_us);
        }
        let references = self.of_event(slice, event)?;
        let (mut lookups, mut missing) = (Lookups::default(), Vec::new());
        let taken = self.taken(slice, &references, |item, ttl, is_known| {
            lookups.count(item.kind(), is_known);
            if !is_known {
                missing.push(Want { item: item.clone(), ttl });
            }
        });
        self.counters.tell(taken.hydrated.hydration, &lookups);
        if !missing.is_empty() {
            self.handle.fresh(missing);
        }
        Some(taken)
    }

    /// What is known by now of the record of an event that was taken before.
    pub fn again(&self, slice: u16, event: &Event) -> Option<Taken> {
        Some(self.taken(slice, &self.of_event(slice, event)?, |_, _, _| ()))
    }

    /// What is known of the references of a record. `each` is told of each item, for how long what is known of it counts, and
    /// whether that is so.
    fn taken(&self, slice: u16, references: &References, mut each: impl FnMut(&Item, Duration, bool)) -> Taken {
        let mut until: Option<Instant> = None;
        let hydrated = hydrated(references, |place, item| {
            let ttl = self.ttl(slice, place)?;
            let entry = self.cache.get(item, ttl);
            each(item, ttl, entry.is_some());
            if let Some(ends) = entry.as_ref().and_then(|entry| entry.at.checked_add(ttl)) {
                until = Some(until.map_or(ends, |until| until.min(ends)));
            }
            entry
        });
        Taken { hydrated: Arc::new(hydrated), until }
    }

    fn of_event(&self, slice: u16, event: &Event) -> Option<References> {
        let Body::Commit(commit) = &event.body else { return None };
        self.references(slice, &event.key, &commit.collection, commit.record.as_deref()?)
    }

    /// What a record points at, of all that its slice looks up; `None` where that is nothing.
    pub fn references(&self, slice: u16, did: &str, collection: &str, record: &[u8]) -> Option<References> {
        let targets = self.targets(slice)?;
        Some(references(did, collection, record, |target| targets.contains_key(&target)))
    }

    /// What is known now of what a record of the slice points at.
    #[must_use]
    pub fn known(&self, slice: u16, references: &References) -> Arc<Hydrated> {
        self.taken(slice, references, |_, _, _| ()).hydrated
    }

    /// The items of these references that are not known.
    pub fn unknown<'a>(&'a self, slice: u16, references: &'a References) -> impl Iterator<Item = Want> + 'a {
        items(references).filter_map(move |(place, item)| {
            let ttl = self.ttl(slice, place)?;
            self.cache.get(&item, ttl).is_none().then_some(Want { item, ttl })
        })
    }

    fn ttl(&self, slice: u16, place: Place) -> Option<Duration> {
        self.targets(slice)?.get(&place.target()).copied()
    }

    fn targets(&self, slice: u16) -> Option<&Targets> {
        self.slices.get(usize::from(slice)).filter(|targets| !targets.is_empty())
    }

    /// Who looks up what is not known.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What an event changes of what is known is known from now on, and told to the others.
    fn learn(&self, event: &Event, at_us: i64) {
        for change in changes(event, at_us, |item| self.profile(item)) {
            change.apply(&self.cache);
            if let Some(told) = &self.told {
                // Where they do not keep up, the time to live bounds what they miss.
                let _ = told.try_send(change);
            }
        }
    }

    /// What is known of a profile, however old.
    fn profile(&self, item: &Item) -> Option<(Json, i64)> {
        let Entry { known, at_us, .. } = self.cache.get(item, Duration::MAX)?;
        match known {
            Known::Found(json) => Some((json, at_us)),
            Known::Missing | Known::Blocked | Known::TakenDown => None,
        }
    }
}

/// What was known, and was not, of what a new record wants: profiles, then posts.
#[derive(Default)]
struct Lookups([[u64; 2]; 2]);

impl Lookups {
    fn count(&mut self, kind: Kind, is_known: bool) {
        self.0[usize::from(kind == Kind::Post)][usize::from(!is_known)] += 1;
    }
}

/// The counters of all that, found by their names once: that takes longer than a lookup in the cache.
struct Counters {
    records: [(Hydration, Counter); 3],
    lookups: [[Counter; 2]; 2],
}

impl Default for Counters {
    fn default() -> Self {
        let record = |of: Hydration| (of, counter!(m::HYDRATION_RECORDS, "hydration" => of.as_str()));
        let lookups = |name: &'static str| ["hit", "miss"].map(|lookup| counter!(name, "lookup" => lookup));
        Self {
            records: [Hydration::Full, Hydration::Partial, Hydration::None].map(record),
            lookups: [m::HYDRATION_PROFILES, m::HYDRATION_POSTS].map(lookups),
        }
    }
}

impl Counters {
    fn tell(&self, hydration: Hydration, lookups: &Lookups) {
        self.records.iter().filter(|(of, _)| *of == hydration).for_each(|(_, counter)| counter.increment(1));
        for (counter, count) in self.lookups.iter().flatten().zip(lookups.0.iter().flatten()) {
            if *count > 0 {
                counter.increment(*count);
            }
        }
    }
}

#[cfg(test)]
#[path = "hydrator_tests.rs"]
mod tests;
