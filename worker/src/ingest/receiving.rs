//! One connection: what it gives is judged, and appended.

use super::reader::{Ended, Ingest, Over};
use crate::log::Gap;
use crate::log::embedded::Closed;
use crate::sources::{Connection, Lost, Received, Source};
use crate::telemetry::{events, trace};
use futures_util::FutureExt;
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::join::{GivenUp, Join, Step};

/// Events appended together at most.
const BATCH: usize = 256;
/// How long a stream may take to show a known event.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

impl<S: Source> Ingest<S> {
    /// Reads a connection until it is over.
    pub(super) async fn read(&mut self, mut connection: S::Connection, mut join: Join, host: &str) -> Over {
        // What is no event is known again by its place, which begins with the connection.
        self.last = None;
        let mut deadline = Instant::now() + JOIN_TIMEOUT;
        loop {
            // A recording is read up to the position first, however long that takes.
            let received = if join.joined() || !S::MAY_GARBLE {
                Some(connection.next().await)
            } else {
                tokio::time::timeout_at(deadline, connection.next()).await.ok()
            };
            let mut over = match received {
                Some(received) => self.take(received, &mut join, host, &mut deadline),
                None => self.gave_up(&mut join, host, &mut deadline),
            };
            while over.is_none() && self.appending.len() < BATCH {
                let Some(received) = connection.next().now_or_never() else { break };
                over = self.take(received, &mut join, host, &mut deadline);
            }
            if let Err(closed) = self.flush().await {
                return Over::Ended(closed.into());
            }
            if let Some(over) = over {
                return over;
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Closed> {
        let Some(batch) = self.appending.finish() else { return Ok(()) };
        self.live.appended(&batch, &self.appending.window);
        let traced = trace::traced(&batch);
        self.log.append(batch).await?;
        trace::received(&traced);
        Ok(())
    }

    fn take(
        &mut self,
        received: Result<Received, Lost>,
        join: &mut Join,
        host: &str,
        deadline: &mut Instant,
    ) -> Option<Over> {
        match received {
            Err(lost) => Some(Over::Lost(lost)),
            Ok(Received::End) if !join.joined() => Some(Over::Ended(Ended::OtherSource(format!(
                "spec.source.recording.path: the file ends before the position, {}; give the file that the position is of",
                self.appending.position.as_ref().map(ToString::to_string).unwrap_or_default()
            )))),
            Ok(Received::End) => Some(Over::Ended(Ended::Source)),
            Ok(Received::Event(event)) => self.event(event, join, host, deadline),
            Ok(Received::Unreadable { bytes, reason }) => self.unreadable(bytes, reason, host),
            Ok(Received::Unknown(kind)) => {
                events::UnknownKind { host: &self.name, kind: &kind }.emit();
                None
            }
            Ok(Received::Info(name, message)) => {
                events::Notice { host: &self.name, name: &name, message: &message }.emit();
                // The host does not know our sequence: it has new ones, and would go on at its tip.
                (name == "FutureCursor" && !join.joined()).then_some(Over::NotJoined)
            }
        }
    }

    fn event(&mut self, event: Box<Event>, join: &mut Join, host: &str, deadline: &mut Instant) -> Option<Over> {
        let id = EventId::of(&event);
        self.last = Some(id);
        match join.take(event, id, &self.appending.window) {
            Step::Append(event) => self.appending.event(event, host),
            Step::Known((event, _)) => {
                self.live.known();
                self.appending.moved(&event, host);
            }
            Step::Dropped => {
                *deadline = Instant::now() + JOIN_TIMEOUT;
                return None;
            }
            Step::Held => {
                if join.held() == 1 {
                    *deadline = Instant::now() + JOIN_TIMEOUT;
                }
                return None;
            }
            Step::Joined { held, known } => {
                self.joined();
                events::Joined { host: &self.name, held: held.len(), window: &self.appending.window }.emit();
                let (known, id) = known;
                self.appending.window.align(id, known.time_us);
                held.into_iter().for_each(|event| self.appending.event(event, host));
                self.appending.moved(&known, host);
            }
            Step::NotJoined => return Some(Over::NotJoined),
            Step::Full => return self.gave_up(join, host, deadline),
        }
        self.backoff.reset();
        None
    }

    fn joined(&mut self) {
        self.rewinds = 0;
        self.new_sequences = None;
        self.live.joined(&self.name);
    }

    /// No known event came in time.
    fn gave_up(&mut self, join: &mut Join, host: &str, deadline: &mut Instant) -> Option<Over> {
        let held = match join.give_up() {
            GivenUp::NotJoined => return Some(Over::NotJoined),
            GivenUp::Waits => {
                *deadline = Instant::now() + JOIN_TIMEOUT;
                return None;
            }
            GivenUp::Gap(held) => held,
        };
        let gap = Gap {
            host: host.to_owned(),
            from_us: self.appending.position.as_ref().map_or(0, |position| position.time_us),
            to_us: held.first().map(|(event, _)| event.time_us),
            reason: "the stream did not join within the dedup window".into(),
        };
        events::GapFound { gap: &gap }.emit();
        self.live.gap();
        self.appending.gap(gap);
        self.joined();
        held.into_iter().for_each(|event| self.appending.event(event, host));
        None
    }

    fn unreadable(&mut self, bytes: bytes::Bytes, reason: String, host: &str) -> Option<Over> {
        let id = EventId::of_bytes(self.last, &bytes);
        self.last = Some(id);
        if self.appending.window.contains(id) {
            return None;
        }
        if S::MAY_GARBLE && self.garbled != Some(id) {
            return Some(Over::Garbled(id, reason));
        }
        events::Unreadable { reason: &reason, bytes: bytes.len() }.emit();
        self.appending.unreadable(id, bytes, reason, host);
        None
    }
}

#[cfg(test)]
#[path = "silent_tests.rs"]
mod silent_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Start;
    use crate::live::Live;
    use crate::log::embedded;
    use crate::sinks::sqlite::Loaded;
    use crate::sources::ConnectError;
    use std::sync::Arc;
    use turbo_core::join::Ask;
    use turbo_core::shard::{Slice, Slices};

    /// A host that sends the same garbage twice whenever it is asked, and then ends.
    struct Garbage;

    struct Frames(u32);

    impl Source for Garbage {
        type Connection = Frames;
        const MAY_GARBLE: bool = true;
        fn host(&self) -> &str {
            "garbage"
        }
        fn next_host(&mut self) {}
        fn skip_oversized(&mut self) {}
        async fn connect(&mut self, _: Ask) -> Result<Frames, ConnectError> {
            Ok(Frames(2))
        }
    }

    impl Connection for Frames {
        async fn next(&mut self) -> Result<Received, Lost> {
            if self.0 == 0 {
                return Ok(Received::End);
            }
            self.0 -= 1;
            Ok(Received::Unreadable { bytes: bytes::Bytes::from_static(b"garbage"), reason: "garbage".into() })
        }
    }

    #[tokio::test]
    async fn garbage_that_a_stream_begins_with_is_given_up_each_time() {
        let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
        let slices = Arc::new(slices.unwrap());
        let loaded = Loaded { start: Start::default(), claims: Vec::new() };
        let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 20, false));
        let (appender, mut reader) = embedded::log(1 << 20);
        let ingest = Ingest::new(Garbage, Start::default(), slices, appender, live, Some(1));
        let ended = tokio::time::timeout(Duration::from_secs(60), ingest.run()).await.expect("it ends");
        assert!(matches!(ended, Ended::Source), "{ended:?}");
        let mut dead_letters = 0;
        while let Some((batch, _)) = reader.next(100).await {
            dead_letters += batch.entries.len();
        }
        assert_eq!(dead_letters, 2, "each of the two, once");
    }
}
