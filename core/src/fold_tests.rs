use super::*;
use crate::event::Operation;
use crate::testing::{account, change, identity, sync};
use proptest::prelude::*;
use std::collections::BTreeMap;

type Key = (u16, String, String);

/// Handle, whether it is active, and the log sequence.
type AccountRow = (Option<String>, Option<bool>, u64);

/// The records as a sink holds them. A tombstone is a row without a record.
#[derive(Clone, Debug, Default, PartialEq)]
struct Table {
    rows: BTreeMap<Key, (String, Option<Bytes>, u64)>,
    floors: BTreeMap<(u16, String), Floor>,
    accounts: BTreeMap<String, AccountRow>,
}

impl Table {
    fn known<'a>(&self, batch: &'a [Logged<'a>]) -> HashMap<RepoKey<'a>, Known> {
        let mut known = HashMap::<RepoKey<'a>, Known>::new();
        for logged in batch {
            let repo = (logged.shard.slice, &*logged.event.key);
            known.entry(repo).or_default().floor = self.floors.get(&(repo.0, repo.1.to_owned())).cloned();
        }
        for repo in needs_highest(batch) {
            let revs = self.rows.iter().filter(|(key, _)| (key.0, &*key.1) == repo).map(|(_, row)| row.0.as_str());
            known.entry(repo).or_default().highest = revs.max().map(Into::into);
        }
        known
    }

    fn apply(&mut self, batch: &[Logged<'_>]) {
        let known = self.known(batch);
        let folded = fold(batch, &known);
        for barrier in folded.barriers {
            match barrier {
                Barrier::Replaced { repo, seq, rev } => {
                    self.rows.retain(|key, row| (key.0, &*key.1) != repo || row.0.as_str() > rev || row.2 >= seq)
                }
                Barrier::Removed { repo } => self.rows.retain(|key, _| (key.0, &*key.1) != repo),
            }
        }
        for ((slice, key, _, rkey), row) in folded.rows {
            let old = self.rows.get(&(slice, key.to_owned(), rkey.to_owned()));
            if old.is_none_or(|old| *row.commit.rev > *old.0) {
                let new = (row.commit.rev.to_string(), row.record().cloned(), row.seq);
                self.rows.insert((slice, key.to_owned(), rkey.to_owned()), new);
            }
        }
        self.floors.extend(folded.floors.into_iter().map(|((slice, key), floor)| ((slice, key.to_owned()), floor)));
        for (key, account) in folded.accounts {
            let old = self.accounts.entry(key.to_owned()).or_default();
            if account.seq > old.2 {
                let handle = account.handle.map(str::to_owned).or_else(|| old.0.take());
                *old = (handle, account.state.map(|s| s.0).or(old.1), account.seq);
            }
        }
    }

    fn record(&self, key: &str, rkey: &str) -> Option<&Bytes> {
        self.rows.get(&(0, key.to_owned(), rkey.to_owned())).and_then(|row| row.1.as_ref())
    }
}

fn logged(events: &[Event], slices: u16) -> Vec<Logged<'_>> {
    events
        .iter()
        .enumerate()
        .flat_map(|(at, event)| {
            let all = if matches!(event.body, Body::Commit(_)) { 0..1 } else { 0..slices };
            all.map(move |slice| Logged {
                seq: at as u64 + 1,
                shard: Shard { slice, partition: 0 },
                event,
                hydrated: None,
            })
        })
        .collect()
}

fn after(events: &[Event]) -> Table {
    let mut table = Table::default();
    table.apply(&logged(events, 2));
    table
}

fn create(rev: i64, rkey: &str) -> Event {
    change("a", Operation::Create, rev, rkey, rev)
}

fn delete(rev: i64, rkey: &str) -> Event {
    change("a", Operation::Delete, rev, rkey, rev)
}

#[test]
fn a_delete_that_an_old_revision_follows() {
    let table = after(&[create(1, "k"), delete(3, "k"), create(2, "k")]);
    assert_eq!(table.record("a", "k"), None);
    assert!(after(&[create(1, "k"), delete(3, "k"), create(4, "k")]).record("a", "k").is_some());
}

#[test]
fn a_sync_whose_creates_bear_its_own_rev() {
    let table = after(&[create(1, "gone"), create(2, "kept"), sync("a", 2, 9), create(2, "kept"), create(1, "late")]);
    assert_eq!(table.record("a", "gone"), None);
    assert!(table.record("a", "kept").is_some());
    assert_eq!(table.record("a", "late"), None, "older than the sync");
}

#[test]
fn a_sync_spares_what_is_newer_than_it() {
    assert!(after(&[create(5, "k"), sync("a", 4, 9)]).record("a", "k").is_some());
}

#[test]
fn a_deleted_account_and_the_sync_that_brings_it_back() {
    let gone = [create(5, "k"), account("a", false, 9), create(5, "k"), create(4, "j")];
    assert!(after(&gone).rows.is_empty());
    let mut back = gone.to_vec();
    back.extend([account("a", true, 10), sync("a", 5, 11), create(5, "k")]);
    assert!(after(&back).record("a", "k").is_some());
    assert_eq!(after(&back).accounts["a"].1, Some(true));
}

#[test]
fn every_other_inactive_state_keeps_the_rows() {
    let mut suspended = account("a", false, 9);
    suspended.body = Body::Account { active: false, status: Some("suspended".into()), time: "t".into() };
    let table = after(&[create(5, "k"), suspended]);
    assert!(table.record("a", "k").is_some());
    assert_eq!(table.accounts["a"].1, Some(false));
}

#[test]
fn refused_commits_are_counted() {
    let events = [sync("a", 5, 1), create(4, "k"), create(6, "k")];
    let batch = logged(&events, 1);
    assert_eq!(fold(&batch, &HashMap::new()).refused, 1);
}

fn arbitrary_event() -> impl Strategy<Value = Event> {
    let key = prop_oneof![Just("a"), Just("b")];
    let rkey = prop_oneof![Just("x"), Just("y"), Just("z")];
    (key, rkey, 0u8..10, 1i64..12).prop_map(|(key, rkey, what, rev)| match what {
        0 => sync(key, rev, rev),
        1 => account(key, false, rev),
        2 => account(key, true, rev),
        3 | 4 => change(key, Operation::Delete, rev, rkey, rev),
        _ => change(key, Operation::Create, rev, rkey, rev),
    })
}

/// Some account's new handle, or its new state.
fn arbitrary_news() -> impl Strategy<Value = Event> {
    let key = prop_oneof![Just("a"), Just("b")];
    (key, 0u8..4, 1i64..1000).prop_map(|(key, what, time_us)| match what {
        0 | 1 => identity(key, &format!("h{time_us}"), time_us),
        what => account(key, what == 2, time_us),
    })
}

/// What the shards of several slices have of these events, each as far as its own position, handed over in batches that
/// move some of the shards.
fn batches_at_own_paces<'a>(events: &'a [Event], moves: &[[usize; 3]]) -> Vec<(usize, Vec<Logged<'a>>)> {
    let mut at = [0; 3];
    let mut batches = Vec::new();
    for by in moves.iter().chain([&[events.len(); 3]]) {
        let mut batch = Vec::new();
        for (slice, (at, by)) in (0u16..).zip(at.iter_mut().zip(by)) {
            let to = (*at + by).min(events.len());
            for (index, event) in events.iter().enumerate().take(to).skip(*at) {
                let seq = index as u64 * 3 + u64::from(slice) + 1;
                batch.push(Logged { seq, shard: Shard { slice, partition: 0 }, event, hydrated: None });
            }
            *at = to;
        }
        batches.push((at.into_iter().max().unwrap(), batch));
    }
    batches
}

