//! What one sink of a shard had of the source before the log was begun anew, and which the new log brings again.
//!
//! An event of a generation is covered by what was had in an older one, of the same host: its cursors and its times grow. A
//! host that numbers anew, be it much later, gives small cursors again, but to later times: those are new.

use super::postgres::Had;
use crate::log::Item;
use turbo_core::event::Event;
use turbo_core::position::{SourcePosition, generation};

/// The last events that were committed, by the generation of the log: the latest one, and the one before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covered {
    /// Where `now` was in the log.
    position: u64,
    now: Option<Had>,
    had: Option<Had>,
}

impl Covered {
    /// What the row of a shard at this position says.
    pub(crate) fn claimed(position: u64, now: Option<Had>, had: Option<Had>) -> Self {
        Self { position, now, had }
    }

    /// A commit moved the shard to this position, with this last event.
    pub(crate) fn moved(&mut self, position: u64, source: Option<&SourcePosition>) {
        // A sink is handed again what it has, where another one lacks it.
        if position <= self.position {
            return;
        }
        if generation(position) > generation(self.position) {
            self.had.clone_from(&self.now);
        }
        self.position = position;
        if let Some(SourcePosition { host, cursor, time_us, .. }) = source {
            self.now = cursor.map(|cursor| Had { host: host.clone(), cursor, time_us: Some(*time_us) });
        }
    }

    /// The source time of the last event, in microseconds, where it has a cursor.
    pub(crate) fn time_us(&self) -> Option<i64> {
        self.now.as_ref()?.time_us
    }

    /// Whether the shard had this event of a host already.
    pub(crate) fn has(&self, seq: u64, item: &Item, event: &Event) -> bool {
        if item.rejoined {
            return false;
        }
        let before = if generation(seq) > generation(self.position) { &self.now } else { &self.had };
        before.as_ref().zip(event.cursor).is_some_and(|(had, cursor)| {
            had.host == *item.host && cursor <= had.cursor && had.time_us.is_none_or(|time_us| event.time_us <= time_us)
        })
    }
}

#[cfg(test)]
#[path = "covered_tests.rs"]
pub(crate) mod tests;
