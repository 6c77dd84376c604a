//! The dedup window as it is loaded from the log of a real NATS server.

use crate::nats_log::{entries, event, open, slices};
use turbo_core::id::EventId;
use turbo_core::window::{SPAN_US, Window};
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Announced, Writer};

#[tokio::test]
async fn the_window_is_loaded_as_far_as_it_reaches_back() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    // 4,000 events with a second of source time between them: 15 minutes are 900 of them.
    let mut window = Window::new();
    for from in (0..4_000_000u64).step_by(500_000) {
        let events = (from..from + 500_000).step_by(1000).map(|n| event(0, n));
        let part = entries(&slices, &mut window, events, writer.last_seq());
        for part in part.chunks(900) {
            writer.append(part, |why| panic!("{why}")).await.unwrap();
        }
    }
    let loaded = log.tail(&slices).await.unwrap().window;
    assert!(window.len() < 1000, "{}", window.len());
    assert_eq!((loaded.len(), loaded.oldest_us()), (window.len(), window.oldest_us()));
}

/// A stream with little room is purged within the window; what a shard has left below that is a part of what was there.
#[tokio::test]
async fn a_window_below_which_others_were_purged_says_that_it_is_cut() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut window = Window::new();
    // A second of source time between them, 200 seconds in all.
    let part = entries(&slices, &mut window, (0..200_000).step_by(1000).map(|n| event(0, n)), writer.last_seq());
    writer.append(&part, |why| panic!("{why}")).await.unwrap();
    assert_eq!(log.tail(&slices).await.unwrap().window.reach_us(), SPAN_US, "it is all there is");
    let below = part[part.len() / 2].seq;
    let lags = slices.shards().next().unwrap();
    for shard in slices.shards().filter(|shard| *shard != lags) {
        log.purge(&slices, shard, below).await.unwrap();
        log.announce(&slices, shard, Announced { purged: below, ..Announced::default() }).await.unwrap();
    }
    let left = part.iter().find(|entry| entry.shard == lags).unwrap();
    assert!(left.seq < below / 2, "it comes early");
    let loaded = log.tail(&slices).await.unwrap().window;
    assert!(!loaded.contains(EventId::of(left.item.event().unwrap())), "it does not say from where on all is known");
    assert!((0..45_000_000).contains(&loaded.reach_us()), "{}", loaded.reach_us());
    for entry in part.iter().filter(|entry| entry.seq >= below) {
        assert!(loaded.contains(EventId::of(entry.item.event().unwrap())));
    }
}

/// As somebody does who removes the message of another program: nothing of ours stands at the stream's last sequence then.
#[tokio::test]
async fn a_log_whose_last_message_was_removed_ends_at_the_one_before() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut window = Window::new();
    let part = entries(&slices, &mut window, (0..500).map(|n| event(0, n)), writer.last_seq());
    writer.append(&part, |why| panic!("{why}")).await.unwrap();
    let before = log.tail(&slices).await.unwrap();
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let subject = log.names.shard(&slices, part[0].shard);
    let foreign = context.publish(subject, "hello".into()).await.unwrap().await.unwrap().sequence;
    assert!(log.tail(&slices).await.is_err(), "it is not ours");
    let stream = context.get_stream(log.names.stream()).await.unwrap();
    assert!(stream.delete_message(foreign).await.unwrap());
    let after = log.tail(&slices).await.unwrap();
    assert_eq!((after.position, after.numbers), (before.position, before.numbers));
    assert_eq!((after.last_seq, after.window.len()), (foreign, before.window.len()));
    let more = entries(&slices, &mut window, (500..510).map(|n| event(0, n)), foreign);
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    writer.append(&more, |why| panic!("{why}")).await.unwrap();
}
