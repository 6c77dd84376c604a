//! The feed of the log on a real server: where the source moves and nothing is appended, a marker tells it.

use crate::nats_log::{entries, event, open, slices};
use crate::owners::eventually;
use std::collections::HashMap;
use std::time::Duration;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;
use turbo_core::window::Window;
use turbo_testkit::Nats;
use turbo_worker::log::nats::{Told, Watch, Writer, feed};
use turbo_worker::log::{Batch, embedded};

/// Nothing holds.
struct Open;

impl Watch for Open {
    async fn pass(&self, _: &HashMap<Shard, u64>, _: u64) {}
    fn told(&self, _: Told<'_>) {}
}

fn at(cursor: u64) -> SourcePosition {
    let event = event(0, cursor);
    SourcePosition { host: "host:1".into(), cursor: Some(cursor), time_us: event.time_us, id: EventId::of(&event) }
}

/// More than a minute passes, for the timers of this process.
async fn a_calm_minute() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_minute_of_calm_in_which_the_source_moved_leaves_one_marker() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let (appender, queue) = embedded::log(1 << 20);
    let (shard, events) = (slices.of_unreadable(), (0..10).map(|n| event(0, n)));
    let entries = entries(&slices, &mut Window::new(), events, 0);
    let count = entries.len() as u64;
    let feeding = tokio::spawn(async move { feed(queue, &mut writer, shard, &Open).await });
    appender.append(Batch { entries, position: Some(at(9)), ..Batch::default() }).await.unwrap();
    eventually("it is in the log", async || log.end().await.unwrap() == Some(count)).await;
    a_calm_minute().await;
    for cursor in [20, 30] {
        // Events that the window knew.
        appender.append(Batch { position: Some(at(cursor)), ..Batch::default() }).await.unwrap();
        eventually(&format!("the log says {cursor}"), async || {
            a_calm_minute().await;
            log.tail(&slices).await.unwrap().position == Some(at(cursor))
        })
        .await;
    }
    // Where the source did not move, nothing is to be said.
    a_calm_minute().await;
    drop(appender);
    feeding.await.unwrap().unwrap();
    let state = log.info().await.unwrap().state;
    assert_eq!((state.last_sequence, state.messages), (count + 2, count + 1), "two markers, of which the last stays");
}
