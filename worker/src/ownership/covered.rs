//! What the sinks of a shard had of the source before its log was begun anew, and which the new log brings again.
//!
//! The source is read again from where the sink was that had the least: what others had is left out for them.

use crate::log::{Content, Entry, Item, Numbered};
use crate::sinks::covered::Covered;
use crate::sinks::feed::Entries;
use crate::sinks::postgres::{Beside, Claimed};
use std::collections::BTreeMap;
use std::sync::Arc;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;

/// What each sink of a shard had.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    /// The database, which has what any of them has.
    pub(super) database: Covered,
    /// The sinks beside it, up to what was handed to them.
    beside: BTreeMap<String, Covered>,
}

impl Sinks {
    /// What the rows of a claimed shard say. Of a sink whose row does not know the source, it is taken to have had what the
    /// database had: what it lacks is told as a gap.
    pub(super) fn claimed(claimed: &Claimed) -> Self {
        let at = claimed.owned.position();
        let database = Covered::claimed(at, claimed.source.clone(), claimed.had.clone());
        let of = |sink: &Beside| match sink.source {
            Some(_) => Covered::claimed(sink.position.seq, sink.source.clone(), sink.had.clone()),
            None => database.clone(),
        };
        let beside = claimed.sinks.iter().map(|(name, sink)| (name.clone(), of(sink))).collect();
        Self { database, beside }
    }

    /// What of an entry is for the sink: that it is covered is said of the database, which may have had what this one lacks.
    fn of(&self, sink: &str, numbered: &Numbered) -> Numbered {
        let mut numbered = numbered.clone();
        let Entry { seq, item, .. } = &mut numbered.entry;
        if let (Content::Covered(event), Some(covered)) = (&item.content, self.beside.get(sink))
            && !covered.has(*seq, item, event)
        {
            let Item { host, marks, trace, rejoined, .. } = &**item;
            let (host, marks, trace, rejoined) = (host.clone(), marks.clone(), trace.clone(), *rejoined);
            *item = Arc::new(Item { content: Content::Event(event.clone()), host, marks, trace, rejoined });
        }
        numbered
    }
}

/// What of a commit, of one generation of the log, is handed to a sink.
pub(super) fn handed(shards: &mut BTreeMap<Shard, Sinks>, sink: &str, all: &Entries) -> Entries {
    let entries = match all.iter().any(|numbered| matches!(numbered.entry.item.content, Content::Covered(_))) {
        true => all.each(|numbered| {
            shards.get(&numbered.entry.shard).map_or_else(|| numbered.clone(), |of| of.of(sink, numbered))
        }),
        false => all.clone(),
    };
    let mut last = BTreeMap::<Shard, (u64, Option<SourcePosition>)>::new();
    for Numbered { entry, .. } in entries.iter().rev() {
        let (_, source) = last.entry(entry.shard).or_insert((entry.seq, None));
        if source.is_none() {
            *source = entry.source();
        }
    }
    for (shard, (seq, source)) in last {
        if let Some(covered) = shards.get_mut(&shard).and_then(|of| of.beside.get_mut(sink)) {
            covered.moved(seq, source.as_ref());
        }
    }
    entries
}

#[cfg(test)]
#[path = "covered_tests.rs"]
mod tests;
