//! What a shard had of the source before its log was begun anew, and which the new log brings again.

use turbo_core::position::{SourcePosition, generation};

/// The last events that were committed, by the generation of the log: the latest one, and the one before it.
///
/// An event of a generation is covered by what was committed in an older one, of the same host, whose cursors grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Covered {
    /// The generation of `now`.
    current: u64,
    now: Option<(String, u64)>,
    had: Option<(String, u64)>,
}

impl Covered {
    /// What the row of a shard at this position says.
    pub(super) fn claimed(position: u64, now: Option<(String, u64)>, had: Option<(String, u64)>) -> Self {
        Self { current: generation(position), now, had }
    }

    /// A commit moved the shard to this position, with this last event.
    pub(super) fn moved(&mut self, position: u64, source: Option<&SourcePosition>) {
        if generation(position) > self.current {
            self.current = generation(position);
            self.had.clone_from(&self.now);
        }
        if let Some(SourcePosition { host, cursor, .. }) = source {
            self.now = cursor.map(|cursor| (host.clone(), cursor));
        }
    }

    /// Whether the shard had this event already.
    pub(super) fn has(&self, seq: u64, host: &str, cursor: Option<u64>) -> bool {
        let before = if generation(seq) > self.current { &self.now } else { &self.had };
        before.as_ref().zip(cursor).is_some_and(|((of, had), cursor)| of == host && cursor <= *had)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turbo_core::id::EventId;
    use turbo_core::position::GENERATION;

    fn at(host: &str, cursor: u64) -> SourcePosition {
        SourcePosition { host: host.into(), cursor: Some(cursor), time_us: 0, id: EventId(0) }
    }

    #[test]
    fn a_new_generation_brings_again_what_an_older_one_had() {
        let mut covered = Covered::claimed(100, Some(("a".into(), 50)), None);
        assert!(!covered.has(101, "a", Some(40)), "of the same generation: it is new");
        let seq = GENERATION + 1;
        assert!(covered.has(seq, "a", Some(50)) && !covered.has(seq, "a", Some(51)));
        assert!(!covered.has(seq, "b", Some(1)) && !covered.has(seq, "a", None), "of another host it is not known");
        // It stays covered behind the first commits of the new one, also for whoever claims the shard then.
        covered.moved(GENERATION + 7, Some(&at("a", 53)));
        assert!(covered.has(seq, "a", Some(50)) && !covered.has(seq, "a", Some(51)));
        let claimed = Covered::claimed(GENERATION + 7, Some(("a".into(), 53)), Some(("a".into(), 50)));
        assert!(claimed.has(seq, "a", Some(50)) && !claimed.has(seq, "a", Some(52)));
        assert!(claimed.has(2 * GENERATION, "a", Some(53)), "and the next one covers more");
    }

    #[test]
    fn what_is_covered_alone_moves_the_generation_and_keeps_what_was_had() {
        let mut covered = Covered::claimed(100, Some(("a".into(), 50)), None);
        covered.moved(GENERATION + 1, None);
        assert!(covered.has(GENERATION + 2, "a", Some(50)) && !covered.has(GENERATION + 3, "a", Some(51)));
    }
}
