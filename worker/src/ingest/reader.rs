//! The reader: connects, joins, appends, and goes on after a loss.

use super::appending::{Appending, Start};
use super::unreadable::Held;
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
use turbo_core::window::Passed;

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
    /// What this connection leaves out is behind.
    Passed,
    /// The log was full for a while, and has room again.
    Held,
    Ended(Ended),
}

/// The one reader of a source.
pub struct Ingest<S: Source> {
    pub(super) source: S,
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
    /// What the stream that the position is of has passed; not known of what was read before the start.
    passed: Option<Passed>,
    /// What was received last: an event, or what is none.
    pub(super) last: Option<EventId>,
    /// What was no event when it came first.
    pub(super) garbled: Option<EventId>,
    /// What is no event, and came before the join was seen.
    pub(super) held: Held,
    /// The largest frame that the next connection is to send, in bytes: a larger one was met, and is given up.
    pub(super) at_most: Option<usize>,
    /// The same of the open connection.
    pub(super) left_out: Option<usize>,
}

impl<S: Source> Ingest<S> {
    /// A reader that goes on where `start` ends. `given` is the cursor for a source without a position.
    pub fn new(
        mut source: S,
        start: Start,
        slices: Arc<Slices>,
        log: Appender,
        live: Arc<Live>,
        given: Option<u64>,
    ) -> Self {
        if let Some(position) = &start.position {
            source.begin_with(&position.host);
        }
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
            passed: None,
            last: None,
            garbled: None,
            held: Held::default(),
            at_most: None,
            left_out: None,
        }
    }

    /// Reads until the source has ended. Dropping the future stops it; what was not handed to the log is read again.
    pub async fn run(mut self) -> Ended {
        loop {
            let host = self.source.host().to_owned();
            self.name = self.source.name();
            let ask = self.ask(&host);
            let over = match self.source.connect(ask, self.at_most).await {
                Ok(connection) => {
                    self.live.connected(&self.name, ask);
                    self.left_out = self.at_most.take();
                    let position = self.appending.position.as_ref().map(|position| position.id);
                    let join = Join::new(ask, self.passed.as_ref()).behind(position);
                    let mut join = if S::MAY_GARBLE { join } else { join.of_a_file() };
                    let over = self.read(connection, &mut join, &host).await;
                    self.passed = join.passed().cloned().or(self.passed.take());
                    over
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
        match (&error, ask) {
            (ConnectError::OtherSource(why), _) => return Some(Ended::OtherSource(why.clone())),
            // Nothing was read yet, so there is nothing to go back to by time.
            (ConnectError::CursorTooOld(why), Ask::Given(cursor)) => {
                return Some(Ended::Broken(format!(
                    "spec.source.jetstream.cursor: {cursor} is older than what {} has: {why}; \
                     give a later one, or a time in microseconds since 1970",
                    self.name
                )));
            }
            (ConnectError::CursorTooOld(_), _) => self.not_joined(ask, host),
            (ConnectError::NotReady(_) | ConnectError::Refused { .. } | ConnectError::Unreachable(_), _) => {
                self.next_host();
            }
        }
        self.wait(&error).await;
        None
    }

    /// Judges how a connection ended, and waits before the next.
    async fn after(&mut self, over: Over, ask: Ask, host: &str) -> Option<Ended> {
        match over {
            Over::Ended(ended) => return Some(ended),
            Over::Passed => {}
            Over::Held => {
                tracing::info!("the log has room again; the source, which was left meanwhile, is gone on with")
            }
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
                if lost.blames_host() || self.ignored(&lost) || self.backoff.failures() > 0 {
                    self.next_host();
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
        self.held = Held::default();
        match ask {
            Ask::Time { .. } => self.rewinds += 1,
            _ => self.new_sequences = Some(host.to_owned()),
        }
    }

    /// What was held back of a host says nothing of the next one.
    fn next_host(&mut self) {
        self.held = Held::default();
        self.source.next_host();
    }

    /// Whether the host sends what it was asked to leave out.
    fn ignored(&self, lost: &Lost) -> bool {
        matches!((lost, self.left_out), (Lost::Oversized { size, .. }, Some(at_most)) if *size > at_most)
    }
}
