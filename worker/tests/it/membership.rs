//! Members and their planner on a real NATS server.

use async_nats::ConnectOptions;
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turbo_core::plan::{Plan, WorkerId};
use turbo_core::shard::Shard;
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Log, Options};
use turbo_worker::ownership::{Board, Member, Planner, View};

const LIMIT: Duration = Duration::from_millis(2500);

fn shards() -> BTreeMap<Shard, u64> {
    (0..8).map(|partition| (Shard { slice: 0, partition }, 1)).collect()
}

fn options(nats: &Nats) -> Options {
    Options {
        url: nats.url(),
        namespace: "test".into(),
        pipeline: "bluesky".into(),
        slices: "rest".into(),
        replicas: 1,
        max_bytes: 1 << 20,
    }
}

async fn open(nats: &Nats) -> Log {
    Log::open(&options(nats), ConnectOptions::new()).await.unwrap()
}

/// A worker that does nothing but announce itself and plan.
fn member(log: Log, name: &str) -> JoinHandle<()> {
    let me = WorkerId::from(name);
    tokio::spawn(async move {
        let mut board = Board::new(log.clone(), me.clone(), LIMIT);
        let mut planner = Planner::new(log, &me, LIMIT);
        loop {
            board.beat(Bytes::from_static(b"{}")).await.unwrap();
            board.look().await.unwrap();
            planner.step(&board, &shards()).await.unwrap();
            tokio::time::sleep(LIMIT / 8).await;
        }
    })
}

/// The plan, once it names exactly these workers.
async fn planned(board: &mut Board, workers: &[&str]) -> Plan {
    let wanted: BTreeSet<WorkerId> = workers.iter().map(|name| WorkerId::from(*name)).collect();
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            board.look().await.unwrap();
            let (plan, _) = board.plan();
            if plan.workers().map(|(worker, _)| worker.clone()).collect::<BTreeSet<_>>() == wanted {
                return plan.clone();
            }
            tokio::time::sleep(LIMIT / 10).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("no plan for {workers:?}: {:?}", board.plan()))
}

fn assert_balanced(plan: &Plan) {
    let counts: Vec<usize> = plan.workers().map(|(_, shards)| shards.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 8, "{plan:?}");
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{plan:?}");
}

#[tokio::test]
async fn the_plan_follows_who_lives_whoever_plans() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let mut watching = Board::new(log.clone(), WorkerId::from("watching"), LIMIT);
    let mut members = BTreeMap::new();
    let mut expected = Vec::new();
    let mut before = Plan::default();
    for name in ["a", "b", "c"] {
        members.insert(name, member(open(&nats).await, name));
        expected.push(name);
        let plan = planned(&mut watching, &expected).await;
        assert_balanced(&plan);
        assert!(plan.number() > before.number());
        before = plan;
    }
    // One stops without a word: maybe the planner.
    for name in ["a", "b"] {
        members.remove(name).unwrap().abort();
        expected.retain(|other| *other != name);
        let plan = planned(&mut watching, &expected).await;
        assert_balanced(&plan);
        for (worker, shards) in before.workers().filter(|(worker, _)| expected.contains(&worker.as_str())) {
            assert!(plan.shards_of(worker).unwrap().is_superset(shards), "what stays moves nothing");
        }
        before = plan;
    }
    // Nothing changes without a cause.
    tokio::time::sleep(LIMIT).await;
    watching.look().await.unwrap();
    assert_eq!(*watching.plan().0, before);
}

