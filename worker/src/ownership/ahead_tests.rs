use super::*;
use crate::hydration::cache::Cache;
use crate::hydration::fetcher::Handle;
use crate::hydration::hydrator::Targets;
use crate::hydration::references::Target;
use crate::log::Content;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use turbo_core::position::GENERATION;
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};

const URI: &str = "at://did:plc:a/app.bsky.feed.post/k";
/// Source time of every event.
const TIME_US: i64 = 7;
/// Where the shards were claimed.
const POSITION: u64 = 10;

fn read(partition: u16, seq: u64, collection: &str, rkey: &str, record: &Value) -> Read {
    let commit = json!({"rev": "3l7", "operation": "create", "collection": collection, "rkey": rkey, "cid": "c",
                        "record": record});
    let line = json!({"did": "did:plc:a", "time_us": TIME_US, "kind": "commit", "commit": commit}).to_string();
    let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!("no event") };
    let (content, host) = (Content::Event(event), "a".into());
    let item = Item { content, host, marks: Vec::new(), trace: None, rejoined: false };
    let appended_ms = NonZeroU64::new(jiff::Timestamp::now().as_millisecond() as u64);
    let next = Ok(Some(Next::Message(Message { seq, number: 1, item: Some(item), position: None, appended_ms })));
    of(partition, next)
}

fn of(partition: u16, next: Result<Option<Next>, crate::log::nats::Error>) -> Read {
    let _room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let ahead = Ahead::of(&next, POSITION, None);
    Read { shard: Shard { slice: 0, partition }, epoch: 1, connection: 1, next, ahead, _room }
}

fn post(partition: u16, seq: u64, text: &str) -> Read {
    read(partition, seq, "app.bsky.feed.post", "k", &json!({"text": text}))
}

fn like(partition: u16, seq: u64) -> Read {
    read(partition, seq, "app.bsky.feed.like", "l", &json!({"subject": {"uri": URI, "cid": "c"}}))
}

/// What a like of the post was given: its text, or nothing.
fn shown(read: &Read) -> Value {
    let Ahead::Taken(Some(taken)) = &read.ahead else { panic!("nothing was put together: {:?}", read.ahead) };
    let Some(document) = &taken.hydrated.document else { return Value::Null };
    serde_json::from_str::<Value>(document).unwrap()["subject"]["post"]["record"]["text"].take()
}

fn hydrator() -> Hydrator {
    let cache = Arc::new(Cache::new(1 << 20));
    let targets = Targets::from([(Target::Subject, Duration::from_secs(600))]);
    Hydrator::new(cache.clone(), Handle::new(cache), vec![targets])
}

#[test]
fn what_is_new_teaches_and_what_is_read_again_or_may_have_been_had_does_not() {
    let hydrator = hydrator();
    let taken = |mut read: Read| {
        put_together(std::slice::from_mut(&mut read), Some(&hydrator));
        read
    };
    assert!(matches!(taken(post(0, POSITION - 1, "again")).ahead, Ahead::Taken(_)));
    assert_eq!(shown(&taken(like(0, 11))), Value::Null, "what is read again is older than what is known");
    assert!(matches!(taken(post(0, 12, "new")).ahead, Ahead::Taken(_)));
    assert_eq!(shown(&taken(like(0, 13))), "new");
    assert_eq!(shown(&taken(like(0, POSITION))), "new", "what lands again is given what is known by now");
    assert!(matches!(taken(post(0, GENERATION + 1, "had")).ahead, Ahead::Not), "the commit knows what was had");
    assert_eq!(shown(&taken(like(0, 14))), "new");
    let began_anew = |had_us| Ahead::of(&like(0, 15).next, POSITION, Some(had_us));
    assert!(matches!(began_anew(TIME_US), Ahead::Not) && matches!(began_anew(TIME_US - 1), Ahead::May { new: true }));
    assert!(matches!(taken(of(0, Ok(None))).ahead, Ahead::Not));
}

#[test]
fn what_may_have_been_had_is_left_to_the_commit_until_a_claim_is_well_behind_it() {
    let had = |time_us| Had { host: "a".into(), cursor: 1, time_us };
    assert_eq!(had_us(None, Some(7)), None);
    assert_eq!(had_us(Some(&had(None)), Some(i64::MAX)), Some(i64::MAX));
    assert_eq!(had_us(Some(&had(Some(7))), None), Some(i64::MAX));
    assert_eq!(had_us(Some(&had(Some(7))), Some(7 + WELL_BEHIND_US)), Some(i64::MAX));
    assert_eq!(had_us(Some(&had(Some(7))), Some(8 + WELL_BEHIND_US)), Some(7));
}

#[tokio::test]
async fn over_all_shards_it_goes_by_the_order_of_the_log_and_each_keeps_its_own() {
    let (to, from) = mpsc::channel(8);
    for read in [like(1, 12), like(1, 14), of(1, Ok(None)), of(0, Ok(None)), post(0, 13, "new"), post(0, 15, "newer")] {
        to.send(read).await.unwrap();
    }
    drop(to);
    let (mut batches, running) = ahead(from, 5, Some(hydrator()));
    let Batch { read, room } = batches.recv().await.unwrap();
    let order: Vec<_> =
        read.iter().map(|read| (read.shard.partition, read.message().map(|message| message.seq))).collect();
    assert_eq!(order, [(0, None), (1, Some(12)), (0, Some(13)), (1, Some(14)), (1, None)]);
    assert_eq!([shown(&read[1]), shown(&read[3])], [Value::Null, json!("new")]);
    assert!(room.num_permits() > 0, "the documents count");
    assert_eq!(batches.recv().await.unwrap().read.len(), 1, "at most so many at once");
    assert!(batches.recv().await.is_none());
    running.await.unwrap();
}

#[tokio::test]
async fn large_documents_go_on_in_parts_and_wait_for_those_before_them() {
    let long = "x".repeat(15 << 10);
    let (to, from) = mpsc::channel(4096);
    to.send(post(0, 11, &long)).await.unwrap();
    for seq in 12..4000 {
        to.send(like(0, seq)).await.unwrap();
    }
    drop(to);
    let (mut batches, _running) = ahead(from, 4096, Some(hydrator()));
    let (mut held, mut seqs) = (Vec::new(), Vec::new());
    while let Ok(batch) = tokio::time::timeout(Duration::from_millis(300), batches.recv()).await {
        let batch = batch.expect("there is more");
        assert!((DOCUMENTS_AT_ONCE..=DOCUMENTS_AT_ONCE + 20_000).contains(&batch.room.num_permits()));
        seqs.extend(batch.read.iter().filter_map(|read| read.message().map(|message| message.seq)));
        held.push(batch);
    }
    assert_eq!(held.len(), DOCUMENTS / DOCUMENTS_AT_ONCE - 1, "the next one has no room");
    while !held.is_empty() {
        held.remove(0);
        if let Some(batch) = batches.recv().await {
            seqs.extend(batch.read.iter().filter_map(|read| read.message().map(|message| message.seq)));
            held.push(batch);
        }
    }
    assert_eq!(seqs, (11..4000).collect::<Vec<u64>>());
}
