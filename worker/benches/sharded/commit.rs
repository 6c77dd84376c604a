//! The commit against a bare COPY and merge of the same rows, in batches of the same size, over one connection each.

use crate::bare_commit;
use crate::stage::postgres;
use crate::work::Work;
use std::collections::BTreeMap;
use std::time::Instant;
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::shard::{Shard, Slices};
use turbo_worker::sinks::postgres::{Committer, Database, Seen, Wanted};

/// Entries in a commit: as many as a worker that is behind takes.
pub(crate) const BATCH: usize = 2048;

/// Events a second.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) ours: f64,
    pub(crate) bare: f64,
}

/// A database with the schema and the rows of its shards.
pub(crate) async fn database(url: &str, slices: &Slices) -> Database {
    let database = Database::open(url, 1).unwrap();
    database.migrate().await.unwrap();
    database.introduce("default/bench", "default", slices, Vec::new(), None, true).await.unwrap();
    database
}

async fn ours(work: &Work) -> f64 {
    let postgres = postgres();
    let database = database(&postgres.url(), &work.slices).await;
    let me = WorkerId::from("bench");
    let mut owned = BTreeMap::<Shard, Owned>::new();
    for shard in work.slices.shards() {
        let claimed =
            database.claim(&work.slices, shard, &me, Seen::default(), &[], &Wanted::default()).await.unwrap().unwrap();
        owned.insert(shard, claimed.owned);
    }
    let committer = Committer::new(database.clone(), work.slices.clone());
    let began = Instant::now();
    for batch in work.entries.chunks(BATCH) {
        let committed = committer.commit(&owned, batch).await.unwrap();
        for (shard, totals) in committed.shards {
            let mine = owned.remove(&shard).unwrap();
            let row = Row { epoch: mine.epoch(), owner: None, position: totals.position };
            owned.insert(shard, mine.go_on(&row).unwrap());
        }
    }
    let rate = work.rate(began.elapsed());
    database.close().await;
    rate
}

/// One turn of each.
pub(crate) async fn turn(work: &Work) -> Rates {
    let (ours, bare) = (ours(work).await, bare_commit::run(work).await);
    println!("  commit: turbo {ours:.0}/s, bare COPY and merge {bare:.0}/s");
    Rates { ours, bare }
}
