//! The nasty acts.

use super::World;
use super::acts::Op;
use super::records::nasty::{self, NASTIES, Nasty};
use std::sync::Arc;

impl World {
    pub(super) fn nasty(&mut self, number: u32, at_us: i64) {
        let which = NASTIES[self.dice.weighted(NASTIES.iter().map(|(_, share)| *share))].0;
        let json = nasty::post(&mut self.scene(at_us), which);
        let did = Arc::clone(&self.cast.get(number).did);
        let key = self.cast.get(number).key(at_us);
        match which {
            Nasty::Quick => return self.quick(number, at_us, key, json),
            Nasty::NeverWas => {
                let op = Op { collection: "app.bsky.feed.post".into(), rkey: key, json: None };
                return self.commit(number, at_us, vec![op]);
            }
            _ => {}
        }
        let (collection, key) = match which {
            Nasty::OddKey => ("org.example.odd", nasty::key(&mut self.scene(at_us), &did)),
            Nasty::OddCollection => (nasty::collection(&mut self.scene(at_us)), key),
            _ => ("app.bsky.feed.post", key),
        };
        self.commit(number, at_us, vec![Op::put(collection, key, json)]);
    }

    /// Three commits within three milliseconds that name the same record.
    fn quick(&mut self, number: u32, at_us: i64, key: String, json: String) {
        let put = |json: String| vec![Op::put("app.bsky.feed.post", key.clone(), json)];
        self.commit(number, at_us, put(json.clone()));
        let delete = Op { collection: "app.bsky.feed.post".into(), rkey: key.clone(), json: None };
        self.commit(number, at_us + 1_000, vec![delete]);
        self.commit(number, at_us + 2_000, put(json));
        self.cast.get(number).busy_until_us = at_us + 2_000;
    }
}
