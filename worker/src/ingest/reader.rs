//! The reader: connects, joins, appends, and goes on after a loss.

use super::appending::{Appending, Start};
use crate::live::Live;
use crate::log::embedded::{Appender, Closed};
use crate::sources::{ConnectError, Lost, Source};
use crate::telemetry::events;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::backoff::Backoff;
use turbo_core::id::EventId;
use turbo_core::join::{Ask, Join, ask};
use turbo_core::shard::Slices;

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
    /// The source can not be read on.
    #[error("{0}")]
    Broken(String),
}

/// How one connection ended.
pub(super) enum Over {
    Lost(Lost),
    NotJoined,
    /// What came is no event; it is asked for once more.
    Garbled(EventId, String),
    Ended(Ended),
}

/// The one reader of a source.
pub struct Ingest<S: Source> {
    source: S,
    pub(super) appending: Appending,
    pub(super) log: Appender,
    pub(super) live: Arc<Live>,
    given: Option<u64>,
    /// What the host is called that is read, or was tried last.
    pub(super) name: String,
    pub(super) backoff: Backoff,
    /// Attempts by time that did not join.
    pub(super) rewinds: u32,
    /// The host whose sequences proved to be new ones.
    pub(super) new_sequences: Option<String>,
    /// What was received last: an event, or what is none.
    pub(super) last: Option<EventId>,
    /// What was no event when it came first.
    pub(super) garbled: Option<EventId>,
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
            name: String::new(),
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
            self.name = self.source.name();
            let ask = self.ask(&host);
            let over = match self.source.connect(ask).await {
                Ok(connection) => {
                    self.live.connected(&self.name, ask);
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
                ask(
                    position,
                    host,
                    sequences,
                    self.rewinds,
                    self.appending.newest_us(),
                    self.appending.window.reach_us(),
                )
            }
            (None, Some(cursor)) => Ask::Given(cursor),
            (None, None) => Ask::Tip,
        }
    }

    async fn refused(&mut self, error: ConnectError, ask: Ask, host: &str) -> Option<Ended> {
        self.live.disconnected(&self.name, &error.to_string());
        match error {
            ConnectError::OtherSource(why) => return Some(Ended::OtherSource(why)),
            ConnectError::CursorTooOld(_) => self.not_joined(ask, host),
            ConnectError::NotReady(_) | ConnectError::Refused { .. } | ConnectError::Unreachable(_) => {
                self.source.next_host();
            }
        }
        self.wait(&error).await;
        None
    }

    /// Judges how a connection ended, and waits before the next.
    async fn after(&mut self, over: Over, ask: Ask, host: &str) -> Option<Ended> {
        match over {
            Over::Ended(ended) => return Some(ended),
            Over::NotJoined => {
                events::NotJoined { host: &self.name, ask }.emit();
                self.not_joined(ask, host);
            }
            Over::Garbled(id, reason) => {
                self.garbled = Some(id);
                self.live.disconnected(&self.name, &reason);
                self.wait(&reason).await;
            }
            Over::Lost(Lost::Broken(why)) => return Some(Ended::Broken(why)),
            Over::Lost(lost) => {
                self.live.disconnected(&self.name, &lost.to_string());
                if let Lost::Oversized { size, limit } = lost {
                    self.oversized(size, limit, host);
                }
                if lost.blames_host() || self.backoff.failures() > 0 {
                    self.source.next_host();
                }
                events::ConnectionLost { host: &self.name, reason: lost.reason(), error: &lost.to_string() }.emit();
                self.wait(&lost).await;
            }
        }
        None
    }

    async fn wait(&mut self, why: &impl std::fmt::Display) {
        let wait = self.backoff.next(rand::random());
        events::Waiting { host: &self.name, wait, why: &why.to_string() }.emit();
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
        self.appending.unreadable(id, bytes::Bytes::new(), reason, host);
        self.source.skip_oversized();
    }
}
