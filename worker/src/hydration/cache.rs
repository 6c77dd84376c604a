//! What is known of items: bounded by bytes, each for a time, and asked for once at a time.
//!
//! Invariants:
//! - what is asked for is asked for once: whoever else wants it meanwhile waits for the same answer ([`Cache::asks`]);
//! - an answer to a request that was sent before the stream told of a change of its item is not kept: it may tell of the
//!   time before;
//! - that there is nothing (missing, blocked, taken down) is known in the same way as what there is.
//!
//! Between shards there is no order, so what another worker's stream has told may be newer than what is kept here; the
//! time to live bounds by how much.

use super::item::Item;
use super::json::Json;
use hashlink::LruCache;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 200;
/// One of so many that are found is put in front of those that are let go.
const RANKED: u64 = 8;
/// Repositories whose last change is remembered. One that is forgotten is not worse off than by the time to live.
const MAX_REPOS: usize = 100_000;

/// What is known of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is there.
    Found(Json),
    /// There is no such thing.
    Missing,
    /// It may not be shown to whoever asks.
    Blocked,
    /// It was taken down.
    TakenDown,
}

impl Known {
    /// Bytes of its JSON.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Found(json) => json.len(),
            Self::Missing | Self::Blocked | Self::TakenDown => 0,
        }
    }
}

/// What is known, and since when.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is known.
    pub known: Known,
    /// When that was true: when the request was sent, or when the stream told it.
    pub at: Instant,
    /// The same by the wall clock, in microseconds since the Unix epoch.
    pub at_us: i64,
}

impl Entry {
    /// What was known at a time by the wall clock, in microseconds since the Unix epoch.
    #[must_use]
    pub fn as_of(known: Known, at_us: i64) -> Self {
        let now_us = Timestamp::now().as_microsecond();
        let age = Duration::from_micros(u64::try_from(now_us.saturating_sub(at_us)).unwrap_or_default());
        let now = Instant::now();
        // What is older than the machine is old, however old.
        Self { known, at: now.checked_sub(age).unwrap_or(now), at_us: at_us.min(now_us) }
    }
}

/// What is known of items. Of what was wanted longest ago as much is let go as the bound asks for.
pub struct Cache {
    max_bytes: usize,
    inner: Mutex<Inner>,
}

/// An entry, and the number of the change that it came with.
struct Kept {
    entry: Entry,
    number: u64,
}

struct Inner {
    entries: LruCache<Item, Kept>,
    /// What the entries take.
    bytes: usize,
    /// The last change of all that a repository has, by its number.
    repos: LruCache<Box<str>, u64>,
    /// Changes so far.
    changes: u64,
    /// How often anything was looked for.
    gets: u64,
    /// What is being asked for, and whether it has changed since.
    asked: HashMap<Item, bool>,
}

impl Inner {
    fn next(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn keep(&mut self, item: &Item, entry: Entry, max_bytes: usize) {
        let number = self.next();
        self.bytes += size(item, &entry);
        if let Some(before) = self.entries.insert(item.clone(), Kept { entry, number }) {
            self.bytes -= size(item, &before.entry);
        }
        while self.bytes > max_bytes
            && let Some((item, kept)) = self.entries.remove_lru()
        {
            self.bytes -= size(&item, &kept.entry);
        }
    }

    fn forget(&mut self, item: &Item) {
        self.next();
        if let Some(kept) = self.entries.remove(item) {
            self.bytes -= size(item, &kept.entry);
        }
    }
}

impl Cache {
    /// A cache of at most this many bytes.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let (entries, repos) = (LruCache::new_unbounded(), LruCache::new(MAX_REPOS));
        let inner = Inner { entries, bytes: 0, repos, changes: 0, gets: 0, asked: HashMap::new() };
        Self { max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX), inner: Mutex::new(inner) }
    }

    /// What is known of an item, where it is younger than `ttl`.
    #[must_use]
    pub fn get(&self, item: &Item, ttl: Duration) -> Option<Entry> {
        let Inner { entries, repos, gets, .. } = &mut *self.inner();
        *gets = gets.wrapping_add(1);
        // To put one in front takes as long as all the rest: what is wanted often gets there all the same.
        let kept = if *gets % RANKED == 0 { entries.get(item) } else { entries.peek(item) };
        let Kept { entry, number } = kept?;
        let is_newer = repos.peek(item.did()).is_none_or(|changed| changed < number);
        (is_newer && entry.at.elapsed() < ttl).then(|| entry.clone())
    }

    /// The caller is about to ask for this item: `false` where somebody does so already. What is asked for ends with
    /// [`Cache::answered`] or [`Cache::failed`].
    #[must_use]
    pub fn asks(&self, item: &Item) -> bool {
        let mut inner = self.inner();
        let first = !inner.asked.contains_key(item);
        if first {
            inner.asked.insert(item.clone(), false);
        }
        first
    }

    /// An answer to what was asked for. Returns whether it is kept: not where the item has changed meanwhile.
    pub fn answered(&self, item: &Item, entry: Entry) -> bool {
        let mut inner = self.inner();
        let kept = inner.asked.remove(item) == Some(false);
        if kept {
            inner.keep(item, entry, self.max_bytes);
        }
        kept
    }

    /// No answer came to what was asked for.
    pub fn failed(&self, item: &Item) {
        self.inner().asked.remove(item);
    }

    /// The stream tells what an item is now, or that it has changed (`None`).
    pub fn changed(&self, item: &Item, now: Option<Entry>) {
        let mut inner = self.inner();
        inner.asked.entry(item.clone()).and_modify(|changed| *changed = true);
        match now {
            Some(entry) => inner.keep(item, entry, self.max_bytes),
            None => inner.forget(item),
        }
    }

    /// The stream tells that all of a repository may have changed: its profile and its posts.
    pub fn repo_changed(&self, did: &str) {
        let mut inner = self.inner();
        let number = inner.next();
        inner.asked.iter_mut().filter(|(item, _)| item.did() == did).for_each(|(_, changed)| *changed = true);
        inner.repos.insert(did.into(), number);
    }

    /// Bytes that are taken, and entries.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.bytes as u64, inner.entries.len() as u64)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an entry takes, in bytes.
