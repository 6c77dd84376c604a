//! The ordinary acts: one commit each.

use super::happening::{Commit, Operation, Record, What};
use super::queue::Waiting;
use super::records::{post, profile, social, stranger};
use super::{World, cid};
use std::borrow::Cow;
use std::sync::Arc;

/// One operation of a commit; a delete where there is no record.
pub(super) struct Op {
    pub(super) collection: Cow<'static, str>,
    pub(super) rkey: String,
    pub(super) json: Option<String>,
}

impl Op {
    pub(super) fn put(collection: &'static str, rkey: impl Into<String>, json: String) -> Self {
        Self { collection: collection.into(), rkey: rkey.into(), json: Some(json) }
    }
}

impl World {
    /// One commit with these operations, which are consecutive and bear one revision.
    pub(super) fn commit(&mut self, number: u32, at_us: i64, ops: Vec<Op>) {
        let rev = self.cast.get(number).rev(at_us);
        for op in ops {
            self.operate(number, at_us, &rev, op);
        }
    }

    fn operate(&mut self, number: u32, at_us: i64, rev: &str, op: Op) {
        let account = self.cast.get(number);
        let did = Arc::clone(&account.did);
        let known = account.repo.has(&op.collection, &op.rkey);
        let operation = match (&op.json, known) {
            (None, _) => Operation::Delete,
            (Some(_), true) => Operation::Update,
            (Some(_), false) => Operation::Create,
        };
        let record = op.json.map(|json| Arc::new(Record { cid: cid::of_record(&json).into(), json: json.into() }));
        match &record {
            Some(record) => {
                if op.collection == "app.bsky.feed.post" {
                    self.subjects.posted(&did, &op.rkey, &record.cid);
                }
                self.cast.put(number, op.collection.clone(), &op.rkey, Arc::clone(record));
            }
            None => self.cast.change(number, |repo| repo.remove(&op.collection, &op.rkey)),
        }
        let rkey = op.rkey.into();
        let commit = Commit { rev: rev.into(), operation, collection: op.collection, rkey, record, resync: false };
        self.queue.push(at_us, Waiting::Event { did, what: What::Commit(commit) });
    }

    fn create(&mut self, number: u32, at_us: i64, collection: &'static str, json: String) {
        let key = self.cast.get(number).key(at_us);
        self.commit(number, at_us, vec![Op::put(collection, key, json)]);
    }

    pub(super) fn react(&mut self, number: u32, at_us: i64, collection: &'static str) {
        let json = social::reaction(&mut self.scene(at_us), collection);
        self.create(number, at_us, collection, json);
    }

    pub(super) fn post(&mut self, number: u32, at_us: i64) {
        let json = post::post(&mut self.scene(at_us));
        let key = self.cast.get(number).key(at_us);
        let mut ops = vec![Op::put("app.bsky.feed.post", key.clone(), json)];
        if self.dice.chance(0.02) {
            let uri = format!("at://{}/app.bsky.feed.post/{key}", self.cast.get(number).did);
            let mut scene = self.scene(at_us);
            let (thread, gate) = (post::threadgate(&mut scene, &uri), post::postgate(&mut scene, &uri));
            ops.push(Op::put("app.bsky.feed.threadgate", key.clone(), thread));
            ops.push(Op::put("app.bsky.feed.postgate", key, gate));
        }
        self.commit(number, at_us, ops);
    }

    pub(super) fn follow(&mut self, number: u32, at_us: i64) {
        let several = self.dice.chance(0.02);
        let count = if several { self.dice.between(3, 12) } else { 1 };
        let ops = (0..count).map(|_| {
            let json = social::towards(&mut self.scene(at_us), "app.bsky.graph.follow");
            Op::put("app.bsky.graph.follow", self.cast.get(number).key(at_us), json)
        });
        let ops = ops.collect();
        self.commit(number, at_us, ops);
    }

    pub(super) fn block(&mut self, number: u32, at_us: i64) {
        let json = social::towards(&mut self.scene(at_us), "app.bsky.graph.block");
        self.create(number, at_us, "app.bsky.graph.block", json);
    }

    /// An account has one list here, with a key of its own.
    pub(super) fn list_item(&mut self, number: u32, at_us: i64) {
        const LIST: &str = "app.bsky.graph.list";
        let account = self.cast.get(number);
        let (uri, made) = (format!("at://{}/{LIST}/friends", account.did), account.repo.has(LIST, "friends"));
        let key = account.key(at_us);
        let mut scene = self.scene(at_us);
        let list = (!made).then(|| Op::put(LIST, "friends", social::list(&mut scene)));
        let item = Op::put("app.bsky.graph.listitem", key, social::list_item(&mut scene, &uri));
        self.commit(number, at_us, list.into_iter().chain([item]).collect());
    }

    pub(super) fn profile(&mut self, number: u32, at_us: i64) {
        let json = profile::profile(&mut self.scene(at_us));
        self.commit(number, at_us, vec![Op::put("app.bsky.actor.profile", "self", json)]);
    }

    pub(super) fn stranger(&mut self, number: u32, at_us: i64) {
        let did = Arc::clone(&self.cast.get(number).did);
        let (collection, key, json) = stranger::stranger(&mut self.scene(at_us), &did);
        let key = match key {
            stranger::Key::Tid => self.cast.get(number).key(at_us),
            stranger::Key::Own => String::from("self"),
            stranger::Key::Pair => format!("{did}::{}", stranger::SERVER),
        };
        self.commit(number, at_us, vec![Op::put(collection, key, json)]);
    }

    /// Deletes what is there; where nobody is found who has a record, nothing happens.
    pub(super) fn delete(&mut self, at_us: i64) {
        let found = (0..16).find_map(|_| {
            let number = self.cast.free(&mut self.dice, at_us)?;
            self.cast.get(number).repo.any(&mut self.dice).map(|_| number)
        });
        let Some(number) = found else { return };
        let count = if self.dice.chance(0.033) { self.dice.between(2, 3) } else { 1 };
        let mut ops: Vec<Op> = Vec::new();
        for _ in 0..count {
            let Some((collection, rkey)) = self.cast.get(number).repo.any(&mut self.dice) else { break };
            let again = ops.iter().any(|op| op.collection == collection && *op.rkey == *rkey);
            if !again {
                ops.push(Op { collection, rkey: rkey.into(), json: None });
            }
        }
        self.commit(number, at_us, ops);
    }
}
