use super::*;
use crate::log::{Content, Entry, Item};
use bytes::Bytes;
use std::time::Duration;
use turbo_core::shard::Shard;

fn batch(seq: u64, bytes: usize) -> Batch {
    let content = Content::Unreadable { bytes: Bytes::new(), reason: String::new() };
    let item = Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None, rejoined: false });
    let entry = Entry::new(seq, Shard { slice: 0, partition: 0 }, item);
    Batch { entries: vec![entry], bytes, ..Batch::default() }
}

async fn seqs(reader: &mut Reader, max: usize) -> (Vec<u64>, Room) {
    let (batch, room) = reader.next(max).await.unwrap();
    (batch.entries.iter().map(|entry| entry.seq).collect(), room)
}

#[tokio::test]
async fn order_is_kept_and_batches_are_bounded() {
    let (appender, mut reader) = log(1000);
    for seq in 1..=5 {
        appender.append(batch(seq, 10)).await.unwrap();
    }
    assert_eq!(seqs(&mut reader, 2).await.0, [1, 2]);
    assert_eq!(seqs(&mut reader, 2).await.0, [3, 4]);
    drop(appender);
    assert_eq!(seqs(&mut reader, 2).await.0, [5]);
    assert!(reader.next(2).await.is_none());
}

#[tokio::test]
async fn a_full_log_makes_the_appender_wait_until_the_commit() {
    let (appender, mut reader) = log(100);
    appender.append(batch(1, 60)).await.unwrap();
    let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(2, 60))).await;
    assert!(blocked.is_err());
    let (_, room) = seqs(&mut reader, 10).await;
    let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(2, 60))).await;
    assert!(blocked.is_err(), "given out is not committed");
    drop(room);
    appender.append(batch(2, 60)).await.unwrap();
    let (_, room) = seqs(&mut reader, 10).await;
    drop(room);
    appender.append(batch(3, 1_000_000)).await.unwrap();
    let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(4, 1))).await;
    assert!(blocked.is_err(), "larger than the log: it has the log for itself");
}

#[tokio::test]
async fn what_is_looked_through_ahead_keeps_its_order_its_room_and_its_end() {
    let (appender, reader) = log(100);
    let mut seen = 0;
    let mut reader = reader.ahead(move |entry| {
        seen += 1;
        assert_eq!(entry.seq, seen, "each in its turn");
    });
    for seq in 1..=5 {
        appender.append(batch(seq, 20)).await.unwrap();
    }
    let blocked = tokio::time::timeout(Duration::from_millis(20), appender.append(batch(6, 20))).await;
    assert!(blocked.is_err(), "looked through is not committed");
    let mut all = Vec::new();
    while all.len() < 5 {
        all.extend(seqs(&mut reader, 10).await.0);
    }
    appender.append(batch(6, 20)).await.unwrap();
    drop(appender);
    all.extend(seqs(&mut reader, 10).await.0);
    assert_eq!(all, [1, 2, 3, 4, 5, 6]);
    assert!(reader.next(10).await.is_none());
    assert!(reader.next(10).await.is_none());
}

#[tokio::test]
#[should_panic(expected = "broken")]
async fn a_panic_of_who_looks_ahead_is_no_end() {
    let (appender, reader) = log(100);
    let mut reader = reader.ahead(|entry| assert!(entry.seq < 2, "broken"));
    for seq in 1..=2 {
        appender.append(batch(seq, 20)).await.unwrap();
    }
    while reader.next(1).await.is_some() {}
}