#[tokio::test]
async fn one_that_leaves_is_not_waited_for() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let mut watching = Board::new(log.clone(), WorkerId::from("watching"), Duration::from_secs(600));
    let mut planner = Planner::new(log.clone(), &WorkerId::from("watching"), LIMIT);
    let mut guest = Board::new(log, WorkerId::from("guest"), LIMIT);
    guest.beat(Bytes::new()).await.unwrap();
    for (leaves, workers) in [(false, vec!["guest"]), (true, vec![])] {
        if leaves {
            guest.leave().await.unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..1000 {
            watching.look().await.unwrap();
            assert!(planner.step(&watching, &shards()).await.unwrap());
            seen = watching.plan().0.workers().map(|(worker, _)| worker.to_string()).collect();
            if seen == workers {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(seen, workers);
    }
}

#[tokio::test]
async fn an_observer_that_did_not_look_takes_nobody_for_gone() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let mut board = Board::new(log.clone(), WorkerId::from("a"), LIMIT);
    let mut other = Board::new(log, WorkerId::from("b"), LIMIT);
    other.beat(Bytes::new()).await.unwrap();
    let mut seen = 0;
    for _ in 0..1000 {
        board.look().await.unwrap();
        seen = board.live().map_or(0, |live| live.len());
        if seen == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(seen, 1);
    // Nobody looks for three times the limit, as while the observer is stopped: that is no reason to call `b` gone.
    tokio::time::sleep(3 * LIMIT).await;
    board.look().await.unwrap();
    assert!(!board.gone(&WorkerId::from("b")));
    for _ in 0..10 {
        tokio::time::sleep(LIMIT / 6).await;
        board.look().await.unwrap();
    }
    assert!(board.gone(&WorkerId::from("b")), "silent while it was watched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_for_a_while_moves_no_shard() {
    let Some(nats) = Nats::start() else { return };
    let stop = CancellationToken::new();
    let mut members = Vec::new();
    for name in ["a", "b"] {
        let report = Box::new(|| Bytes::from_static(b"{}"));
        let member = Member::new(&open(&nats).await, &WorkerId::from(name), shards(), "catalog", LIMIT, report);
        let (to, view) = watch::channel(View::default());
        members.push((tokio::spawn(member.run(to, stop.clone())), view));
    }
    let mut watching = Board::new(open(&nats).await, WorkerId::from("watching"), LIMIT);
    let before = planned(&mut watching, &["a", "b"]).await;
    nats.pause();
    tokio::time::sleep(3 * LIMIT).await;
    nats.resume();
    // Long enough for a wrong judgement to show.
    tokio::time::sleep(2 * LIMIT).await;
    watching.look().await.unwrap();
    assert_eq!(*watching.plan().0, before);
    stop.cancel();
    for (member, _) in members {
        member.await.unwrap();
    }
}

#[tokio::test]
async fn a_bucket_in_the_place_of_another_is_seen_and_has_the_plan() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let mut watching = Board::new(log.clone(), WorkerId::from("watching"), LIMIT);
    let lives = |log: &Log, name: &str| {
        let me = WorkerId::from(name);
        let member = Member::new(log, &me, shards(), "catalog", LIMIT, Box::new(|| Bytes::from_static(b"{}")));
        tokio::spawn(member.run(watch::channel(View::default()).0, CancellationToken::new()))
    };
    let _first = lives(&open(&nats).await, "a");
    let before = planned(&mut watching, &["a"]).await;
    // The sequences of the first one are far ahead of what the second one will ever have here.
    for n in 0..3000 {
        log.bucket.put("much", n.to_string().into()).await.unwrap();
    }
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    context.delete_stream("KV_tp_test_bluesky").await.unwrap();
    let again = open(&nats).await;
    let mut fresh = Board::new(again.clone(), WorkerId::from("fresh"), LIMIT);
    let plan = planned(&mut fresh, &["a"]).await;
    assert_eq!(plan, before, "it is the same plan: nothing moves");
    let _second = lives(&again, "b");
    assert_balanced(&planned(&mut watching, &["a", "b"]).await);
    assert_balanced(&planned(&mut fresh, &["a", "b"]).await);
}

#[tokio::test]
async fn a_watch_that_stands_still_begins_anew() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let mut watching = Board::new(log.clone(), WorkerId::from("watching"), LIMIT);
    let first = member(open(&nats).await, "a");
    planned(&mut watching, &["a"]).await;
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let bucket = context.get_stream("KV_tp_test_bluesky").await.unwrap();
    let watches: Vec<String> = bucket.consumer_names().try_collect().await.unwrap();
    let now = async_nats::datetime::now();
    let later = async_nats::datetime::add_std_duration(now, Duration::from_secs(3600)).unwrap();
    for watch in &watches {
        bucket.pause_consumer(watch, later).await.unwrap();
    }
    // The one that plans does not see the other until its watch begins anew.
    let second = member(open(&nats).await, "b");
    let mut fresh = Board::new(log, WorkerId::from("fresh"), LIMIT);
    assert_balanced(&planned(&mut fresh, &["a", "b"]).await);
    assert!(!watches.is_empty());
    first.abort();
    second.abort();
}

/// A stream may bear the name of the bucket, and be somebody's.
#[tokio::test]
async fn a_stream_of_another_in_the_place_of_the_bucket_is_left_alone() {
    let Some(nats) = Nats::start() else { return };
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let theirs = async_nats::jetstream::stream::Config {
        name: "KV_tp_test_bluesky".into(),
        subjects: vec!["baz.>".into()],
        ..Default::default()
    };
    let mut stream = context.create_stream(theirs).await.unwrap();
    for text in ["one", "two"] {
        context.publish("baz.x", text.into()).await.unwrap().await.unwrap();
    }
    let said = Log::open(&options(&nats), ConnectOptions::new()).await.err().unwrap().to_string();
    assert!(said.starts_with("metadata.name: test/bluesky: ") && said.contains("KV_tp_test_bluesky"), "{said}");
    let info = stream.info().await.unwrap();
    assert_eq!((info.state.messages, &info.config.subjects), (2, &vec!["baz.>".to_owned()]));
}
