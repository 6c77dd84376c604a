//! One connection: what it gives is judged, and appended.

use super::patience::Patience;
use super::reader::{Ended, Ingest, Over};
use crate::log::Gap;
use crate::log::embedded::Closed;
use crate::sources::{Connection, Lost, Received, Source};
use crate::telemetry::{events, trace};
use futures_util::FutureExt;
use std::pin::pin;
use std::time::Duration;
use turbo_core::event::Event;
use turbo_core::id::EventId;
use turbo_core::join::{GivenUp, Identified, Join, Step};

/// How long a full log keeps a connection open that is not read.
const HELD: Duration = Duration::from_secs(10);

impl<S: Source> Ingest<S> {
    /// Reads a connection until it is over.
    pub(super) async fn read(&mut self, mut connection: S::Connection, join: &mut Join, host: &str) -> Over {
        // What is no event is known again by its place, which begins with the connection.
        self.last = None;
        let mut patience = Patience::new();
        loop {
            // A recording is read up to the position first, however long that takes.
            let received = if join.joined() || !S::MAY_GARBLE {
                Some(connection.next().await)
            } else {
                tokio::time::timeout_at(patience.deadline(), connection.next()).await.ok()
            };
            let mut over = match received {
                Some(received) => self.take(received, join, host, &mut patience),
                None => self.gave_up(join, host, &mut patience),
            };
            while over.is_none() && !self.appending.is_full() {
                let Some(received) = connection.next().now_or_never() else { break };
                over = self.take(received, join, host, &mut patience);
            }
            let mut flush = pin!(self.flush());
            let flushed = match tokio::time::timeout(HELD, &mut flush).await {
                Ok(flushed) => flushed,
                // A host drops who does not read; it is left before, in good order.
                Err(_) if S::MAY_GARBLE => {
                    drop(connection);
                    let flushed = flush.await;
                    return flushed.map_or_else(|closed| Over::Ended(closed.into()), |()| over.unwrap_or(Over::Held));
                }
                Err(_) => flush.await,
            };
            if let Err(closed) = flushed {
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
        patience: &mut Patience,
    ) -> Option<Over> {
        match received {
            Err(lost) => {
                if let Lost::Oversized { size, limit } = lost {
                    self.oversized(size, limit, join, host);
                }
                Some(Over::Lost(lost))
            }
            Ok(Received::End) if !join.joined() => Some(Over::Ended(Ended::OtherSource(format!(
                "spec.source.recording.path: the file ends before the position, {}; give the file that the position is of",
                self.appending.position.as_ref().map(ToString::to_string).unwrap_or_default()
            )))),
            Ok(Received::End) => Some(Over::Ended(Ended::Source)),
            Ok(Received::Event(event)) => self.event(event, join, host, patience),
            Ok(Received::Unreadable { bytes, reason }) => self.unreadable(bytes, reason, join, host),
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

    fn event(&mut self, event: Box<Event>, join: &mut Join, host: &str, patience: &mut Patience) -> Option<Over> {
        let id = EventId::of(&event);
        self.last = Some(id);
        let (numbered, time_us) = (event.cursor.is_some(), event.time_us);
        let step = join.take(event, id, &self.appending.window);
        // What was left out is behind, and this event can be gone on from exactly: now with everything.
        let passed = self.left_out.is_some() && numbered && matches!(step, Step::Append(_) | Step::Known(_));
        match step {
            Step::Append(event) => self.appending.event(event, id, host),
            Step::Known((event, _)) => {
                self.live.known();
                self.appending.moved(&event, id, host);
            }
            Step::Dropped => {
                patience.passes(time_us);
                return None;
            }
            Step::Held => {
                if join.held() == 1 {
                    patience.renew();
                }
                return None;
            }
            Step::Joined { held, known } => {
                let (known, in_window) = known;
                self.joined(join, host, Some((in_window, known.time_us)));
                events::Joined { host: &self.name, held: held.len(), window: &self.appending.window }.emit();
                // What is held back may move it out of the window.
                let new = !self.appending.window.contains(in_window);
                self.appending.window.align(in_window, known.time_us);
                self.append_held(held, host);
                self.release(host);
                match new {
                    true => self.appending.event((known, in_window), id, host),
                    false => self.appending.moved(&known, id, host),
                }
            }
            Step::NotJoined => return Some(Over::NotJoined),
            Step::Full => return self.gave_up(join, host, patience),
        }
        self.backoff.reset();
        passed.then_some(Over::Passed)
    }

    /// The stream was joined at this event of the window, which its host gives this time, or behind a gap.
    fn joined(&mut self, join: &Join, host: &str, known: Option<(EventId, i64)>) {
        if join.is_by_time() {
            self.appending.rejoined(host, known);
        }
        self.rewinds = 0;
        self.new_sequences = None;
        self.live.joined(&self.name);
    }

    /// No known event came in time.
    fn gave_up(&mut self, join: &mut Join, host: &str, patience: &mut Patience) -> Option<Over> {
        let (held, to_us) = match join.give_up() {
            GivenUp::NotJoined => return Some(Over::NotJoined),
            // It may be far behind, and another one not.
            GivenUp::Waits if self.source.has_others() => return Some(Over::Lost(Lost::Behind)),
            GivenUp::Waits => {
                patience.renew();
                return None;
            }
            GivenUp::Gap { held, to_us } => (held, to_us),
        };
        let from_us = self.appending.position.as_ref().map_or(0, |position| position.time_us);
        let gap = Gap {
            host: host.to_owned(),
            from_us,
            // A stream that began before the position, and does not show it: where the gap ends is not known.
            to_us: to_us.filter(|to_us| *to_us >= from_us),
            reason: "the stream did not join within the dedup window".into(),
        };
        events::GapFound { gap: &gap }.emit();
        self.live.gap();
        self.appending.gap(gap);
        self.joined(join, host, None);
        self.append_held(held, host);
        self.release(host);
        None
    }

    fn append_held(&mut self, held: Vec<Identified>, host: &str) {
        for event in held {
            let own = EventId::of(&event.0);
            self.appending.event(event, own, host);
        }
    }
}

#[cfg(test)]
#[path = "silent_tests.rs"]
mod silent_tests;

#[cfg(test)]
#[path = "receiving_tests.rs"]
mod tests;
