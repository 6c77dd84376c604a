//! The reader of a shard on a real NATS server: it goes on, whatever happens to the server, its messages and its consumers.

use crate::nats_log::{append, open, read, slices};
use futures_util::TryStreamExt;
use std::time::Duration;
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Behind, Next, Writer};

#[tokio::test]
async fn only_what_the_leader_does_not_have_is_missing() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer, &slices, 0, 0, 200).await;
    let all = read(&log, &slices, u64::MAX).await;
    let shard = all[50].1;
    let of: Vec<(u64, u64)> = all.iter().filter(|(_, s, ..)| *s == shard).map(|(seq, _, n, _)| (*seq, *n)).collect();
    let stream = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = stream.get_stream(log.names.stream()).await.unwrap();
    for (seq, _) in &of[5..8] {
        stream.delete_message(*seq).await.unwrap();
    }
    let mut reader = log.shard(&slices, shard, log.behind(of[1].0).await.unwrap());
    let mut seen = Vec::new();
    let mut missing = Vec::new();
    while seen.last() != of.last() {
        match reader.next().await.unwrap() {
            Next::Message(message) => seen.push((message.seq, message.number)),
            Next::Missing { from, to } => missing.push((from, to)),
            Next::WentBack { .. } => panic!("it does not go back"),
        }
    }
    assert_eq!(missing, [(of[5].1, of[7].1)]);
    assert_eq!(seen, [&of[2..5], &of[8..]].concat());
}

#[tokio::test]
async fn a_reader_goes_on_over_a_restart_of_the_server() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let shard = slices.of_record("did:plc:0", "x.y.z");
    let mut reader = log.shard(&slices, shard, Behind { seq: 0, number: Some(0) });
    let mut last = 0;
    for from in (0..600).step_by(200) {
        append(&mut writer, &slices, 0, from, from + 200).await;
        let upto = log.tail(&slices).await.unwrap().numbers[&shard];
        while last < upto {
            let Next::Message(message) = reader.next().await.unwrap() else { panic!("nothing is missing") };
            assert_eq!(message.number, last + 1);
            last = message.number;
        }
        nats.kill();
        nats.restart();
    }
}

#[tokio::test]
async fn a_reader_whose_consumer_stands_still_goes_on() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let shard = slices.of_record("did:plc:0", "x.y.z");
    let mut reader = log.shard(&slices, shard, Behind { seq: 0, number: Some(0) });
    append(&mut writer, &slices, 0, 0, 200).await;
    let upto = log.tail(&slices).await.unwrap().numbers[&shard];
    for number in 1..=upto {
        assert!(matches!(reader.next().await.unwrap(), Next::Message(message) if message.number == number));
    }
    // As after a pull that was lost: the server has what comes next, and gives it to nobody.
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = context.get_stream("tp_test_bluesky").await.unwrap();
    let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
    let now = async_nats::datetime::now();
    let later = async_nats::datetime::add_std_duration(now, Duration::from_secs(3600)).unwrap();
    for consumer in &consumers {
        stream.pause_consumer(consumer, later).await.unwrap();
    }
    append(&mut writer, &slices, 0, 200, 400).await;
    let next = tokio::time::timeout(Duration::from_secs(60), reader.next()).await.expect("it is read anew").unwrap();
    assert!(matches!(next, Next::Message(message) if message.number == upto + 1));
    assert!(!consumers.is_empty());
}