proptest! {
    #[test]
    fn of_an_account_counts_the_slice_that_is_farthest(
        events in prop::collection::vec(arbitrary_news(), 1..20),
        moves in prop::collection::vec([0usize..6, 0usize..6, 0usize..6], 0..8),
    ) {
        let mut table = Table::default();
        for (farthest, batch) in batches_at_own_paces(&events, &moves) {
            table.apply(&batch);
            for (key, (handle, active, _)) in &table.accounts {
                let mut of = events.iter().take(farthest).rev().filter(|event| *event.key == **key);
                let said = of.clone().find_map(|event| match &event.body {
                    Body::Identity { handle, .. } => handle.as_deref(),
                    _ => None,
                });
                let was = of.find_map(|event| match event.body {
                    Body::Account { active, .. } => Some(active),
                    _ => None,
                });
                prop_assert_eq!((handle.as_deref(), *active), (said, was));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_split_into_batches_gives_the_same(
        events in prop::collection::vec(arbitrary_event(), 0..40), cuts in prop::collection::vec(1usize..9, 40),
    ) {
        let all = logged(&events, 2);
        let (mut single, mut whole, mut split) = (Table::default(), Table::default(), Table::default());
        for one in all.chunks(1) {
            single.apply(one);
        }
        whole.apply(&all);
        let mut rest = &all[..];
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            split.apply(now);
            rest = later;
        }
        split.apply(rest);
        prop_assert_eq!(&whole, &single);
        prop_assert_eq!(&split, &single);
    }
}