fn size(item: &Item, entry: &Entry) -> usize {
    item.name().len() + entry.known.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(600);

    fn profile(did: &str) -> Item {
        Item::profile(did).unwrap()
    }

    fn json(text: &str) -> Json {
        Json::from(format!("{text:?}"))
    }

    fn entry(text: &str) -> Entry {
        Entry { known: Known::Found(json(text)), at: Instant::now(), at_us: 0 }
    }

    fn known(cache: &Cache, item: &Item) -> Option<Known> {
        cache.get(item, TTL).map(|entry| entry.known)
    }

    fn cache() -> Cache {
        Cache::new(1 << 20)
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lives_for_the_time_of_whoever_asks() {
        let (cache, item) = (cache(), profile("did:plc:a"));
        assert!(cache.asks(&item));
        assert!(cache.answered(&item, entry("{}")));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.get(&item, Duration::from_secs(61)).is_some());
        assert!(cache.get(&item, Duration::from_secs(60)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_is_asked_for_once() {
        let (cache, item) = (cache(), profile("did:plc:a"));
        assert!(cache.asks(&item));
        assert!(!cache.asks(&item));
        cache.failed(&item);
        assert!(cache.asks(&item));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_a_change_has_overtaken_is_not_kept() {
        let (cache, item) = (cache(), profile("did:plc:a"));
        let asked = entry("old");
        assert!(cache.asks(&item));
        cache.changed(&item, Some(entry("new")));
        assert!(!cache.answered(&item, asked.clone()));
        assert_eq!(known(&cache, &item), Some(Known::Found(json("new"))));
        assert!(cache.asks(&item));
        cache.changed(&item, None);
        assert!(!cache.answered(&item, asked));
        assert_eq!(known(&cache, &item), None);
        assert!(cache.asks(&item));
        assert!(cache.answered(&item, entry("newer")));
        assert_eq!(known(&cache, &item), Some(Known::Found(json("newer"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_repository_that_has_changed_takes_its_profile_and_its_posts_with_it() {
        let cache = cache();
        let post = Item::post("at://did:plc:a/app.bsky.feed.post/k").unwrap();
        let (mine, other) = (profile("did:plc:a"), profile("did:plc:b"));
        for item in [&post, &mine, &other] {
            cache.changed(item, Some(entry("{}")));
        }
        let late = Item::post("at://did:plc:a/app.bsky.feed.post/l").unwrap();
        assert!(cache.asks(&late));
        let sent = entry("old");
        cache.repo_changed("did:plc:a");
        assert!(!cache.answered(&late, sent));
        assert_eq!((known(&cache, &post), known(&cache, &mine)), (None, None));
        assert!(known(&cache, &other).is_some());
        cache.changed(&mine, Some(entry("new")));
        assert_eq!(known(&cache, &mine), Some(Known::Found(json("new"))));
    }

    #[test]
    fn it_is_bounded_by_bytes() {
        let cache = Cache::new(100_000);
        let json = "x".repeat(1000);
        for number in 0..1000 {
            cache.changed(&profile(&format!("did:plc:{number}")), Some(entry(&json)));
        }
        let (bytes, entries) = cache.size();
        assert!(bytes <= 100_000 && entries <= 90, "{bytes} bytes, {entries} entries");
        assert!(entries > 40, "{entries} entries");
        assert!(known(&cache, &profile("did:plc:999")).is_some(), "what is new stays");
        assert!(known(&cache, &profile("did:plc:0")).is_none(), "what is old goes");
    }
}
