use super::*;
use crate::ownership::Heartbeat;
use std::collections::BTreeMap;
use turbo_core::ownership::Row;
use turbo_core::plan::Plan;

const SHARD: Shard = Shard { slice: 0, partition: 1 };

/// Of this plan, and of workers that were heard so many seconds ago, and say this error.
fn seen(planned: &str, heard: &[(&str, i64, Option<&str>)]) -> Seen {
    let beat = |(worker, ago, error): &(&str, i64, Option<&str>)| {
        let beat = Heartbeat { at_us: -ago * 1_000_000, says: serde_json::json!({ "error": error }) };
        (WorkerId::from(*worker), beat)
    };
    let plan = Plan::of_owners(1, [(SHARD, WorkerId::from(planned))]);
    let beats = heard.iter().map(beat).collect();
    Seen { plan, beats, standing: None, depths: BTreeMap::new(), incomplete: BTreeMap::new(), now_us: 0 }
}

fn standing(owner: Option<&str>, position: u64, archive: u64) -> Standing {
    let row = Row { owner: owner.map(WorkerId::from), position, ..Row::default() };
    Standing { row, time_us: None, sinks: [("archive".to_owned(), archive)].into(), ..Standing::default() }
}

fn waiting(waiting: Option<u64>) -> Depth {
    Depth { waiting, ..Depth::default() }
}

#[test]
fn nobody_who_has_gone_is_said_to_come() {
    let why = |seen: &Seen, owner| seen.why(SHARD, Some(&standing(owner, 9, 9)), waiting(Some(3))).unwrap();
    assert_eq!(why(&seen("a", &[("a", 1, None)]), None), "a is about to claim it");
    for gone in [&[][..], &[("a", 1200, None)]] {
        assert_eq!(why(&seen("a", gone), None), "no worker lives that could own it");
    }
    assert_eq!(why(&seen("a", &[("a", 60, None)]), Some("a")), "its owner was not heard for 60 s");
    assert_eq!(why(&seen("a", &[]), Some("a")), "its owner is gone");
    assert_eq!(why(&seen("b", &[("b", 1, None)]), Some("a")), "its owner is gone; b takes it over");
    assert_eq!(why(&seen("b", &[("a", 1, None), ("b", 1, None)]), Some("a")), "it moves to b");
}

#[test]
fn what_an_owner_says_is_the_reason_only_where_something_waits() {
    let seen = seen("a", &[("a", 1, Some("S3 is away"))]);
    let why = |archive, depth| seen.why(SHARD, Some(&standing(Some("a"), 9, archive)), waiting(depth));
    assert_eq!(why(9, Some(0)), None);
    assert_eq!(why(9, Some(4)).unwrap(), "its owner is held: S3 is away");
    assert_eq!(why(5, Some(0)).unwrap(), "archive is at 5, the checkpoint at 9: S3 is away");
    assert!(why(9, None).unwrap().starts_with("what waits is not known"));
    assert_eq!(seen.why(SHARD, None, waiting(Some(4))).unwrap(), "the catalog does not answer");
}
