//! The log on a real NATS server: what is written is read, once and in order, whatever is cut, killed or doubled.

use async_nats::ConnectOptions;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::shard::{Shard, Slice, Slices};
use turbo_core::window::{Passed, Window};
use turbo_core::wire::{Frame, decode};
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Behind, Error, Lease, Log, Next, Options, Tail, Writer};
use turbo_worker::log::{Content, Entry, Item};

pub fn slices() -> Arc<Slices> {
    let posts = Slice { name: "posts".into(), collections: Some(vec!["a.b.c".into()]), partitions: 2 };
    let rest = Slice { name: "rest".into(), collections: None, partitions: 3 };
    Arc::new(Slices::new(vec![posts, rest]).unwrap())
}

pub fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        namespace: "test".into(),
        pipeline: "bluesky".into(),
        slices: "posts rest".into(),
        replicas: 1,
        max_bytes: 1 << 30,
    }
}

pub async fn open(nats: &Nats) -> Log {
    Log::open(&options(&nats.url()), ConnectOptions::new()).await.unwrap()
}

/// The n-th event of writer `by`: mostly records, now and then one of the whole repository.
pub fn event(by: u64, n: u64) -> Box<Event> {
    let time_us = 1_783_175_888_000_000 + n as i64 * 1000;
    let rev = turbo_core::tid::encode(time_us, by as u16);
    let collection = if n.is_multiple_of(3) { "a.b.c" } else { "x.y.z" };
    let did = format!("did:plc:{}", n % 11);
    let line = if n % 17 == 5 {
        format!(r#"{{"did":"{did}","time_us":{time_us},"kind":"identity","identity":{{"time":"{by}-{n}"}}}}"#)
    } else {
        format!(
            r#"{{"did":"{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"{collection}","rkey":"{by}-{n}","record":{{"n":{n}}},"cid":"c"}}}}"#
        )
    };
    let Ok(Frame::Event(mut event)) = decode(&line.into()) else { panic!("no event") };
    event.cursor = Some(n);
    event
}

/// What an ingester does with events: entries for a writer that goes on behind `seq`.
pub fn entries(
    slices: &Slices,
    window: &mut Window,
    events: impl Iterator<Item = Box<Event>>,
    mut seq: u64,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut passed = Passed::new(true);
    for event in events {
        let shards: Vec<Shard> = match &event.body {
            turbo_core::event::Body::Commit(commit) => vec![slices.of_record(&event.key, &commit.collection)],
            _ => slices.of_repository(&event.key).collect(),
        };
        let id = window.id(&event, EventId::of(&event), &mut passed);
        let marks = window.take(&event, id, i64::MAX);
        let item = Arc::new(Item {
            content: Content::Event(event),
            host: "host:1".into(),
            marks,
            trace: None,
            rejoined: false,
        });
        for shard in shards {
            seq += 1;
            entries.push(Entry::new(seq, shard, item.clone()));
        }
    }
    entries
}

/// Appends the events `from..to` of writer `by`.
pub async fn append(writer: &mut Writer, slices: &Slices, by: u64, from: u64, to: u64) {
    let entries = entries(slices, &mut Window::new(), (from..to).map(|n| event(by, n)), writer.last_seq());
    writer.append(&entries, |why| eprintln!("{why}")).await.unwrap();
}

/// Everything that a shard's log holds up to sequence `upto`: sequence, number, event.
pub async fn read(log: &Log, slices: &Slices, upto: u64) -> Vec<(u64, Shard, u64, Event)> {
    let mut all = Vec::new();
    for shard in slices.shards() {
        let mut reader = log.shard(slices, shard, Behind { seq: 0, number: Some(0) });
        let (mut seq, last) = (0, log.last_of(slices, shard).await.unwrap());
        while seq < last {
            let Next::Message(message) = reader.next().await.unwrap() else { panic!("nothing is missing") };
            seq = message.seq;
            let event = message.item.unwrap().event().unwrap().clone();
            all.push((message.seq, shard, message.number, event));
        }
    }
    all.retain(|(seq, ..)| *seq <= upto);
    all.sort_by_key(|(seq, ..)| *seq);
    all
}

fn assert_contiguous(all: &[(u64, Shard, u64, Event)]) {
    let mut numbers = HashMap::new();
    for ((seq, shard, number, _), expected) in all.iter().zip(1u64..) {
        assert_eq!(*seq, expected, "the log has no hole");
        let last = numbers.insert(*shard, *number).unwrap_or(0);
        assert_eq!(*number, last + 1, "{shard:?} has no hole");
    }
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_the_tail_tells_it_all() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let tail = log.tail(&slices).await.unwrap();
    assert_eq!((tail.last_seq, tail.position, tail.window.len()), (0, None, 0));
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut window = Window::new();
    let mut sent = Vec::new();
    for (from, to) in [(0, 1), (1, 3), (3, 800), (800, 1500)] {
        let part = entries(&slices, &mut window, (from..to).map(|n| event(0, n)), writer.last_seq());
        writer.append(&part, |why| panic!("{why}")).await.unwrap();
        sent.extend(part);
    }
    let all = read(&log, &slices, u64::MAX).await;
    assert_contiguous(&all);
    assert_eq!(all.len(), sent.len());
    for ((seq, shard, _, came), sent) in all.iter().zip(&sent) {
        assert_eq!((*seq, *shard, came), (sent.seq, sent.shard, sent.item.event().unwrap()));
    }
    let Tail { last_seq, position, rejoined, numbers, window: loaded, .. } = log.tail(&slices).await.unwrap();
    assert_eq!((last_seq, rejoined), (sent.len() as u64, false));
    let last = event(0, 1499);
    let position = position.unwrap();
    assert_eq!((&*position.host, position.cursor, position.id), ("host:1", Some(1499), EventId::of(&last)));
    assert_eq!(position.time_us, last.time_us);
    for shard in slices.shards() {
        let last = all.iter().filter(|(_, of, ..)| *of == shard).map(|(_, _, number, _)| *number).max();
        assert_eq!(numbers.get(&shard).copied(), last);
    }
    assert_eq!(
        (loaded.len(), loaded.oldest_us(), loaded.span_us()),
        (window.len(), window.oldest_us(), window.span_us())
    );
    for n in 0..1500 {
        assert!(loaded.contains(EventId::of(&event(0, n))), "{n}");
    }
    // A marker moves the position, and is no shard's.
    let mut moved = position.clone();
    moved.cursor = Some(1600);
    for cursor in [1550, 1600] {
        moved.cursor = Some(cursor);
        writer.mark(moved.clone(), cursor == 1600, |why| panic!("{why}")).await.unwrap();
    }
    let tail = log.tail(&slices).await.unwrap();
    assert_eq!((tail.last_seq, tail.position.clone(), tail.window.len()), (last_seq + 2, Some(moved), 1500));
    assert!(tail.rejoined, "a marker tells it too");
    assert_eq!(log.info().await.unwrap().state.messages, last_seq + 1, "of markers only the last stays");
    let mut writer = Writer::new(log.clone(), slices.clone(), &tail);
    append(&mut writer, &slices, 0, 1500, 1510).await;
}

/// Two writers that never give up: each reads the tail after a refusal. Returns what each had acknowledged.
pub async fn two_writers(logs: [Log; 2], slices: Arc<Slices>, batches: u64) -> u64 {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let tasks = logs.into_iter().zip(1u64..).map(|(log, by)| {
        let (slices, acknowledged) = (slices.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let mut writer = Writer::new(log.clone(), slices.clone(), &tail(&log, &slices).await);
            let mut n = 0;
            for batch in 0..batches {
                let size = 1 + (batch * 37 + by * 11) % 120;
                loop {
                    let events = (n..n + size).map(|n| event(by, n));
                    let entries = entries(&slices, &mut Window::new(), events, writer.last_seq());
                    if writer.append(&entries, |_| {}).await.is_ok() {
                        acknowledged.fetch_add(entries.len() as u64, Ordering::Relaxed);
                        break;
                    }
                    writer = Writer::new(log.clone(), slices.clone(), &tail(&log, &slices).await);
                }
                n += size;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    acknowledged.load(Ordering::Relaxed)
}

/// The tail, asked for until a server answers.
pub async fn tail(log: &Log, slices: &Slices) -> Tail {
    loop {
        match log.tail(slices).await {
            Ok(tail) => return tail,
            Err(error) => eprintln!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every event of both writers once, those of one batch side by side, and nothing else.
pub async fn assert_both_whole(log: &Log, slices: &Slices, acknowledged: u64) {
    let all = read(log, slices, u64::MAX).await;
    assert_contiguous(&all);
    assert_eq!(all.len() as u64, acknowledged);
    for by in ["1-", "2-"] {
        let of = |event: &Event| match &event.body {
            turbo_core::event::Body::Commit(commit) => commit.rkey.to_string(),
            turbo_core::event::Body::Identity { time, .. } => time.to_string(),
            _ => String::new(),
        };
        let mut mine: Vec<String> = all.iter().map(|(.., event)| of(event)).filter(|id| id.starts_with(by)).collect();
        mine.dedup();
        let numbers: Vec<u64> = mine.iter().map(|id| id[2..].parse().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "in order, each once");
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_whole() {
    let Some(nats) = Nats::start() else { return };
    let slices = slices();
    let logs = [open(&nats).await, open(&nats).await];
    let log = logs[0].clone();
    let acknowledged = two_writers(logs, slices.clone(), 40).await;
    assert_both_whole(&log, &slices, acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_doubles_and_loses_nothing() {
    let Some(nats) = Nats::start() else { return };
    let slices = slices();
    let logs = [open(&nats).await, open(&nats).await];
    let log = logs[0].clone();
    let writing = tokio::spawn(two_writers(logs, slices.clone(), 150));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        nats.kill();
        nats.restart();
    }
    let acknowledged = writing.await.unwrap();
    assert_both_whole(&log, &slices, acknowledged).await;
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_and_nothing_is_written_twice() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer, &slices, 0, 0, 10).await;
    // The server takes what is sent, and answers long after the writer has given up.
    nats.pause();
    let resumed = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        nats.resume();
    };
    tokio::join!(append(&mut writer, &slices, 0, 10, 60), resumed);
    append(&mut writer, &slices, 0, 60, 70).await;
    let all = read(&log, &slices, u64::MAX).await;
    assert_contiguous(&all);
    assert_eq!(all.len() as u64, writer.last_seq());
    assert_eq!(log.tail(&slices).await.unwrap().position.unwrap().cursor, Some(69));
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_a_purge_makes_room() {
    let Some(nats) = Nats::start() else { return };
    let slices = slices();
    let small = Options { max_bytes: 200_000, ..options(&nats.url()) };
    let log = Log::open(&small, ConnectOptions::new()).await.unwrap();
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let told = AtomicU64::new(0);
    let filling = async {
        for from in (0..2000).step_by(100) {
            let entries =
                entries(&slices, &mut Window::new(), (from..from + 100).map(|n| event(0, n)), writer.last_seq());
            let told = |why: &str| {
                assert!(why.contains("the log is full"), "{why}");
                told.fetch_add(1, Ordering::Relaxed);
            };
            writer.append(&entries, told).await.unwrap();
        }
    };
    let purging = async {
        // What has been read up to some place is purged while the writer waits; each shard keeps its last message.
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if told.load(Ordering::Relaxed) > 0 {
                for shard in slices.shards() {
                    log.purge(&slices, shard, u64::MAX).await.unwrap();
                }
            }
        }
    };
    tokio::select! {
        () = filling => {}
        () = purging => {}
    }
    assert!(told.load(Ordering::Relaxed) > 0);
    let tail = log.tail(&slices).await.unwrap();
    assert_eq!(tail.last_seq, writer.last_seq());
    assert_eq!(tail.numbers.len(), 5, "every shard keeps its last number");
}

#[tokio::test]
async fn one_holder_has_the_lease_and_a_stopped_one_loses_it() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let term = Duration::from_secs(2);
    let mut one = Lease::new(log.clone(), "lease.ingest", "one", term);
    let mut two = Lease::new(log.clone(), "lease.ingest", "two", term);
    for _ in 0..10 {
        assert!(one.keep().await.unwrap());
        assert!(!two.keep().await.unwrap(), "it is renewed");
        tokio::time::sleep(term / 20).await;
    }
    // `one` stops for longer than the term.
    assert!(!two.keep().await.unwrap(), "not before the term is over");
    while !two.keep().await.unwrap() {
        tokio::time::sleep(term / 10).await;
    }
    assert!(!one.keep().await.unwrap(), "it finds that it has lost it");
    two.release().await.unwrap();
    assert!(one.keep().await.unwrap(), "what is given back is free at once");
}

#[tokio::test]
async fn what_can_not_be_used_is_refused_with_its_mend() {
    let Some(nats) = Nats::start() else { return };
    let log = open(&nats).await;
    let refused = |options: Options| async move {
        Log::open(&options, ConnectOptions::new()).await.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let options = options(&nats.url());
    let other = Options { slices: "posts(3)".into(), ..options.clone() };
    let said = refused(other).await;
    assert!(said.starts_with("spec.slices: posts(3) does not fit") && said.contains("made with posts rest;"), "{said}");
    // Limits are brought up to date, and asked for again do no harm.
    let more = Options { max_bytes: 2 << 30, ..options.clone() };
    Log::open(&more, ConnectOptions::new()).await.unwrap();
    assert_eq!(log.info().await.unwrap().config.max_bytes, 2 << 30);
    // Servers before 2.15 take three copies alone; more than five is refused by all.
    let said = refused(Options { replicas: 6, ..options.clone() }).await;
    assert!(said.contains("spec.log.nats.stream: tp_test_bluesky can not be made so"), "{said}");
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let theirs = async_nats::jetstream::stream::Config {
        name: "theirs".into(),
        subjects: vec!["tp.other.>".into()],
        ..Default::default()
    };
    context.create_stream(theirs).await.unwrap();
    let said = refused(Options { namespace: "other".into(), ..options.clone() }).await;
    assert!(said.contains("another stream takes its subjects"), "{said}");
    for (owner, whose) in [(None, "is there, and no pipeline's"), (Some("one/two"), "is of the pipeline one/two")] {
        let metadata = owner.map(|owner| ("turbopipeline.dev/pipeline".to_owned(), owner.to_owned()));
        let strangers = async_nats::jetstream::stream::Config {
            name: "tp_strangers_bluesky".into(),
            metadata: metadata.into_iter().collect(),
            ..Default::default()
        };
        context.create_stream(strangers).await.unwrap();
        let said = refused(Options { namespace: "strangers".into(), ..options.clone() }).await;
        assert!(said.starts_with("metadata.name: strangers/bluesky: ") && said.contains(whose), "{said}");
        assert!(said.contains("give the pipeline another name or namespace"), "{said}");
        context.delete_stream("tp_strangers_bluesky").await.unwrap();
    }
    let said = refused(Options { url: "nats://user:secret@127.0.0.1:1".into(), ..options }).await;
    assert!(said.contains("spec.log.nats.url: nats://127.0.0.1:1: ") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_stream_that_has_no_room_says_how_much_it_asks_for() {
    let Some(nats) = Nats::options().jetstream("max_file_store: 64MB").start() else { return };
    let said = Log::open(&options(&nats.url()), ConnectOptions::new()).await.err().unwrap().to_string();
    assert!(said.starts_with("spec.log.nats.stream.maxBytes: 1Gi is more than NATS has room for"), "{said}");
    assert!(said.contains("max_file_store"), "{said}");
}

/// A server looks for room before it sees that the stream is there.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_start_at_once_need_the_room_for_the_stream_once() {
    let Some(nats) = Nats::options().jetstream("max_file_store: 64MB").start() else { return };
    let options = Options { max_bytes: 40 << 20, ..options(&nats.url()) };
    let opening = (0..16).map(|_| Log::open(&options, ConnectOptions::new()));
    for opened in futures_util::future::join_all(opening).await {
        opened.unwrap();
    }
}

#[tokio::test]
async fn a_server_without_jetstream_is_told() {
    let Some(nats) = Nats::without_jetstream() else { return };
    let error = Log::open(&options(&nats.url()), ConnectOptions::new()).await.err().unwrap();
    assert!(matches!(error, Error::NoJetStream(_)), "{error}");
}

/// On one server and on three: what was seen of the server's purge, on which a log that is begun anew builds.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_begun_anew_goes_forward_only_however_late_it_is_asked_for() {
    let (Some(one), Some(three)) = (Nats::start(), Nats::options().cluster(3)) else { return };
    for (url, replicas) in [(one.url(), 1), (three.url(), 3)] {
        let log = Log::open(&Options { replicas, ..options(&url) }, ConnectOptions::new()).await.unwrap();
        let slices = slices();
        let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
        append(&mut writer, &slices, 1, 0, 20).await;
        let end = log.end().await.unwrap();
        log.begin_anew(500, end).await.unwrap();
        let first = 1u64 << 40;
        assert_eq!(log.end().await.unwrap(), Some(first - 1));
        let tail = log.tail(&slices).await.unwrap();
        assert!(tail.position.is_none() && tail.numbers.is_empty(), "numbers begin anew");
        let mut writer = Writer::new(log.clone(), slices.clone(), &tail);
        append(&mut writer, &slices, 2, 0, 20).await;
        let end = log.end().await.unwrap();
        assert!(end > Some(first));
        // One that was paused since before asks for the same.
        log.begin_anew(500, Some(20)).await.unwrap();
        assert_eq!(log.end().await.unwrap(), end);
        assert_eq!(log.info().await.unwrap().state.first_sequence, first, "and nothing is gone");
    }
}

#[tokio::test]
async fn the_log_says_whether_it_has_an_event_between_two_sequences() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut part = entries(&slices, &mut Window::new(), (0..60).map(|n| event(0, n)), 0);
    let shard = part[0].shard;
    let mine: Vec<usize> = (0..part.len()).filter(|at| part[*at].shard == shard).collect();
    // The third to the fifth of the shard are no events.
    for at in &mine[2..5] {
        let content = Content::Unreadable { bytes: "?".into(), reason: "no JSON".into() };
        part[*at].item =
            Arc::new(Item { content, host: "host:1".into(), marks: Vec::new(), trace: None, rejoined: false });
    }
    writer.append(&part, |why| panic!("{why}")).await.unwrap();
    let seqs: Vec<u64> = mine.iter().map(|at| part[*at].seq).collect();
    let has = async |behind: u64, before: u64| log.has_event(&slices, shard, behind, before).await.unwrap();
    assert!(has(0, seqs[1]).await && has(seqs[0], seqs[2]).await);
    assert!(!has(seqs[0], seqs[1]).await, "neither of them is included");
    assert!(!has(seqs[1], seqs[5]).await && has(seqs[1], seqs[5] + 1).await, "what is no event does not count");
    assert!(!has(*seqs.last().unwrap(), u64::MAX).await, "nothing is behind the last");
    log.purge(&slices, shard, seqs[6]).await.unwrap();
    assert!(!has(0, seqs[6]).await && has(0, seqs[6] + 1).await, "what is purged is not there");
}
