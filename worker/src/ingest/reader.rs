//! The reader: connects, joins, appends, and goes on after a loss.

use super::appending::{Appending, Start};
use crate::live::Live;
use crate::log::Gap;
use crate::log::embedded::{Appender, Closed};
use crate::sources::{ConnectError, Connection, Lost, Received, Source};
use crate::telemetry::events;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::backoff::Backoff;
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::join::{Ask, Join, Step, ask};
use turbo_core::shard::Slices;

/// Events appended together at most.
const BATCH: usize = 256;
/// How long a stream may take to show a known event.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// How reading ended for good.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The source has no more: a recording was read to its end.
    #[error("the source has ended")]
    Source,
    /// The log takes nothing any more.
    #[error(transparent)]
    Log(#[from] Closed),
    /// The source is not the one that the position is of.
    #[error("{0}")]
    OtherSource(String),
}

/// How one connection ended.
enum Over {
    Lost(Lost),
    NotJoined,
    Garbled(EventId, String),
    Ended(Ended),
}

/// The one reader of a source.
pub struct Ingest<S: Source> {
    source: S,
    appending: Appending,
    log: Appender,
    live: Arc<Live>,
    given: Option<u64>,
    backoff: Backoff,
    /// Attempts by time that did not join.
    rewinds: u32,
    /// The host whose sequences proved to be new ones.
    new_sequences: Option<String>,
    /// The event that was received last.
    last: Option<EventId>,
    /// What was no event when it came first.
    garbled: Option<EventId>,
    /// Where a frame was too large.
    oversized: Option<EventId>,
}

impl<S: Source> Ingest<S> {
    /// A reader that goes on where `start` ends. `given` is the cursor for a source without a position.
    pub fn new(
        source: S,
        start: Start,
        slices: Arc<Slices>,
        log: Appender,
        live: Arc<Live>,
        given: Option<u64>,
    ) -> Self {
        Self {
            source,
            appending: Appending::new(start, slices),
            log,
            live,
            given,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            rewinds: 0,
            new_sequences: None,
            last: None,
            garbled: None,
            oversized: None,
        }
    }

    /// Reads until the source has ended. Dropping the future stops it; what was not handed to the log is read again.
    pub async fn run(mut self) -> Ended {
        loop {
            let host = self.source.host().to_owned();
            let ask = self.ask(&host);
            let over = match self.source.connect(ask).await {
                Ok(connection) => {
                    self.live.connected(&host, ask);
                    self.read(connection, Join::new(ask), &host).await
                }
                Err(error) => match self.refused(error, ask, &host).await {
                    Some(ended) => return ended,
                    None => continue,
                },
            };
            if let Some(ended) = self.after(over, ask, &host).await {
                return ended;
            }
        }
    }

    fn ask(&self, host: &str) -> Ask {
        match (&self.appending.position, self.given) {
            (Some(position), _) => {
                let sequences = self.new_sequences.as_deref() != Some(host);
                ask(position, host, sequences, self.rewinds, self.appending.newest_us())
            }
            (None, Some(cursor)) => Ask::Given(cursor),
            (None, None) => Ask::Tip,
        }
    }

    async fn refused(&mut self, error: ConnectError, ask: Ask, host: &str) -> Option<Ended> {
        self.live.disconnected(host, &error.to_string());
        match error {
            ConnectError::OtherSource(why) => return Some(Ended::OtherSource(why)),
            ConnectError::CursorTooOld(_) => self.not_joined(ask, host),
            ConnectError::NotReady(_) | ConnectError::Refused { .. } | ConnectError::Unreachable(_) => {
                self.source.next_host();
            }
        }
        self.wait(&error, host).await;
        None
    }

