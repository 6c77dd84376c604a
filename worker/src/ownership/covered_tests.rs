use super::*;
use crate::sinks::covered::tests::{event, had};
use crate::sinks::feed::SinkPosition;
use crate::sinks::postgres::Had;
use turbo_core::ownership::Owned;
use turbo_core::position::GENERATION;

fn numbered(shard: Shard, seq: u64, content: Content) -> Numbered {
    let item = Item { content, host: "a".into(), marks: Vec::new(), trace: None, rejoined: false };
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
