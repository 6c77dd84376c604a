use super::*;
use crate::ingest::Start;
use crate::live::Live;
use crate::log::embedded;
use crate::log::{Batch, Content};
use crate::sinks::sqlite::Loaded;
use crate::sources::ConnectError;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use turbo_core::event::Body;
use turbo_core::join::Ask;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Slice, Slices};
use turbo_core::window::Window;

/// What a host was asked for, and the largest frame that it was to send.
type Asked = Vec<(Ask, Option<usize>)>;

/// A host whose connections give these, one after the other, and then end the source.
struct Host {
    connections: VecDeque<Vec<Result<Received, Lost>>>,
    asked: Arc<Mutex<Asked>>,
}

struct Frames(VecDeque<Result<Received, Lost>>);

impl Source for Host {
    type Connection = Frames;
    const MAY_GARBLE: bool = true;
    fn host(&self) -> &str {
        "host"
    }
    fn next_host(&mut self) {}
    fn begin_with(&mut self, _: &str) {}
    async fn connect(&mut self, ask: Ask, at_most: Option<usize>) -> Result<Frames, ConnectError> {
        self.asked.lock().unwrap().push((ask, at_most));
        Ok(Frames(self.connections.pop_front().unwrap_or_default().into()))
    }
}

impl Connection for Frames {
    async fn next(&mut self) -> Result<Received, Lost> {
        self.0.pop_front().unwrap_or(Ok(Received::End))
    }
}

/// What a run appended, batch by batch, and what the host was asked for.
struct Ran {
    batches: Vec<Batch>,
    asked: Asked,
}

impl Ran {
    /// The DIDs of events, and the reasons of what is none.
    fn entries(&self) -> Vec<String> {
        let entries = self.batches.iter().flat_map(|batch| &batch.entries);
        let said = entries.map(|entry| match &entry.item.content {
            Content::Event(event) => event.key.to_string(),
            Content::Unreadable { reason, .. } => reason.clone(),
            other => format!("{other:?}"),
        });
        said.collect()
    }
}

async fn run(start: Start, connections: Vec<Vec<Result<Received, Lost>>>) -> Ran {
    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
    let slices = Arc::new(slices.unwrap());
    let loaded = Loaded { start: Start::default(), claims: Vec::new() };
    let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 30, false));
    let (appender, mut reader) = embedded::log(1 << 30);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let host = Host { connections: connections.into(), asked: asked.clone() };
    let ingest = Ingest::new(host, start, slices, appender, live, Some(1));
    tokio::time::timeout(Duration::from_secs(60), ingest.run()).await.expect("it ends");
    let mut batches = Vec::new();
    while let Some((batch, _)) = reader.next(1).await {
        batches.push(batch);
    }
    let asked = asked.lock().unwrap().clone();
    Ran { batches, asked }
}

const TIME_US: i64 = 1_800_000_000_000_000;

/// The n-th event.
fn nth(n: u64, size: usize) -> Event {
    Event {
        key: format!("did:plc:{n}").into(),
        time_us: TIME_US + n as i64,
        cursor: Some(n),
        body: Body::Identity { time: n.to_string().into(), handle: None },
        bytes: Bytes::from(vec![b' '; size]),
    }
}

fn event(n: u64) -> Result<Received, Lost> {
    Ok(Received::Event(Box::new(nth(n, 10))))
}

fn garbage(reason: &str) -> Result<Received, Lost> {
    Ok(Received::Unreadable { bytes: reason.to_owned().into(), reason: reason.into() })
}

fn oversized(size: usize) -> Result<Received, Lost> {
    Err(Lost::Oversized { size, limit: 1000 })
}

/// Events up to the n-th were read from a host of this name.
fn read_to(n: u64, host: &str) -> Start {
    let mut window = Window::new();
    for n in 1..=n {
        let event = nth(n, 10);
        window.take(&event, EventId::of(&event), event.time_us);
    }
    let last = nth(n, 10);
    let position = SourcePosition { host: host.into(), cursor: Some(n), time_us: last.time_us, id: EventId::of(&last) };
    Start { position: Some(position), window, seq: n, rejoined: false, event_us: None }
}

#[tokio::test]
async fn garbage_that_a_stream_begins_with_is_given_up_each_time() {
    let twice = || vec![garbage("garbage"), garbage("garbage")];
    let ran = run(Start::default(), vec![twice(), twice(), twice()]).await;
    assert_eq!(ran.entries(), ["garbage", "garbage"], "each of the two, once");
}