    /// Judges how a connection ended, and waits before the next.
    async fn after(&mut self, over: Over, ask: Ask, host: &str) -> Option<Ended> {
        match over {
            Over::Ended(ended) => return Some(ended),
            Over::NotJoined => {
                events::NotJoined { host, ask: &format!("{ask:?}") }.emit();
                self.not_joined(ask, host);
            }
            Over::Garbled(id, reason) => {
                self.garbled = Some(id);
                self.live.disconnected(host, &reason);
                self.wait(&reason, host).await;
            }
            Over::Lost(lost) => {
                self.live.disconnected(host, &lost.to_string());
                if let Lost::Oversized { size, limit } = lost {
                    self.oversized(size, limit, host);
                }
                if lost.blames_host() || self.backoff.failures() > 0 {
                    self.source.next_host();
                }
                events::ConnectionLost { host, reason: lost.reason(), error: &lost.to_string() }.emit();
                self.wait(&lost, host).await;
            }
        }
        None
    }

    async fn wait(&mut self, why: &impl std::fmt::Display, host: &str) {
        let wait = self.backoff.next(rand::random());
        events::Waiting { host, wait, why: &why.to_string() }.emit();
        tokio::time::sleep(wait).await;
    }

    fn not_joined(&mut self, ask: Ask, host: &str) {
        match ask {
            Ask::Time { .. } => self.rewinds += 1,
            _ => self.new_sequences = Some(host.to_owned()),
        }
    }

    /// The second time at the same place, the frame is given up: a dead letter without bytes.
    fn oversized(&mut self, size: usize, limit: usize, host: &str) {
        let place = self.appending.position.as_ref().map_or_else(|| host.to_owned(), ToString::to_string);
        let reason = format!("a frame of {size} bytes behind {place} is above the limit of {limit} bytes");
        let id = EventId::of_bytes(self.last, reason.as_bytes());
        if self.oversized.replace(id) != Some(id) {
            return;
        }
        self.appending.unreadable(id, bytes::Bytes::new(), reason);
        self.source.skip_oversized();
    }

    async fn read(&mut self, mut connection: S::Connection, mut join: Join, host: &str) -> Over {
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
                None => self.gave_up(&mut join, host),
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
        self.log.append(batch).await
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
            Ok(Received::Unreadable { bytes, reason }) => self.unreadable(bytes, reason),
            Ok(Received::Unknown(kind)) => {
                events::UnknownKind { host, kind: &kind }.emit();
                None
            }
            Ok(Received::Info(name, message)) => {
                events::Notice { host, name: &name, message: &message }.emit();
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
            Step::Held => return None,
            Step::Joined { held, known } => {
                self.joined(host);
                events::Joined { host, held: held.len(), window: &self.appending.window }.emit();
                let (known, id) = known;
                self.appending.window.align(id, known.time_us);
                held.into_iter().for_each(|event| self.appending.event(event, host));
                self.appending.moved(&known, host);
            }
            Step::NotJoined => return Some(Over::NotJoined),
        }
        self.backoff.reset();
        None
    }

    fn joined(&mut self, host: &str) {
        self.rewinds = 0;
        self.new_sequences = None;
        self.live.joined(host);
    }

    /// No known event came in time.
    fn gave_up(&mut self, join: &mut Join, host: &str) -> Option<Over> {
        let Some(held) = join.give_up() else { return Some(Over::NotJoined) };
        let gap = Gap {
            host: host.to_owned(),
            from_us: self.appending.position.as_ref().map_or(0, |position| position.time_us),
            to_us: held.first().map(|(event, _)| event.time_us),
            reason: "the stream did not join within the dedup window".into(),
        };
        events::GapFound { gap: &gap }.emit();
        self.live.gap();
        self.appending.gap(gap);
        self.joined(host);
        held.into_iter().for_each(|event| self.appending.event(event, host));
        None
    }

    fn unreadable(&mut self, bytes: bytes::Bytes, reason: String) -> Option<Over> {
        let id = EventId::of_bytes(self.last, &bytes);
        if self.appending.window.contains(id) {
            return None;
        }
        if S::MAY_GARBLE && self.garbled != Some(id) {
            return Some(Over::Garbled(id, reason));
        }
        events::Unreadable { reason: &reason, bytes: bytes.len() }.emit();
        self.appending.unreadable(id, bytes, reason);
        None
    }
}
