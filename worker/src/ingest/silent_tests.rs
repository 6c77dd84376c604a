//! A host that sends nothing at first.

use super::*;
use crate::ingest::Start;
use crate::live::Live;
use crate::log::embedded;
use crate::sinks::sqlite::Loaded;
use crate::sources::ConnectError;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use turbo_core::join::Ask;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Slice, Slices};
use turbo_core::tid;
use turbo_core::window::Window;
use turbo_core::wire::{Frame, decode};

const MINUTE: i64 = 60_000_000;

/// Accepts each connection; the first three times nothing comes, and then only after a while.
struct Loading {
    asked: Arc<Mutex<Vec<Ask>>>,
    events: Vec<Event>,
}

struct Loads {
    ready: Instant,
    events: VecDeque<Event>,
}

impl Source for Loading {
    type Connection = Loads;
    const MAY_GARBLE: bool = true;
    fn host(&self) -> &str {
        "loading"
    }
    fn next_host(&mut self) {}
    fn begin_with(&mut self, _: &str) {}
    async fn connect(&mut self, ask: Ask, _: Option<usize>) -> Result<Loads, ConnectError> {
        let mut asked = self.asked.lock().unwrap();
        asked.push(ask);
        let silent = if asked.len() <= 3 { 100 * JOIN_TIMEOUT } else { JOIN_TIMEOUT + Duration::from_secs(2) };
        Ok(Loads { ready: Instant::now() + silent, events: self.events.clone().into() })
    }
}

impl Connection for Loads {
    async fn next(&mut self) -> Result<Received, Lost> {
        // Whoever gives up waiting for it and comes again need not wait for all of it again.
        tokio::time::sleep_until(self.ready).await;
        Ok(self.events.pop_front().map_or(Received::End, |event| Received::Event(Box::new(event))))
    }
}

/// A record made and seen at the same minute.
fn seen(key: &str, minute: i64) -> Event {
    let (time_us, rev) = (minute * MINUTE, tid::encode(minute * MINUTE, 0));
    let line = format!(
        r#"{{"did":"did:plc:{key}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"k","record":{{}},"cid":"c"}}}}"#
    );
    let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!("it is an event") };
    *event
}

#[tokio::test(start_paused = true)]
async fn what_a_host_sends_late_from_before_the_window_is_not_appended_again() {
    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
    let slices = Arc::new(slices.unwrap());
    let mut window = Window::new();
    for known in [seen("a", 100), seen("a", 110)] {
        window.take(&known, EventId::of(&known), i64::MAX);
    }
    let last = EventId::of(&seen("a", 110));
    let position = SourcePosition { host: "other".into(), cursor: Some(9), time_us: 110 * MINUTE, id: last };
    let asked = Arc::new(Mutex::new(Vec::new()));
    // Its segment begins before the time that it is asked for, and the window before what was forgotten.
    let events = vec![seen("b", 90), seen("b", 97), seen("a", 110), seen("b", 111)];
    let source = Loading { asked: asked.clone(), events };
    let live =
        Arc::new(Live::new("test", &slices, &Loaded { start: Start::default(), claims: Vec::new() }, 1 << 20, false));
    let (appender, mut reader) = embedded::log(1 << 20);
    let start = Start { position: Some(position), window, seq: 0 };
    let ingest = Ingest::new(source, start, slices, appender, live.clone(), None);
    let ended = tokio::time::timeout(Duration::from_secs(600), ingest.run()).await.expect("it ends");
    assert!(matches!(ended, Ended::Source), "{ended:?}");
    let mut appended = Vec::new();
    while let Some((batch, _)) = reader.next(100).await {
        appended
            .extend(batch.entries.iter().filter_map(|entry| entry.item.event().map(|event| event.time_us / MINUTE)));
    }
    assert_eq!(appended, [111]);
    assert_eq!(live.stats().source.gaps, 0);
    let asked = asked.lock().unwrap();
    assert!(matches!(asked[..], [_, _, _, Ask::Time { last: true, .. }]), "{asked:?}");
}
