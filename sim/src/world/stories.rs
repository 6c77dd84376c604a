//! Events of a whole repository, and what follows them.

use super::World;
use super::account::Standing;
use super::happening::{Commit, Operation, Record, Upstream, What};
use super::queue::Waiting;
use super::repo::Repo;
use super::{cid, records};
use std::sync::Arc;

const MINUTE_US: i64 = 60_000_000;

impl World {
    pub(super) fn identity(&mut self, number: u32, at_us: i64) {
        let told = self.dice.chance(0.67);
        let new = self.dice.chance(0.5);
        let upstream = self.upstream(number, at_us);
        let account = self.cast.get(number);
        let handle = account.handle(told && new);
        let what = What::Identity { handle: told.then(|| handle.into()), upstream };
        self.tell(number, at_us, what);
    }

    pub(super) fn deactivate(&mut self, number: u32, at_us: i64) {
        self.stand(number, at_us, Standing::Deactivated);
        let away = self.dice.gap(2.0 * MINUTE_US as f64) as i64;
        self.queue.push(at_us + 1 + away, Waiting::Reactivate(number));
    }

    pub(super) fn reactivate(&mut self, number: u32, at_us: i64) {
        self.stand(number, at_us, Standing::Active);
    }

    /// The account goes with all its records; half of them come again.
    pub(super) fn remove(&mut self, number: u32, at_us: i64) {
        self.stand(number, at_us, Standing::Deleted);
        self.cast.change(number, |repo| *repo = Repo::default());
        if self.dice.chance(0.5) {
            let away = self.dice.gap(MINUTE_US as f64) as i64;
            self.queue.push(at_us + 1 + away, Waiting::Recreate(number));
        }
    }

    /// A deleted account is active again, and its repository is told anew.
    pub(super) fn recreate(&mut self, number: u32, at_us: i64) {
        self.stand(number, at_us, Standing::Active);
        self.restore(number, at_us);
        self.retell(number, at_us + 1);
    }

    /// A repository is replaced upstream: records vanish, others come, and a server that sees it says so. One that is
    /// not remembered whole loses everything, and is whole again.
    pub(super) fn resync(&mut self, at_us: i64) {
        let whole = self.cast.free_and_whole(&mut self.dice, at_us);
        let Some(number) = whole.or_else(|| self.cast.free(&mut self.dice, at_us)) else { return };
        let lost = match self.dice.unit() {
            _ if whole.is_none() => 1.0,
            roll if roll < 0.15 => 1.0,
            roll if roll < 0.30 => 0.0,
            _ => 0.3,
        };
        let dice = &mut self.dice;
        self.cast.change(number, |repo| match lost < 1.0 {
            true => repo.lose(dice, lost),
            false => *repo = Repo::default(),
        });
        if lost < 1.0 {
            self.rewrite(number, at_us);
        }
        if lost < 1.0 || self.dice.chance(0.3) {
            self.restore(number, at_us);
        }
        self.retell(number, at_us);
    }

    /// Records that no event told of.
    fn restore(&mut self, number: u32, at_us: i64) {
        for _ in 0..self.dice.between(0, 4) {
            let json = records::social::reaction(&mut self.scene(at_us), "app.bsky.feed.like");
            let key = self.cast.get(number).key(at_us);
            let record = Record { cid: cid::of_record(&json).into(), json: json.into() };
            self.cast.put(number, "app.bsky.feed.like".into(), &key, Arc::new(record));
        }
    }

    /// Gives some likes another content, of which no event told.
    fn rewrite(&mut self, number: u32, at_us: i64) {
        const LIKE: &str = "app.bsky.feed.like";
        let account = self.cast.get(number);
        let likes = account.repo.all().filter(|(kept, _)| kept.collection == LIKE);
        let keys: Vec<String> = likes.map(|(_, rkey)| rkey.to_owned()).collect();
        for key in keys {
            if self.dice.chance(0.1) {
                let json = records::social::reaction(&mut self.scene(at_us), LIKE);
                let record = Record { cid: cid::of_record(&json).into(), json: json.into() };
                self.cast.put(number, LIKE.into(), &key, Arc::new(record));
            }
        }
    }

    /// `#sync`, then a create for every record in the order of the tree, all with one revision: mostly that of the
    /// sync (jetstream README §4.5, atmos `sync/resync_worker.go`).
    fn retell(&mut self, number: u32, at_us: i64) {
        let (same, above) = (self.dice.chance(0.4), self.dice.chance(0.15));
        let account = self.cast.get(number);
        let rev = account.rev_of_resync(at_us, same);
        let creates = if above { account.rev(at_us) } else { rev.clone() };
        account.mark_restated();
        let did = Arc::clone(&account.did);
        let sync = self.sync(number, at_us, &rev);
        self.queue.push(at_us, Waiting::Event { did: Arc::clone(&did), what: sync });

        // All at once, or with other accounts' events between.
        let step = if self.dice.chance(0.3) { (self.gap_us * 1.5) as i64 + 1 } else { 0 };
        let account = self.cast.get(number);
        let mut until_us = at_us;
        for (kept, rkey) in account.repo.all() {
            until_us += step;
            let commit = Commit {
                rev: creates.as_str().into(),
                operation: Operation::Create,
                collection: kept.collection.clone(),
                rkey: rkey.into(),
                record: Some(Arc::clone(&kept.record)),
                resync: true,
            };
            self.queue.push(until_us, Waiting::Event { did: Arc::clone(&did), what: What::Commit(commit) });
        }
        self.cast.get(number).busy_until_us = until_us;
    }

    /// One in four is of the server's own making: inner number 0, no time, no blocks.
    fn sync(&mut self, number: u32, at_us: i64, rev: &str) -> What {
        let rev = rev.into();
        if self.dice.chance(0.25) {
            return What::Sync { rev, blocks: Box::default(), upstream: Upstream { seq: 0, time: Box::default() } };
        }
        let blocks = (0..self.dice.between(180, 260)).map(|_| self.dice.bits() as u8).collect();
        What::Sync { rev, blocks, upstream: self.upstream(number, at_us) }
    }

    fn stand(&mut self, number: u32, at_us: i64, standing: Standing) {
        let status = match standing {
            Standing::Active => None,
            Standing::Deactivated => Some("deactivated".into()),
            Standing::Deleted => Some("deleted".into()),
        };
        self.cast.get(number).standing = standing;
        let upstream = self.upstream(number, at_us);
        self.tell(number, at_us, What::Account { active: standing == Standing::Active, status, upstream });
    }

    fn tell(&mut self, number: u32, at_us: i64, what: What) {
        let did = Arc::clone(&self.cast.get(number).did);
        self.queue.push(at_us, Waiting::Event { did, what });
    }

    fn upstream(&mut self, number: u32, at_us: i64) -> Upstream {
        self.upstream_seq += 1;
        self.cast.get(number).upstream(at_us, self.upstream_seq)
    }
}