#[tokio::test]
async fn garbage_before_the_join_is_held_back_and_released_with_it() {
    let frames = |known: u64| vec![garbage("a"), event(40), garbage("b"), event(known - 1), event(known), garbage("c")];
    // Nothing joins: then none of it was in the stream.
    let ran = run(read_to(3, "another"), vec![frames(50), frames(50), frames(50)]).await;
    assert_eq!(ran.entries(), [""; 0]);
    // Each is asked for once more: twice before the join, and once behind it.
    let joined = vec![event(3), garbage("c"), event(4)];
    let ran = run(read_to(3, "another"), vec![frames(3), frames(3), frames(3), joined]).await;
    assert_eq!(ran.entries(), ["did:plc:40", "a", "b", "c", "did:plc:4"], "{:?}", ran.asked);
}

/// Its numbers are others, and the position's number and event are the same by chance: what it had before is behind, and
/// what was not seen may be before.
#[tokio::test]
async fn a_stream_that_shows_known_events_behind_the_last_one_has_other_sequences() {
    let numbered = |n: u64, cursor: u64| Ok(Received::Event(Box::new(Event { cursor: Some(cursor), ..nth(n, 10) })));
    let renumbered = || vec![event(5), numbered(3, 6), numbered(6, 7)];
    let known = vec![numbered(40, 4), event(2), event(3), event(4), event(5), numbered(6, 7)];
    let ran = run(read_to(5, "host"), vec![renumbered(), known]).await;
    assert!(
        matches!(ran.asked[0].0, Ask::Sequence(5, _)) && matches!(ran.asked[1].0, Ask::Time { .. }),
        "{:?}",
        ran.asked
    );
    assert_eq!(ran.entries(), ["did:plc:40", "did:plc:6"]);
    // A minute later it is what the host sends twice.
    let late = Event { time_us: nth(6, 10).time_us + 61_000_000, ..nth(6, 10) };
    let twice = || Ok(Received::Event(Box::new(late.clone())));
    let ran = run(read_to(5, "host"), vec![vec![event(5), twice(), twice(), event(7)]]).await;
    assert_eq!((ran.asked.len(), ran.entries()), (1, vec!["did:plc:6".to_owned(), "did:plc:7".to_owned()]));
    // Within what is read again known events are no news.
    let mut start = read_to(5, "host");
    let third = nth(3, 10);
    start.position = start.position.map(|at| SourcePosition { cursor: Some(3), id: EventId::of(&third), ..at });
    let ran = run(start, vec![vec![event(3), event(4), event(5), event(6)]]).await;
    assert_eq!((ran.asked.len(), ran.entries()), (1, vec!["did:plc:6".to_owned()]));
}

/// In a log that was begun anew, and in any other.
#[tokio::test]
async fn another_host_of_the_same_name_is_told_from_one_that_numbers_anew_by_the_time_of_what_is_known() {
    for (later_us, rejoined) in [(0, false), (-3_000_000, true)] {
        let anew = |n: u64| Event { cursor: Some(n - 2), time_us: nth(n, 10).time_us + later_us, ..nth(n, 10) };
        let frames = || (3..=6).map(|n| Ok(Received::Event(Box::new(anew(n))))).collect::<Vec<_>>();
        for (window, new) in [(Window::new(), &[3, 4, 5, 6][..]), (read_to(5, "host").window, &[6])] {
            let ran = run(Start { window, ..read_to(5, "host") }, vec![frames(), frames()]).await;
            assert!(matches!(ran.asked[1].0, Ask::Time { .. }), "{:?}", ran.asked);
            let new: Vec<_> = new.iter().map(|n| format!("did:plc:{n}")).collect();
            assert_eq!(ran.entries(), new, "what nobody knows in the new log is new there, the position's event too");
            let told = ran.batches.iter().flat_map(|batch| &batch.entries).map(|entry| entry.item.rejoined);
            assert!(told.into_iter().all(|told| told == rejoined), "{later_us} us later");
        }
    }
}

