//! Commits that are given up in the middle, as by a limit of time: what is known afterwards, and what the pool gives.

use crate::postgres::go_on;
use crate::rig::{Rig, change_in};
use std::time::Duration;
use turbo_worker::log::Numbered;
use turbo_worker::sinks::postgres::CommitError;

#[tokio::test]
async fn no_connection_is_out_of_step_and_every_entry_lands_once() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    for round in 0..60u32 {
        let like =
            |n: u32| change_in("app.bsky.feed.like", "a", "create", &n.to_string(), i64::from(round * 200 + n), "{}");
        let entries: Vec<Numbered> = (0..200).flat_map(|n| rig.logging.event(&rig.slices, &like(n))).collect();
        let (shard, last) = entries.last().map(|last| (last.entry.shard, last.entry.seq)).unwrap();
        let limit = Duration::from_micros(u64::from(300 * round));
        let _ = tokio::time::timeout(limit, rig.committer.commit(&rig.owned, &entries)).await;
        loop {
            // What was given up may still be on its way: it lands before this, or is fenced by it.
            rig.owned = go_on(&rig.database, &rig.slices, std::mem::take(&mut rig.owned)).await;
            if rig.owned[&shard].position() == last {
                break;
            }
            match rig.committer.commit(&rig.owned, &entries).await {
                Ok(_) | Err(CommitError::Fenced(_)) => {}
                Err(error) => panic!("round {round}: {error}"),
            }
        }
    }
    assert_eq!(rig.number("SELECT sum(entries)::bigint FROM counters").await, 60 * 200);
    let current = "SELECT count(*) FROM records r JOIN likes l USING (did, rkey, rev, seq) WHERE r.seq > 59 * 200";
    assert_eq!(rig.number(current).await, 200);
}
