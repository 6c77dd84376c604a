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
            && !covered.has(*seq, &item.host, event)
        {
            let Item { host, marks, trace, .. } = &**item;
            let (host, marks, trace) = (host.clone(), marks.clone(), trace.clone());
            *item = Arc::new(Item { content: Content::Event(event.clone()), host, marks, trace });
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
mod tests {
    use super::*;
    use crate::sinks::covered::tests::{event, had};
    use crate::sinks::feed::SinkPosition;
    use crate::sinks::postgres::Had;
    use turbo_core::ownership::Owned;
    use turbo_core::position::GENERATION;

    fn numbered(shard: Shard, seq: u64, content: Content) -> Numbered {
        let item = Item { content, host: "a".into(), marks: Vec::new(), trace: None };
        Numbered { entry: Entry::new(seq, shard, Arc::new(item)), number: seq % GENERATION }
    }

    fn claimed(shard: Shard, position: u64, cursor: u64, sinks: [(&str, Beside); 3]) -> Claimed {
        Claimed {
            owned: Owned::claimed(shard, 1, position),
            number: position,
            time_us: None,
            source: had("a", cursor),
            had: None,
            sinks: sinks.map(|(name, sink)| (name.to_owned(), sink)).into(),
            removed: BTreeMap::new(),
            went_back: false,
        }
    }

    fn beside(seq: u64, source: Option<Had>) -> Beside {
        Beside { position: SinkPosition { seq, number: seq }, source, had: None }
    }

    /// The cursors of the events among the entries.
    fn events(entries: &Entries) -> Vec<u64> {
        entries.iter().filter_map(|numbered| numbered.entry.item.event()?.cursor).collect()
    }

    #[test]
    fn a_sink_that_was_behind_gets_what_the_database_had_already_and_no_other_does() {
        let shard = Shard { slice: 0, partition: 0 };
        let sinks = [
            ("archive", beside(70, had("a", 20))),
            ("enriched", beside(100, had("a", 50))),
            ("unplaced", beside(70, None)),
        ];
        let mut shards = BTreeMap::from([(shard, Sinks::claimed(&claimed(shard, 100, 50, sinks)))]);
        let content = |cursor| Box::new(event(Some(cursor)));
        let begun: Vec<Numbered> = [
            numbered(shard, GENERATION + 1, Content::Covered(content(19))),
            numbered(shard, GENERATION + 2, Content::Covered(content(30))),
            numbered(shard, GENERATION + 3, Content::Covered(content(50))),
            numbered(shard, GENERATION + 4, Content::Event(content(51))),
        ]
        .into();
        let all = Entries::from(begun);
        assert_eq!(events(&handed(&mut shards, "archive", &all)), [30, 50, 51]);
        assert_eq!(events(&handed(&mut shards, "enriched", &all)), [51]);
        assert_eq!(events(&handed(&mut shards, "unplaced", &all)), [51], "it is told that this one lacks something");
        // Whoever claims it in the middle goes on there.
        let middle = Beside { had: had("a", 20), ..beside(GENERATION + 2, had("a", 30)) };
        let sinks = [("archive", middle.clone()), ("enriched", middle.clone()), ("unplaced", middle)];
        let mut later = Claimed { had: had("a", 50), ..claimed(shard, GENERATION + 4, 51, sinks) };
        later.source = had("a", 51);
        let mut shards = BTreeMap::from([(shard, Sinks::claimed(&later))]);
        assert_eq!(events(&handed(&mut shards, "archive", &all)), [30, 50, 51], "it passes over what it has by itself");
    }

    #[test]
    fn what_a_sink_is_handed_once_more_is_no_step_back() {
        let shard = Shard { slice: 0, partition: 0 };
        let other = || ("other", Beside::default());
        let sinks = [("archive", beside(100, had("a", 50))), other(), ("none", Beside::default())];
        let mut shards = BTreeMap::from([(shard, Sinks::claimed(&claimed(shard, 100, 50, sinks)))]);
        let again = Entries::from(vec![numbered(shard, 60, Content::Event(Box::new(event(Some(10)))))]);
        handed(&mut shards, "archive", &again);
        let anew = Entries::from(vec![numbered(shard, GENERATION + 1, Content::Covered(Box::new(event(Some(45)))))]);
        assert!(events(&handed(&mut shards, "archive", &anew)).is_empty());
    }
}
