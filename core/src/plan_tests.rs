use super::*;
use proptest::prelude::*;

fn worker(n: u8) -> WorkerId {
    format!("pod-{n:02}").into()
}

fn workers(ids: impl IntoIterator<Item = u8>) -> BTreeSet<WorkerId> {
    ids.into_iter().map(worker).collect()
}

fn shard(n: u16) -> Shard {
    Shard { slice: n / 8, partition: n % 8 }
}

fn weighed(weights: &[u64]) -> BTreeMap<Shard, u64> {
    (0..).map(shard).zip(weights.iter().copied()).collect()
}

fn counts(plan: &Plan) -> Vec<usize> {
    plan.workers().map(|(_, shards)| shards.len()).collect()
}

fn sums(plan: &Plan, weights: &BTreeMap<Shard, u64>) -> Vec<u128> {
    plan.workers().map(|(_, shards)| shards.iter().map(|shard| u128::from(weights[shard])).sum()).collect()
}

fn spread(plan: &Plan, weights: &BTreeMap<Shard, u64>) -> u128 {
    let sums = sums(plan, weights);
    sums.iter().max().unwrap_or(&0) - sums.iter().min().unwrap_or(&0)
}

/// The shards that both plans give to somebody, and not to the same worker.
fn moved(before: &Plan, after: &Plan) -> Vec<Shard> {
    let owners = before.workers().flat_map(|(worker, shards)| shards.iter().map(move |shard| (worker, *shard)));
    owners.filter(|(worker, shard)| after.owner(*shard) != Some(*worker)).map(|(_, shard)| shard).collect()
}

/// How many shards of live workers stay at best, when each worker gets `base`, and `extra` workers one more.
fn most_that_stay(before: &Plan, live: &BTreeSet<WorkerId>, shards: &BTreeMap<Shard, u64>) -> usize {
    let (base, extra) = (shards.len() / live.len(), shards.len() % live.len());
    let held = |worker| before.shards_of(worker).map_or(0, |own| own.iter().filter(|s| shards.contains_key(s)).count());
    let above = live.iter().filter(|worker| held(worker) > base).count();
    live.iter().map(|worker| held(worker).min(base)).sum::<usize>() + above.min(extra)
}

fn stay(before: &Plan, after: &Plan) -> usize {
    after
        .workers()
        .map(|(worker, shards)| before.shards_of(worker).map_or(0, |own| own.intersection(shards).count()))
        .sum()
}

#[test]
fn nobody_lives_and_nothing_is_owned() {
    let shards = weighed(&[1, 2, 3]);
    let one = plan(&Plan::default(), &workers([1]), &shards);
    let none = plan(&one, &workers([]), &shards);
    assert_eq!((none.number(), none.workers().count()), (2, 0));
    assert_eq!(plan(&Plan::default(), &workers([]), &shards), Plan::default());
}

#[test]
fn a_worker_without_shards_is_named() {
    let one = plan(&Plan::default(), &workers([1, 2, 3]), &weighed(&[5]));
    assert_eq!((one.number(), counts(&one)), (1, vec![1, 0, 0]));
    let fewer = plan(&one, &workers([1, 2]), &weighed(&[5]));
    assert_eq!((fewer.number(), moved(&one, &fewer)), (2, vec![]));
}

#[test]
fn weights_even_out_what_may_move() {
    let weights = weighed(&[100, 1, 1, 100, 1, 1]);
    let first = plan(&Plan::default(), &workers([1, 2]), &weights);
    assert_eq!((counts(&first), sums(&first, &weights)), (vec![3, 3], vec![102, 102]));
    // The newcomer is given what brings the others nearest to a third each.
    let second = plan(&first, &workers([1, 2, 3]), &weights);
    assert_eq!(counts(&second), [2, 2, 2]);
    assert_eq!(moved(&first, &second).len(), 2);
    // Weights alone move nothing.
    let other = weighed(&[1, 1, 1, 1, 1, 1_000]);
    assert_eq!(plan(&second, &workers([1, 2, 3]), &other), second);
}

#[test]
fn who_holds_the_least_keeps_one_more() {
    let weights = weighed(&[1, 1, 9, 9]);
    let owners = [(0, 1), (1, 1), (2, 2), (3, 2)].map(|(s, w)| (shard(s), worker(w)));
    let next = plan(&Plan::of_owners(7, owners), &workers([1, 2, 3]), &weights);
    assert_eq!((next.number(), sums(&next, &weights)), (8, vec![2, 9, 9]));
}

