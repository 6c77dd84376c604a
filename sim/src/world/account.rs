//! One account: its names, its clock of revisions and keys, and its repository.

use super::cid::base32;
use super::happening::Upstream;
use super::repo::Repo;
use crate::time;
use std::sync::Arc;
use turbo_core::tid;
use xxhash_rust::xxh3::xxh3_128_with_seed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Deactivated,
    Deleted,
}

#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) did: Arc<str>,
    pub(crate) standing: Standing,
    /// Until then its next events are settled already, and it does nothing else.
    pub(crate) busy_until_us: i64,
    pub(crate) repo: Repo,
    number: u32,
    names: u32,
    rev_us: Option<i64>,
    /// Whether the last revision is that of a resync.
    restated: bool,
    key_us: i64,
    upstream_ms: i64,
}

impl Account {
    pub(crate) fn new(seed: u64, number: u32) -> Self {
        Self {
            did: did(seed, number).into(),
            standing: Standing::Active,
            busy_until_us: 0,
            repo: Repo::default(),
            number,
            names: 0,
            rev_us: None,
            restated: false,
            key_us: 0,
            upstream_ms: 0,
        }
    }

    /// The next revision: the time as a TID, above the last one.
    pub(crate) fn rev(&mut self, at_us: i64) -> String {
        let us = self.rev_us.map_or(at_us, |last| at_us.max(last + 1));
        self.rev_us = Some(us);
        self.restated = false;
        self.tid(us)
    }

    /// The revision of a resync. It may equal the last commit's, but not that of the last resync: a server does not
    /// sync to a revision that it knows.
    pub(crate) fn rev_of_resync(&mut self, at_us: i64, same: bool) -> String {
        let rev = match self.rev_us {
            Some(last) if same && !self.restated => self.tid(last),
            _ => self.rev(at_us),
        };
        self.restated = true;
        rev
    }

    /// Marks revisions up to now as those of a resync.
    pub(crate) fn mark_restated(&mut self) {
        self.restated = true;
    }

    /// A new record key.
    pub(crate) fn key(&mut self, at_us: i64) -> String {
        self.key_us = at_us.max(self.key_us + 1);
        self.tid(self.key_us)
    }

    /// The handle now; `new` changes it first.
    pub(crate) fn handle(&mut self, new: bool) -> String {
        self.names += u32::from(new);
        match self.names {
            0 => format!("user{}.sim.example", self.number),
            names => format!("user{}-{names}.sim.example", self.number),
        }
    }

    /// What the relay says of an event: its times differ for the events of one account.
    pub(crate) fn upstream(&mut self, at_us: i64, seq: i64) -> Upstream {
        self.upstream_ms = (at_us / 1000).max(self.upstream_ms + 1);
        Upstream { seq, time: time::millis(self.upstream_ms * 1000).into() }
    }

    fn tid(&self, us: i64) -> String {
        tid::encode(us, (self.number % 1024) as u16)
    }
}

/// Most DIDs are `did:plc:…`; a few are `did:web:…`.
pub(crate) fn did(seed: u64, number: u32) -> String {
    if number % 101 == 100 {
        return format!("did:web:user{number}.sim.example");
    }
    let mut did = String::from("did:plc:");
    base32(&xxh3_128_with_seed(&number.to_le_bytes(), seed).to_be_bytes()[..15], &mut did);
    did
}
