//! Records that wait to be completed, in PostgreSQL: which do, for how long, and what a completion may change.

use crate::dlq::{NUL, fine};
use crate::rig::{Rig, change};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use turbo_core::hydrated::{Hydrated, Hydration, NOTHING};
use turbo_core::shard::Shard;
use turbo_worker::hydration::completer::{Completion, GivenUp, Queue as _, Waiting};
use turbo_worker::sinks::postgres::{Committer, Hydrations};

const HOUR: Duration = Duration::from_secs(3600);
const WORDS: &str = "SELECT rkey || ' ' || hydration || ' ' || coalesce(hydrated::text, '') FROM records ORDER BY rkey";

/// The slice of all but posts.
const REST: u16 = 1;

/// The queue of whoever holds what this one is told of.
fn queue(rig: &Rig) -> (Hydrations, watch::Sender<BTreeMap<Shard, u64>>) {
    let epochs = rig.owned.iter().map(|(shard, owned)| (*shard, owned.epoch())).collect();
    let (told, owned) = watch::channel(epochs);
    (Hydrations::new(rig.database.clone(), rig.slices.clone(), BTreeSet::from([REST]), owned), told)
}

/// A rig of which records wait under these keys.
async fn rig(rkeys: std::ops::Range<i64>) -> Option<Rig> {
    let mut rig = Rig::start(&[]).await?;
    let lines: Vec<String> = rkeys.map(|n| fine("a", &format!("{n:04}"), n)).collect();
    let mut entries: Vec<_> = lines.iter().flat_map(|line| rig.logging.event(&rig.slices, line)).collect();
    for numbered in &mut entries {
        numbered.entry.hydrated = Some(std::sync::Arc::new(NOTHING.clone()));
    }
    rig.commit(&entries).await;
    Some(rig)
}

fn completed(waiting: &Waiting, document: &str, waits: bool) -> Completion {
    let hydration = if waits { Hydration::Partial } else { Hydration::Full };
    let hydrated = Some(Arc::new(Hydrated { hydration, document: Some(document.into()) }));
    Completion { waiting: waiting.clone(), hydrated, waits }
}

#[tokio::test]
async fn a_letter_that_lands_waits_like_any_other_record() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let committer = Committer::new(rig.database.clone(), rig.slices.clone());
    rig.committer = committer.with_hydration(BTreeSet::from([REST]));
    rig.letter(change("a", "create", "1", 1, NUL), fine("a", "1", 1)).await;
    assert_eq!(rig.redrive_all().await.landed, 1);
    let waiting = queue(&rig).0.waiting(0, 10).await.unwrap();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert!(waiting[0].rkey == "1" && waiting[0].record.is_some(), "{waiting:?}");
}

#[tokio::test]
async fn what_waits_too_long_or_is_too_many_is_given_up_the_oldest_first() {
    let Some(rig) = rig(0..100).await else { return };
    let (queue, _told) = queue(&rig);
    assert_eq!(queue.give_up(HOUR, 300).await.unwrap().records, 0);
    // All are of one shard, which has a third of the whole: the slice has three, and no other looks anything up.
    let before = queue.waiting(0, 1000).await.unwrap();
    let given_up = queue.give_up(HOUR, 180).await.unwrap();
    assert_eq!(given_up, GivenUp { records: 40, last: [(before[39].shard, before[39].seq)].into() });
    let waiting = queue.waiting(0, 1000).await.unwrap();
    assert_eq!((waiting.len(), waiting[0].rkey.as_str()), (60, "0040"));
    sqlx::query("UPDATE hydration_queue SET queued_at = now() - interval '61 minutes' WHERE rkey < '0090'")
        .execute(&rig.pool)
        .await
        .unwrap();
    let (depth, age) = queue.depth().await.unwrap();
    assert!(depth == 60 && (3660.0..3700.0).contains(&age), "{depth} for {age} s");
    assert_eq!(queue.give_up(HOUR, 180).await.unwrap().records, 50);
    assert_eq!(queue.waiting(0, 1000).await.unwrap()[0].rkey, "0090");
    assert_eq!(rig.number("SELECT count(*) FROM records WHERE hydration = 'none'").await, 100, "they stay as they are");
}

#[tokio::test]
async fn a_completion_is_of_its_version_and_of_the_owner() {
    let Some(mut rig) = rig(0..4).await else { return };
    let (queue, told) = queue(&rig);
    let waiting = queue.waiting(0, 10).await.unwrap();
    // Meanwhile one is written anew, and one is deleted.
    rig.lines(&[change("a", "update", "0001", 9, "{}"), change("a", "delete", "0002", 9, "")]).await;
    let document = r#"{"version":1}"#;
    let mut completions: Vec<Completion> = waiting.iter().map(|one| completed(one, document, false)).collect();
    completions[3] = completed(&waiting[3], document, true);
    queue.complete(&completions).await.unwrap();
    let words = ["0000 full {\"version\": 1}", "0001 none ", "0003 partial {\"version\": 1}"];
    assert_eq!(rig.texts(WORDS).await, words);
    let left: Vec<String> = queue.waiting(0, 10).await.unwrap().into_iter().map(|one| one.rkey).collect();
    assert_eq!(left, ["0003"], "what is not complete goes on waiting");
    // Another has taken over: one that does not know it yet completes nothing.
    rig.taken_over().await;
    queue.complete(&[completed(&waiting[3], r#"{"version":2}"#, false)]).await.unwrap();
    assert_eq!(rig.texts(WORDS).await, words);
    told.send_replace(rig.owned.iter().map(|(shard, owned)| (*shard, owned.epoch())).collect());
    queue.complete(&[completed(&waiting[3], r#"{"version":2}"#, false)]).await.unwrap();
    assert_eq!(rig.texts(WORDS).await[2], "0003 full {\"version\": 2}");
    assert_eq!(rig.number("SELECT count(*) FROM hydration_queue").await, 0);
}