#[test]
fn the_json_is_compact_and_gives_no_shard_twice() {
    let made = plan(&Plan::default(), &workers([1, 2]), &weighed(&[0; 3]));
    let json = serde_json::to_string(&made).unwrap();
    assert_eq!(json, r#"{"number":1,"workers":{"pod-01":[[0,0],[0,2]],"pod-02":[[0,1]]}}"#);
    for twice in ["[[0,0],[0,0]]", r#"[[0,0]],"b":[[0,0]]"#] {
        let error = serde_json::from_str::<Plan>(&format!(r#"{{"number":1,"workers":{{"a":{twice}}}}}"#)).unwrap_err();
        assert!(error.to_string().contains("gives partition 0 of slice 0 twice"), "{error}");
    }
}

/// A previous plan that nobody need have balanced, the live workers, and the shards with their weights.
fn inputs() -> impl Strategy<Value = (Plan, BTreeSet<WorkerId>, BTreeMap<Shard, u64>)> {
    let owners = prop::collection::btree_map((0u16..40).prop_map(shard), (0u8..8).prop_map(worker), 0..40);
    let live = prop::collection::btree_set((0u8..8).prop_map(worker), 0..8);
    let weight = prop_oneof![Just(0), 0u64..100, any::<u64>()];
    let shards = prop::collection::btree_map((0u16..40).prop_map(shard), weight, 0..40);
    let previous = (any::<u32>(), owners).prop_map(|(number, owners)| Plan::of_owners(number.into(), owners));
    (previous, live, shards)
}

/// Every way to give the shards to the live workers, balanced to within one.
fn every_balanced(live: &BTreeSet<WorkerId>, shards: &BTreeMap<Shard, u64>) -> Vec<Plan> {
    let live: Vec<_> = live.iter().cloned().collect();
    let ways = live.len().pow(shards.len() as u32);
    let all = (0..ways).map(|mut way| {
        let mut owners = Vec::new();
        for shard in shards.keys() {
            owners.push((*shard, live[way % live.len()].clone()));
            way /= live.len();
        }
        let mut plan = Plan::of_owners(0, owners);
        plan.workers.extend(
            live.iter()
                .filter(|w| plan.shards_of(w).is_none())
                .cloned()
                .map(|w| (w, BTreeSet::new()))
                .collect::<Vec<_>>(),
        );
        plan
    });
    all.filter(|plan| counts(plan).iter().max().unwrap() - counts(plan).iter().min().unwrap() <= 1).collect()
}

proptest! {
    #[test]
    fn every_shard_has_one_owner_and_counts_are_within_one((previous, live, shards) in inputs()) {
        let next = plan(&previous, &live, &shards);
        prop_assert_eq!(next.workers().map(|(worker, _)| worker.clone()).collect::<BTreeSet<_>>(), live.clone());
        let given: Vec<Shard> = next.workers().flat_map(|(_, shards)| shards.iter().copied()).collect();
        prop_assert_eq!(given.len(), if live.is_empty() { 0 } else { shards.len() });
        prop_assert!(given.iter().all(|shard| shards.contains_key(shard)));
        prop_assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
        let counts = counts(&next);
        prop_assert!(counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1, "{counts:?}");
    }

    #[test]
    fn the_number_grows_with_a_change_and_only_then((previous, live, shards) in inputs()) {
        let next = plan(&previous, &live, &shards);
        prop_assert_eq!(next.number() - previous.number(), u64::from(next.workers != previous.workers));
        prop_assert_eq!(&plan(&next, &live, &shards), &next);
        let other = shards.keys().rev().zip(0..).map(|(shard, weight)| (*shard, weight)).collect();
        prop_assert_eq!(plan(&next, &live, &other), next);
    }

    #[test]
    fn the_fewest_that_can_move((previous, live, shards) in inputs()) {
        if live.is_empty() {
            return Ok(());
        }
        let next = plan(&previous, &live, &shards);
        prop_assert_eq!(stay(&previous, &next), most_that_stay(&previous, &live, &shards));
    }

    #[test]
    fn no_balanced_plan_moves_fewer(owners in prop::collection::vec(0u8..5, 1..=6), live in 1u8..=4) {
        let shards = weighed(&vec![1; owners.len()]);
        let live = workers(0..live);
        let previous = Plan::of_owners(0, shards.keys().copied().zip(owners.into_iter().map(worker)));
        let next = plan(&previous, &live, &shards);
        let best = every_balanced(&live, &shards).iter().map(|other| stay(&previous, other)).max();
        prop_assert_eq!(Some(stay(&previous, &next)), best);
    }

    #[test]
    fn no_shard_moves_without_a_cause((previous, live, shards) in inputs()) {
        if live.is_empty() {
            return Ok(());
        }
        let next = plan(&previous, &live, &shards);
        let fewest = shards.len() / live.len();
        for shard in moved(&previous, &next).into_iter().filter(|shard| shards.contains_key(shard)) {
            let owner = previous.owner(shard).unwrap();
            let held = previous.shards_of(owner).unwrap().iter().filter(|s| shards.contains_key(s)).count();
            prop_assert!(!live.contains(owner) || held > fewest, "{shard:?} left {owner}");
            // Who gives shards away is given none, and ends with its fair count.
            let Some(kept) = next.shards_of(owner) else { continue };
            prop_assert!(kept.is_subset(previous.shards_of(owner).unwrap()));
            prop_assert!(kept.len() >= fewest);
        }
    }

    #[test]
    fn any_joins_and_leaves_converge(
        changes in prop::collection::vec(prop::collection::btree_set((0u8..8).prop_map(worker), 1..8), 1..20),
        weights in prop::collection::vec(0u64..1_000, 1..40),
    ) {
        let shards = weighed(&weights);
        let mut last = Plan::default();
        for live in &changes {
            let next = plan(&last, live, &shards);
            prop_assert_eq!(stay(&last, &next), most_that_stay(&last, live, &shards));
            // One step is enough: what was planned is what would be planned again.
            prop_assert_eq!(&plan(&next, live, &shards), &next);
            last = next;
        }
        let end = changes.last().unwrap();
        prop_assert_eq!(last.workers().map(|(worker, _)| worker.clone()).collect::<BTreeSet<_>>(), end.clone());
        prop_assert!(last.number() <= changes.len() as u64);
    }

    #[test]
    fn the_order_of_inputs_means_nothing(
        (previous, live, shards) in inputs(),
        seed in any::<u64>(),
    ) {
        // Sets and maps that were filled in another order, and a plan that was read back with its workers turned round.
        let mix = |key: &str| xxhash_rust::xxh3::xxh3_64_with_seed(key.as_bytes(), seed);
        let mut other_live: Vec<_> = live.iter().cloned().collect();
        other_live.sort_by_key(|worker| mix(worker.as_str()));
        let mut other_shards: Vec<_> = shards.clone().into_iter().collect();
        other_shards.sort_by_key(|(shard, _)| mix(&format!("{shard:?}")));
        let mut parts: Vec<String> = previous.workers().map(|(worker, shards)| {
            let mut pairs: Vec<_> = shards.iter().map(|s| format!("[{},{}]", s.slice, s.partition)).collect();
            pairs.sort_by_key(|pair| mix(pair));
            format!(r#""{worker}":[{}]"#, pairs.join(","))
        }).collect();
        parts.sort_by_key(|part| mix(part));
        let json = format!(r#"{{"workers":{{{}}},"number":{}}}"#, parts.join(","), previous.number());
        let other: Plan = serde_json::from_str(&json).unwrap();
        let next = plan(&other, &other_live.into_iter().collect(), &other_shards.into_iter().collect());
        prop_assert_eq!(next, plan(&previous, &live, &shards));
    }

    #[test]
    fn a_plan_survives_its_json((previous, live, shards) in inputs()) {
        let next = plan(&previous, &live, &shards);
        let json = serde_json::to_vec(&next).unwrap();
        prop_assert_eq!(serde_json::from_slice::<Plan>(&json).unwrap(), next);
    }

    #[test]
    fn a_first_plan_is_even_to_within_the_heaviest_shard(
        weights in prop::collection::vec(0u64..1_000, 1..40),
        live in 1u8..8,
    ) {
        let shards = weighed(&weights);
        let first = plan(&Plan::default(), &workers(0..live), &shards);
        let heaviest = u128::from(*weights.iter().max().unwrap());
        prop_assert!(spread(&first, &shards) <= heaviest, "{:?}", sums(&first, &shards));
    }
}
