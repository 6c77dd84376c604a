//! What the AppView knows: profiles and posts, as of a time that may lag.
//!
//! Accounts and posts that the world takes to be older than itself are made up from their names, the same ones each time.

use crate::truth::RepoState;
use crate::world::{Happening, What, cid};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use turbo_core::tid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const POST: &str = "app.bsky.feed.post";

#[derive(Debug)]
pub(crate) struct State {
    seed: u64,
    missing: f64,
    start_us: i64,
    repos: HashMap<Arc<str>, Repo>,
    /// What has happened and is not known yet.
    waiting: VecDeque<Arc<Happening>>,
}

#[derive(Debug, Default)]
struct Repo {
    state: RepoState,
    /// Whether it went, or was replaced: then nothing is left from before the world began.
    emptied: bool,
}

/// A profile as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) handle: String,
    /// The record's JSON; none where the account has not told of any.
    pub(crate) record: Option<String>,
}

/// A post as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Post {
    pub(crate) cid: String,
    pub(crate) record: String,
    pub(crate) author: Profile,
}

impl State {
    pub(crate) fn new(seed: u64, missing: f64, start_us: i64) -> Self {
        Self { seed, missing, start_us, repos: HashMap::new(), waiting: VecDeque::new() }
    }

    pub(crate) fn add(&mut self, happening: &Arc<Happening>) {
        self.waiting.push_back(Arc::clone(happening));
    }

    /// Learns of what had happened up to a time.
    pub(crate) fn learn(&mut self, until_us: i64) {
        while let Some(happening) = self.waiting.pop_front_if(|happening| happening.at_us <= until_us) {
            let repo = self.repos.entry(Arc::clone(&happening.did)).or_default();
            repo.state.add(&happening);
            repo.state.events.clear();
            repo.emptied |= match &happening.what {
                What::Sync { .. } => true,
                What::Account { status, .. } => status.as_deref() == Some("deleted"),
                What::Commit(_) | What::Identity { .. } => false,
            };
        }
    }

    /// A profile; none of an account that is not active.
    pub(crate) fn profile(&self, did: &str) -> Option<Profile> {
        let repo = self.repos.get(did);
        if repo.is_some_and(|repo| repo.state.account.active == Some(false)) {
            return None;
        }
        let handle = repo.and_then(|repo| repo.state.account.handle.clone());
        let record = repo.and_then(|repo| repo.state.record("app.bsky.actor.profile", "self"));
        Some(Profile {
            handle: handle.unwrap_or_else(|| self.handle_of(did)),
            record: record.map(|record| record.json.to_owned()),
        })
    }

    /// A post of an account that is active.
    pub(crate) fn post(&self, did: &str, rkey: &str) -> Option<Post> {
        let author = self.profile(did)?;
        let repo = self.repos.get(did);
        match repo.and_then(|repo| repo.state.record(POST, rkey)) {
            Some(record) => Some(Post { cid: record.cid.to_owned(), record: record.json.to_owned(), author }),
            None if repo.is_some_and(|repo| repo.emptied) => None,
            None => self.old_post(did, rkey, author),
        }
    }

    /// A post from before the world began; some of them are gone.
    fn old_post(&self, did: &str, rkey: &str, author: Profile) -> Option<Post> {
        let made_us = tid::time_us(rkey).filter(|made_us| *made_us < self.start_us)?;
        let uri = format!("at://{did}/{POST}/{rkey}");
        let hash = xxh3_64_with_seed(uri.as_bytes(), self.seed);
        let gone = ((hash >> 11) as f64) < self.missing * (1u64 << 53) as f64;
        let created = crate::time::millis(made_us);
        let record = format!(r#"{{"$type":"{POST}","createdAt":"{created}","text":"an old post, {hash:x}"}}"#);
        (!gone).then(|| Post { cid: cid::of_record(&uri), record, author })
    }

    /// A handle for an account that has not told of any.
    fn handle_of(&self, did: &str) -> String {
        format!("u{:x}.sim.example", xxh3_64_with_seed(did.as_bytes(), self.seed))
    }
}
