//! Hosts that do not show what is known at first: one that is silent, and one whose clock lags.

use super::*;
use crate::ingest::Start;
use crate::ingest::patience::JOIN_TIMEOUT;
use crate::live::Live;
use crate::log::embedded;
use crate::sinks::sqlite::Loaded;
use crate::sources::ConnectError;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;
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

/// A host whose clock lags ten minutes behind the first one's: what that one had at 105 and 110 it has at 95 and 100, which
/// is now.
struct Lagging(Arc<Mutex<Vec<Ask>>>);

struct Tail {
    backlog: VecDeque<Event>,
    /// The time that it shows as now, once the backlog is through.
    from_us: i64,
    began: Instant,
    ends: bool,
}

impl Source for Lagging {
    type Connection = Tail;
    const MAY_GARBLE: bool = true;
    fn host(&self) -> &str {
        "lagging"
    }
    fn next_host(&mut self) {}
    fn begin_with(&mut self, _: &str) {}
    async fn connect(&mut self, ask: Ask, _: Option<usize>) -> Result<Tail, ConnectError> {
        self.0.lock().unwrap().push(ask);
        let known = [105, 110].map(|minute| Event { time_us: (minute - 10) * MINUTE, ..seen("a", minute) });
        let asked = |event: &Event| matches!(ask, Ask::Time { from_us, .. } if event.time_us >= from_us);
        let backlog = if known.iter().all(asked) { VecDeque::from(known) } else { VecDeque::new() };
        Ok(Tail { ends: !backlog.is_empty(), backlog, from_us: 100 * MINUTE, began: Instant::now() })
    }
}

impl Connection for Tail {
    async fn next(&mut self) -> Result<Received, Lost> {
        if let Some(event) = self.backlog.pop_front() {
            return Ok(Received::Event(Box::new(event)));
        }
        if self.ends {
            return Ok(Received::End);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let time_us = self.from_us + self.began.elapsed().as_micros() as i64;
        Ok(Received::Event(Box::new(Event { time_us, ..seen("b", 110) })))
    }
}

/// What is known: records of these minutes, read from another host.
fn start(minutes: &[i64]) -> Start {
    let mut window = Window::new();
    for known in minutes.iter().map(|minute| seen("a", *minute)) {
        window.take(&known, EventId::of(&known), i64::MAX);
    }
    let last = minutes.last().map_or(0, |minute| *minute);
    let id = EventId::of(&seen("a", last));
    let position = SourcePosition { host: "other".into(), cursor: Some(9), time_us: last * MINUTE, id };
    Start { position: Some(position), window, seq: 0, rejoined: false, event_us: None }
}

/// Reads to the end; the minutes of what was appended, and how often there was a gap.
async fn run(source: impl Source, start: Start) -> (Vec<i64>, u64) {
    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
    let slices = Arc::new(slices.unwrap());
    let loaded = Loaded { start: Start::default(), claims: Vec::new() };
    let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 20, false));
    let (appender, mut reader) = embedded::log(1 << 20);
    let ingest = Ingest::new(source, start, slices, appender, live.clone(), None);
    let ended = tokio::time::timeout(Duration::from_secs(600), ingest.run()).await.expect("it ends");
    assert!(matches!(ended, Ended::Source), "{ended:?}");
    let mut appended = Vec::new();
    while let Some((batch, _)) = reader.next(100).await {
        appended
            .extend(batch.entries.iter().filter_map(|entry| entry.item.event().map(|event| event.time_us / MINUTE)));
    }
    (appended, live.stats().source.gaps)
}

#[tokio::test(start_paused = true)]
async fn what_a_host_sends_late_from_before_the_window_is_not_appended_again() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    // Its segment begins before the time that it is asked for, and the window before what was forgotten.
    let events = vec![seen("b", 90), seen("b", 97), seen("a", 110), seen("b", 111)];
    let source = Loading { asked: asked.clone(), events };
    assert_eq!(run(source, start(&[100, 110])).await, (vec![111], 0));
    let asked = asked.lock().unwrap();
    assert!(matches!(asked[..], [_, _, _, Ask::Time { last: true, .. }]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_clock_lags_is_asked_for_more_and_not_waited_for_until_its_clock_is_there() {
    let (asked, began) = (Arc::new(Mutex::new(Vec::new())), Instant::now());
    assert_eq!(run(Lagging(asked.clone()), start(&[100, 105, 110])).await, (vec![], 0));
    let asked = asked.lock().unwrap();
    assert!(matches!(asked[..], [_, _, _, Ask::Time { last: true, .. }]), "{asked:?}");
    assert!(began.elapsed() < 6 * JOIN_TIMEOUT, "by a clock that only the test moves: {:?}", began.elapsed());
}

/// Two hosts: what the first one sends is all from long before, as fast as it happened; the second one has everything.
struct OneBehind {
    at: usize,
}

impl Source for OneBehind {
    type Connection = Tail;
    const MAY_GARBLE: bool = true;
    fn host(&self) -> &str {
        ["behind", "healthy"][self.at]
    }
    fn next_host(&mut self) {
        self.at = 1 - self.at;
    }
    fn has_others(&self) -> bool {
        true
    }
    fn begin_with(&mut self, _: &str) {}
    async fn connect(&mut self, _: Ask, _: Option<usize>) -> Result<Tail, ConnectError> {
        let all = [100, 105, 110].map(|minute| seen("a", minute)).into_iter().chain([seen("b", 111)]);
        let backlog = if self.at == 1 { all.collect() } else { VecDeque::new() };
        Ok(Tail { ends: self.at == 1, backlog, from_us: 60 * MINUTE, began: Instant::now() })
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_far_behind_is_left_for_another_one() {
    assert_eq!(run(OneBehind { at: 0 }, start(&[100, 105, 110])).await, (vec![111], 0));
}
