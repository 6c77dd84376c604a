use super::*;
use proptest::prelude::*;

const SHARD: Shard = Shard { slice: 1, partition: 2 };

fn id(name: &str) -> WorkerId {
    name.into()
}

fn row(epoch: u64, owner: Option<&str>, position: u64) -> Row {
    Row { epoch, owner: owner.map(id), position }
}

fn nobody_is_gone(_: &WorkerId) -> bool {
    false
}

#[test]
fn a_claim_waits_for_a_release_or_for_the_owner_to_be_gone() {
    let (claimed, owned) = claim(&Row::default(), SHARD, &id("a"), 0, nobody_is_gone).unwrap();
    assert_eq!(claimed, row(1, Some("a"), 0));
    assert_eq!((owned.shard(), owned.epoch(), owned.position()), (SHARD, 1, 0));
    assert_eq!(claim(&claimed, SHARD, &id("b"), 0, nobody_is_gone), None);
    let (stolen, _) = claim(&claimed, SHARD, &id("b"), 0, |owner| owner.as_str() == "a").unwrap();
    assert_eq!(stolen, row(2, Some("b"), 0));
    let released = release(&claimed, owned);
    assert_eq!(released, row(1, None, 0));
    assert_eq!(claim(&released, SHARD, &id("b"), 0, nobody_is_gone).unwrap().0, row(2, Some("b"), 0));
}

#[test]
fn one_s_own_shard_gets_a_new_epoch_too() {
    let (again, owned) = claim(&row(4, Some("a"), 17), SHARD, &id("a"), 0, nobody_is_gone).unwrap();
    assert_eq!((again, owned.epoch(), owned.position()), (row(5, Some("a"), 17), 5, 17));
}

#[test]
fn a_claim_in_a_restored_catalog_is_above_every_epoch_seen() {
    assert_eq!(claim(&row(4, None, 17), SHARD, &id("a"), 9, nobody_is_gone).unwrap().0, row(10, Some("a"), 17));
}

#[test]
fn a_commit_lands_on_its_epoch_and_its_position() {
    let owned = Owned::claimed(SHARD, 3, 10);
    assert_eq!(commit(&row(3, Some("a"), 10), &owned, 12), Ok(row(3, Some("a"), 12)));
    let fenced = |row: Row| commit(&row, &owned, 12).unwrap_err();
    assert_eq!(fenced(row(4, Some("b"), 10)), Fenced::StaleEpoch { mine: 3, row: 4 });
    assert_eq!(fenced(row(3, Some("a"), 12)), Fenced::Moved { from: 10, to: 12 });
    let went_back = |epoch, position| Fenced::WentBack { epoch, position, seen: (3, 10) };
    assert_eq!(fenced(row(3, Some("a"), 9)), went_back(3, 9));
    assert_eq!(fenced(row(2, Some("a"), 10)), went_back(2, 10));
    assert_eq!(
        fenced(row(2, Some("a"), 10)).to_string(),
        "the catalog went back: epoch 2, position 10, where 3 and 10 were seen"
    );
}

#[test]
fn an_owner_goes_on_from_what_stands_in_the_row() {
    let owned = || Owned::claimed(SHARD, 3, 10);
    assert_eq!(owned().go_on(&row(3, Some("a"), 10)), Ok(owned()));
    assert_eq!(owned().go_on(&row(3, Some("a"), 12)), Ok(Owned::claimed(SHARD, 3, 12)));
    assert_eq!(owned().go_on(&row(4, Some("b"), 12)), Err(Fenced::StaleEpoch { mine: 3, row: 4 }));
    assert!(matches!(owned().go_on(&row(3, Some("a"), 9)), Err(Fenced::WentBack { .. })));
}

#[test]
fn a_late_release_leaves_the_next_owner_alone() {
    let taken = row(4, Some("b"), 12);
    assert_eq!(release(&taken, Owned::claimed(SHARD, 3, 10)), taken);
}

proptest! {
    /// Whatever is claimed, committed and released in any order, by owners old and new: epochs and positions only grow,
    /// and a commit lands for the last claimer only.
    #[test]
    fn only_the_last_claimer_commits(steps in prop::collection::vec((0usize..3, 0u8..4, any::<bool>()), 0..60)) {
        let mut row = Row::default();
        let mut held: [Option<Owned>; 3] = [None, None, None];
        let mut last_claimer = None;
        for (worker, step, gone) in steps {
            let before = row.clone();
            match (step, held[worker].take()) {
                (0, _) => {
                    let Some((next, owned)) = claim(&row, SHARD, &id(&worker.to_string()), 0, |_| gone) else { continue };
                    (row, held[worker], last_claimer) = (next, Some(owned), Some(worker));
                    prop_assert_eq!(row.epoch, before.epoch + 1);
                }
                (1, Some(owned)) => row = release(&row, owned),
                (_, Some(owned)) => {
                    let landed = commit(&row, &owned, owned.position() + 1);
                    prop_assert_eq!(landed.is_ok(), last_claimer == Some(worker));
                    row = landed.unwrap_or(row);
                    held[worker] = owned.go_on(&row).ok();
                }
                (_, None) => {}
            }
            prop_assert!(row.epoch >= before.epoch && row.position >= before.position);
        }
    }
}

const LIMIT: Duration = Duration::from_secs(12);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An observer that looks every second, and hears of `a` at each look until `last`.
fn watched(last: u64, until: u64) -> Liveness {
    let mut liveness = Liveness::new(LIMIT, at(1_000));
    for second in 0..=until {
        liveness.heard(&id("a"), second.min(last), at(1_000 + second));
    }
    liveness
}

#[test]
fn a_worker_is_gone_a_limit_after_its_last_new_heartbeat() {
    assert!(!watched(20, 31).gone(&id("a")));
    assert_eq!(watched(20, 31).live().collect::<Vec<_>>(), [&id("a")]);
    assert!(watched(20, 32).gone(&id("a")));
    assert_eq!(watched(20, 32).live().count(), 0);
}

#[test]
fn a_worker_that_is_heard_again_lives() {
    let mut liveness = watched(0, 20);
    assert!(liveness.gone(&id("a")));
    // Any other revision is a new heartbeat: a bucket that was made anew counts from the start.
    liveness.heard(&id("a"), 7, at(1_021));
    assert!(!liveness.gone(&id("a")));
}

#[test]
fn an_observer_that_has_just_begun_takes_nobody_for_gone() {
    let mut liveness = Liveness::new(LIMIT, at(5));
    assert!(!liveness.gone(&id("never heard of")));
    (6..=16).for_each(|second| liveness.tick(at(second)));
    assert!(!liveness.gone(&id("never heard of")));
    liveness.tick(at(17));
    assert!(liveness.gone(&id("never heard of")));
}

#[test]
fn an_observer_that_was_paused_takes_nobody_for_gone() {
    let mut liveness = watched(20, 20);
    liveness.tick(at(1_020 + 3_600));
    assert!(!liveness.gone(&id("a")));
    liveness.heard(&id("a"), 3_620, at(1_020 + 3_601));
    assert!(!liveness.gone(&id("a")));
}

#[test]
fn a_worker_that_left_is_gone_at_once() {
    let mut liveness = watched(20, 20);
    liveness.left(&id("a"));
    assert!(liveness.gone(&id("a")));
    liveness.heard(&id("a"), 21, at(1_021));
    assert!(!liveness.gone(&id("a")));
}

#[test]
fn a_clock_that_goes_back_harms_nothing() {
    let mut liveness = watched(20, 20);
    liveness.tick(at(0));
    liveness.tick(at(1_021));
    assert!(!liveness.gone(&id("a")));
}