/// In a log that was begun anew one event is known, and a stream may have to be given up before it shows that.
#[tokio::test(start_paused = true)]
async fn a_gap_whose_end_is_not_known_has_none() {
    let last = nth(1000, 10);
    let (time_us, id) = (last.time_us, EventId::of(&last));
    let position = Some(SourcePosition { host: "another".into(), cursor: Some(1000), time_us, id });
    let frames = || (1..=40).map(|n| Ok(Received::Event(Box::new(nth(n, 500_000))))).collect::<Vec<_>>();
    let start = Start { position, seq: 1, ..Start::default() };
    let ran = run(start, vec![frames(), frames(), frames(), frames()]).await;
    let gaps: Vec<_> = ran.batches.iter().flat_map(|batch| &batch.gaps).collect();
    assert!(matches!(gaps[..], [Gap { from_us, to_us: None, .. }] if *from_us == time_us), "{gaps:?}");
    assert_eq!(ran.entries().len(), 40);
}

#[tokio::test]
async fn a_large_frame_is_left_out_by_the_next_connection_only_and_each_is_told_apart() {
    let ran = run(
        read_to(1, "host"),
        vec![
            vec![event(1), event(2), oversized(3000)],
            vec![event(2), oversized(3000)],
            // One that was behind it.
            vec![event(2), oversized(2000)],
            vec![event(2), oversized(3000)],
            vec![event(2), oversized(2000)],
            // Both are left out; what comes behind is asked for without a limit.
            vec![event(2), event(3), event(4)],
            vec![event(3), event(4), oversized(2000)],
            vec![event(4), oversized(2000)],
            vec![event(4), event(5)],
            vec![event(5), event(6)],
        ],
    )
    .await;
    let letter =
        |size, behind| format!("a frame of {size} bytes behind host|{behind} is above the limit of 1000 bytes");
    let did = |n: u64| format!("did:plc:{n}");
    assert_eq!(
        ran.entries(),
        [did(2), letter(3000, 2), letter(2000, 2), did(3), did(4), letter(2000, 4), did(5), did(6)]
    );
    let asked = ran.asked.iter().map(|(ask, at_most)| match ask {
        Ask::Sequence(cursor, _) => (*cursor, *at_most),
        other => panic!("{other}"),
    });
    let all = None;
    let expected = [
        (1, all),
        (2, all),
        (2, Some(2999)),
        (2, all),
        (2, Some(2999)),
        (2, Some(1999)),
        (3, all),
        (4, all),
        (4, Some(1999)),
        (5, all),
    ];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_host_that_sends_a_large_frame_all_the_same_makes_one_dead_letter() {
    let again = || vec![event(1), oversized(3000)];
    let ran = run(read_to(1, "host"), (0..6).map(|_| again()).chain([vec![event(1), event(2)]]).collect()).await;
    assert_eq!(ran.entries().len(), 2, "{:?}", ran.entries());
}

#[tokio::test]
async fn a_batch_is_bounded_by_bytes_also_where_frames_are_large() {
    const SIZE: usize = 400_000;
    let frames = (1..=20).map(|n| Ok(Received::Event(Box::new(nth(n, SIZE))))).collect();
    let ran = run(Start::default(), vec![frames]).await;
    assert_eq!(ran.entries().len(), 20);
    assert!(ran.batches.iter().all(|batch| batch.bytes < (1 << 20) + 2 * SIZE), "one above 1 MiB at most");
}

#[tokio::test(start_paused = true)]
async fn a_host_is_left_while_the_log_is_full_and_gone_on_with_when_it_has_room() {
    const SIZE: usize = 400_000;
    let frames = |from: u64| (from..=20).map(|n| Ok(Received::Event(Box::new(nth(n, SIZE))))).collect::<Vec<_>>();
    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
    let slices = Arc::new(slices.unwrap());
    let loaded = Loaded { start: Start::default(), claims: Vec::new() };
    let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 20, false));
    let (appender, mut reader) = embedded::log(1 << 20);
    let asked = Arc::new(Mutex::new(Vec::new()));
    // A batch takes three of them, and the log one batch: the second waits.
    let host = Host { connections: [frames(1), frames(6)].into(), asked: asked.clone() };
    let ingest = tokio::spawn(Ingest::new(host, Start::default(), slices, appender, live, Some(1)).run());
    tokio::time::sleep(60 * HELD).await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    let mut seqs = Vec::new();
    while let Some((batch, _)) = reader.next(1).await {
        seqs.extend(batch.entries.iter().map(|entry| entry.item.event().unwrap().cursor.unwrap()));
    }
    assert!(matches!(ingest.await.unwrap(), Ended::Source));
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    assert!(matches!(asked.lock().unwrap()[..], [(Ask::Given(1), None), (Ask::Sequence(6, _), None)]));
}
