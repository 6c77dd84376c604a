//! A commit, as it is counted and shown: the same for SQLite and PostgreSQL.

use super::State;
use crate::telemetry::metrics as m;
use metrics::{counter, histogram};
use std::time::Duration;
use turbo_core::shard::Shard;

/// Rows that a commit wrote, or refused.
pub(super) struct Rows {
    pub(super) records: u64,
    pub(super) tombstones: u64,
    pub(super) refused: u64,
}

/// How far a commit moved a shard.
pub(super) struct Moved {
    pub(super) shard: Shard,
    pub(super) position: u64,
    pub(super) entries: u64,
    pub(super) dead_letters: u64,
    pub(super) time_us: Option<i64>,
}

impl State {
    /// Counts a commit; what was wrong before is over.
    pub(super) fn landed(&mut self, rows: Rows, shards: impl Iterator<Item = Moved>, took: Duration) {
        histogram!(m::COMMIT_SECONDS).record(took.as_secs_f64());
        for (what, count) in [("record", rows.records), ("tombstone", rows.tombstones), ("refused", rows.refused)] {
            counter!(m::ROWS, "what" => what).increment(count);
        }
        for moved in shards {
            counter!(m::COMMITTED).increment(moved.entries);
            counter!(m::DEAD_LETTERS).increment(moved.dead_letters);
            self.dead_letters += moved.dead_letters;
            self.database.entries += moved.entries;
            let Some(known) = self.shards.get_mut(&moved.shard) else { continue };
            known.position = moved.position;
            known.entries += moved.entries;
            known.time_us = moved.time_us.or(known.time_us);
        }
        self.database.commits += 1;
        self.database.error = None;
    }
}
