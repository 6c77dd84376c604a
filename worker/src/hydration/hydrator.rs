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
use crate::telemetry::metrics as m;
use metrics::{Counter, counter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
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
    pub fn take(&self, slice: u16, event: &Event, new: Option<i64>) -> Option<Hydrated> {
        if let Some(at_us) = new {
            self.learn(event, at_us);
        }
        let references = self.of_event(slice, event)?;
        let (mut lookups, mut missing) = (Lookups::default(), Vec::new());
        let hydrated = hydrated(&references, |place, item| {
            let entry = self.look(slice, place, item);
            lookups.count(item.kind(), entry.is_some());
            if entry.is_none() {
                missing.push(item.clone());
            }
            entry
        });
        self.counters.tell(hydrated.hydration, &lookups);
        if !missing.is_empty() {
            self.handle.fresh(missing);
        }
        Some(hydrated)
    }

    /// What is known by now of the record of an event that was taken before.
    pub fn again(&self, slice: u16, event: &Event) -> Option<Hydrated> {
        Some(self.known(slice, &self.of_event(slice, event)?))
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
    pub fn known(&self, slice: u16, references: &References) -> Hydrated {
        hydrated(references, |place, item| self.look(slice, place, item))
    }

    /// The items of these references that are not known.
    pub fn unknown<'a>(&'a self, slice: u16, references: &'a References) -> impl Iterator<Item = Item> + 'a {
        items(references).filter(move |(place, item)| self.look(slice, *place, item).is_none()).map(|(_, item)| item)
    }

    fn look(&self, slice: u16, place: Place, item: &Item) -> Option<Entry> {
        self.cache.get(item, *self.targets(slice)?.get(&place.target())?)
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
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::{Value, json};
    use turbo_core::wire::{Frame, decode};

    const TTL: Duration = Duration::from_secs(600);

    fn now_us() -> Option<i64> {
        Some(jiff::Timestamp::now().as_microsecond())
    }

    fn now(known: Known) -> Entry {
        Entry::as_of(known, now_us().unwrap())
    }

    fn hydrator() -> Hydrator {
        let cache = Arc::new(Cache::new(1 << 20));
        let handle = Handle::new(Arc::clone(&cache));
        let targets = Targets::from([(Target::Author, TTL), (Target::Subject, TTL)]);
        Hydrator::new(cache, handle, vec![Targets::new(), targets])
    }

    fn event(did: &str, kind: &str, content: Value) -> Event {
        let mut line = json!({"did": format!("did:plc:{did}"), "time_us": 1, "kind": kind});
        line[kind] = content;
        match decode(&Bytes::from(line.to_string())) {
            Ok(Frame::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn commit(did: &str, operation: &str, collection: &str, rkey: &str, record: &Value) -> Event {
        let mut commit =
            json!({"rev": "3l7", "operation": operation, "collection": collection, "rkey": rkey, "cid": "c"});
        if operation != "delete" {
            commit["record"] = record.clone();
        }
        event(did, "commit", commit)
    }

    fn like(of: &str) -> Event {
        let uri = format!("at://did:plc:{of}/app.bsky.feed.post/k");
        commit("me", "create", "app.bsky.feed.like", "l", &json!({"subject": {"uri": uri, "cid": "c"}}))
    }

    fn post(did: &str, operation: &str, text: &str) -> Event {
        commit(did, operation, "app.bsky.feed.post", "k", &json!({"text": text}))
    }

    /// What an AppView says of an account.
    fn answered(hydrator: &Hydrator, did: &str, handle: &str) {
        let item = Item::profile(&format!("did:plc:{did}")).unwrap();
        assert!(hydrator.cache.asks(&item));
        let json = format!(r#"{{"handle":"{handle}","displayName":"old"}}"#);
        assert!(hydrator.cache.answered(&item, now(Known::Found(json.into()))));
    }

    fn document(hydrator: &Hydrator, event: &Event) -> (Hydration, Value) {
        let hydrated = hydrator.take(1, event, now_us()).unwrap();
        (hydrated.hydration, hydrated.document.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_is_wanted_and_the_record_lands_without_it() {
        let hydrator = hydrator();
        assert_eq!(document(&hydrator, &like("a")), (Hydration::None, Value::Null));
        assert_eq!(hydrator.handle.waiting(), (3, 0), "who likes, what is liked, and who wrote it");
        assert_eq!(hydrator.take(0, &like("b"), now_us()), None);
        assert_eq!(hydrator.handle.waiting(), (3, 0), "a slice that looks nothing up wants nothing");
        let deleted = commit("me", "delete", "app.bsky.feed.like", "l", &Value::Null);
        assert_eq!(hydrator.take(1, &deleted, now_us()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_post_that_passes_is_known_to_the_likes_after_it() {
        let hydrator = hydrator();
        hydrator.take(0, &post("a", "create", "hello"), now_us());
        answered(&hydrator, "me", "me.example");
        let (hydration, shown) = document(&hydrator, &like("a"));
        assert_eq!((hydration, &shown["subject"]["post"]["record"]["text"]), (Hydration::Partial, &json!("hello")));
        answered(&hydrator, "a", "a.example");
        let (hydration, shown) = document(&hydrator, &like("a"));
        assert_eq!(hydration, Hydration::Full);
        assert_eq!(shown["subject"]["author"]["profile"]["handle"], "a.example");
        hydrator.take(0, &post("a", "update", "hello again"), now_us());
        assert_eq!(document(&hydrator, &like("a")).1["subject"]["post"]["record"]["text"], "hello again");
        hydrator.take(0, &post("a", "delete", ""), now_us());
        assert_eq!(document(&hydrator, &like("a")).1["subject"]["state"], "missing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_its_commit_lands_with_what_is_known_then() {
        let hydrator = hydrator();
        answered(&hydrator, "me", "me.example");
        let (event, handle) = (like("a"), |hydrated: Option<Hydrated>| {
            let document = hydrated.unwrap().document;
            document.map(|text| serde_json::from_str::<Value>(&text).unwrap()["author"]["profile"]["handle"].clone())
        });
        assert_eq!(handle(hydrator.take(1, &event, now_us())), Some(json!("me.example")));
        let did = "did:plc:me";
        let changed = json!({"did": did, "handle": "you.example", "seq": 1, "time": "2026-07-01T00:00:00Z"});
        hydrator.take(0, &self::event("me", "identity", changed), now_us());
        let waiting = hydrator.handle.waiting();
        assert_eq!(handle(hydrator.again(1, &event)), Some(json!("you.example")));
        tokio::time::advance(TTL).await;
        assert_eq!(handle(hydrator.again(1, &event)), None, "nothing is as old as that");
        assert_eq!(hydrator.handle.waiting(), waiting, "its record waits in the catalog, and asks from there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_profile_follows_its_record_and_its_handle() {
        let hydrator = hydrator();
        let profile =
            |name: &str| commit("me", "update", "app.bsky.actor.profile", "self", &json!({"displayName": name}));
        let author = |hydrator: &Hydrator| document(hydrator, &like("a")).1["author"].clone();
        hydrator.take(0, &profile("new"), now_us());
        assert_eq!(author(&hydrator), Value::Null, "the handle is not known");
        answered(&hydrator, "me", "me.example");
        hydrator.take(0, &profile("newer"), now_us());
        assert_eq!(author(&hydrator)["profile"], json!({"handle": "me.example", "displayName": "newer"}));
        let identity = |handle: Option<&str>| {
            let did = "did:plc:me";
            event("me", "identity", json!({"did": did, "handle": handle, "seq": 1, "time": "2026-07-01T00:00:00Z"}))
        };
        hydrator.take(0, &identity(Some("you.example")), now_us());
        assert_eq!(author(&hydrator)["profile"], json!({"handle": "you.example", "displayName": "newer"}));
        hydrator.take(0, &identity(None), now_us());
        assert_eq!(author(&hydrator), Value::Null);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_goes_takes_what_is_known_of_it_with_it() {
        let hydrator = hydrator();
        let account = |active: bool, status: Option<&str>| {
            let content = json!({"active": active, "did": "did:plc:a", "status": status, "seq": 1, "time": "2026-07-01T00:00:00Z"});
            event("a", "account", content)
        };
        hydrator.take(0, &post("a", "create", "hello"), now_us());
        answered(&hydrator, "a", "a.example");
        answered(&hydrator, "me", "me.example");
        assert_eq!(document(&hydrator, &like("a")).0, Hydration::Full);
        hydrator.take(0, &account(false, Some("takendown")), now_us());
        let (hydration, shown) = document(&hydrator, &like("a"));
        assert_eq!((hydration, &shown["subject"]["state"]), (Hydration::Partial, &json!("unknown")));
        assert_eq!(shown["subject"]["author"]["state"], "takendown");
        hydrator.take(0, &account(true, None), now_us());
        assert_eq!(document(&hydrator, &like("a")).1["subject"]["author"]["state"], "unknown");
    }
}
