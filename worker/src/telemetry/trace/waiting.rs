//! Traced entries that were committed and are in no object of the archive yet: they wait for as long as a segment is open.
//!
//! Invariant: so many wait at most; the oldest are forgotten, and their traces end with the commit.

use super::TraceContext;
use std::collections::VecDeque;
use std::sync::Arc;

/// Entries that wait at most.
const MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    context: Arc<TraceContext>,
    slice: Box<str>,
    partition: u16,
    seq: u64,
}

impl Waiting {
    pub(super) fn push(&mut self, context: &Arc<TraceContext>, slice: &str, partition: u16, seq: u64) {
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back(Entry { context: context.clone(), slice: slice.into(), partition, seq });
    }

    /// The shard's entries up to this sequence.
    pub(super) fn take(&mut self, slice: &str, partition: u16, upto: u64) -> Vec<(Arc<TraceContext>, u64)> {
        let mut taken = Vec::new();
        self.0.retain(|entry| {
            let is_in = *entry.slice == *slice && entry.partition == partition && entry.seq <= upto;
            if is_in {
                taken.push((entry.context.clone(), entry.seq));
            }
            !is_in
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_takes_what_is_in_it_and_the_oldest_are_forgotten() {
        let context = Arc::new(TraceContext::root());
        let mut waiting = Waiting::default();
        for seq in 0..2 * MAX as u64 {
            waiting.push(&context, if seq % 2 == 0 { "a" } else { "b" }, 3, seq);
        }
        assert_eq!(waiting.0.len(), MAX);
        let first = MAX as u64;
        assert!(waiting.take("a", 4, u64::MAX).is_empty());
        let taken: Vec<u64> = waiting.take("a", 3, first + 5).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(taken, [first, first + 2, first + 4]);
        assert!(waiting.take("a", 3, first + 5).is_empty(), "once");
    }
}
