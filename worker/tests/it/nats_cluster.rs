//! The log on three NATS servers.

use crate::harness::{PATIENCE, eventually};
use crate::nats_log::{assert_both_whole, options, slices, two_writers};
use async_nats::ConnectOptions;
use std::time::Duration;
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Log, Options};

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_are_harmless_while_the_leader_is_killed() {
    let Some(nats) = Nats::options().cluster(3) else { return };
    let slices = slices();
    let options = Options { replicas: 3, ..options(&nats.url()) };
    let mut logs = Vec::new();
    for _ in 0..3 {
        logs.push(Log::open(&options, ConnectOptions::new()).await.unwrap());
    }
    let (Some(log), Ok(writers)) = (logs.pop(), <[Log; 2]>::try_from(logs)) else { panic!("three were opened") };
    let stream = log.names.stream().to_owned();
    let writing = tokio::spawn(two_writers(writers, slices.clone(), 150));
    let mut killed = 0;
    while !writing.is_finished() && killed < 3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let Some(leader) = nats.stream_leader(&stream) else { continue };
        nats.nodes()[leader].kill();
        killed += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
        nats.nodes()[leader].restart();
        nats.settle();
    }
    assert!(killed > 0, "the writers were done before a leader was killed");
    let acknowledged = writing.await.unwrap();
    assert_both_whole(&log, &slices, acknowledged).await;
}

/// A server that sees no leader tells what it holds itself: less than what was stored, if it lags.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_without_a_leader_tells_is_no_answer() {
    let Some(nats) = Nats::options().cluster(3) else { return };
    let options = Options { replicas: 3, ..options(&nats.url()) };
    let log = Log::open(&options, ConnectOptions::new()).await.unwrap();
    assert_eq!(log.end().await.unwrap(), Some(0));
    nats.nodes()[1..].iter().for_each(|node| node.kill());
    tokio::task::block_in_place(|| eventually(PATIENCE, "it leads nothing", || nats.leads_nothing(0)));
    for _ in 0..10 {
        let (end, info) = (log.end().await, log.info().await);
        assert!(end.is_err() && info.is_err(), "{end:?}, {info:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    nats.nodes()[1..].iter().for_each(|node| node.restart());
    nats.settle();
    let answered = async {
        while log.end().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answered).await.expect("there is a leader again");
}
