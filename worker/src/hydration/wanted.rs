//! What is to be looked up: each item once.
//!
//! Invariants:
//! - what has just arrived and what waits in the catalog take turns, so that neither starves: what is fetched for a new
//!   record is likely to be wanted again soon, and what waits was promised to be completed;
//! - of what has just arrived the last comes first, of what waits the oldest: where more is wanted than is looked up, no call is
//!   for a record that was given up long ago;
//! - of what waits nothing is wanted but what is in hand now.

use super::client::MOST;
use super::item::{Item, Kind};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// New items that wait at most. The oldest is let go: its record waits in the catalog.
const MAX_FRESH: usize = 20_000;
/// For so long an item is one of a record that has just arrived. After that it is let go as well.
const MAX_AGE: Duration = Duration::from_secs(60);
/// Of so many calls one is for what waits in the catalog, where there is both.
pub(super) const TURNS: u32 = 3;

/// From one call to the next another item says of which kind the call is: a prime.
const STRIDE: usize = 7919;

/// An item that a record wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The item.
    pub item: Item,
    /// What is known of it counts for so long.
    pub ttl: Duration,
}

/// Items that wait to be looked up.
#[derive(Debug, Default)]
pub struct Wanted {
    fresh: Lane,
    deferred: Lane,
    calls: u32,
}

/// Items; the one that is asked for next comes first.
#[derive(Debug, Default)]
struct Lane {
    order: VecDeque<Want>,
    /// Since when each is wanted.
    since: HashMap<Item, Instant>,
}

impl Wanted {
    /// A new record wants an item.
    pub fn fresh(&mut self, want: Want) {
        if !self.deferred.since.contains_key(&want.item) && !self.fresh.since.contains_key(&want.item) {
            self.fresh.since.insert(want.item.clone(), Instant::now());
            self.fresh.order.push_front(want);
        }
        if self.fresh.order.len() > MAX_FRESH {
            self.fresh.pop_last();
        }
    }

    /// What waits in the catalog wants these, and nothing else any more; whoever calls bounds how many.
    pub fn deferred(&mut self, wants: impl IntoIterator<Item = Want>) {
        let before = std::mem::take(&mut self.deferred).since;
        for want in wants.into_iter().filter(|want| !self.fresh.since.contains_key(&want.item)) {
            let since = before.get(&want.item).copied();
            self.deferred.push(want, since);
        }
    }

    /// One more of the catalog.
    pub(super) fn deferred_too(&mut self, want: Want) {
        self.deferred.push(want, None);
    }

    /// How many wait: new ones, and those of the catalog.
    #[must_use]
    pub fn len(&self) -> (usize, usize) {
        (self.fresh.order.len(), self.deferred.order.len())
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }

    /// The items of the next call, all of one kind, at most [`MOST`]. A lane whose turn it is goes first, and the other
    /// one fills the call up. What `asks` does not want is let go: it is told the item, and since when it is wanted.
    pub fn next(&mut self, mut asks: impl FnMut(&Item, Instant) -> bool) -> Option<(Kind, Vec<Want>)> {
        self.fresh.let_go(MAX_AGE);
        let first_deferred = self.calls % TURNS == TURNS - 1 || self.fresh.order.is_empty();
        let (first, second) =
            if first_deferred { (&mut self.deferred, &mut self.fresh) } else { (&mut self.fresh, &mut self.deferred) };
        let mut wants = Vec::new();
        while let Some(kind) = first.kind(self.calls).or_else(|| second.kind(self.calls)) {
            first.take(kind, &mut wants, &mut asks);
            second.take(kind, &mut wants, &mut asks);
            if !wants.is_empty() {
                self.calls = self.calls.wrapping_add(1);
                return Some((kind, wants));
            }
        }
        None
    }
}

impl Lane {
    /// Of which kind a call is: that of one item or another, so that each kind has its part, however new the items of the other are.
    fn kind(&self, calls: u32) -> Option<Kind> {
        let at = (calls as usize).wrapping_mul(STRIDE).checked_rem(self.order.len())?;
        Some(self.order.get(at)?.item.kind())
    }

    /// Puts it behind the others, where it is not there yet.
    fn push(&mut self, want: Want, since: Option<Instant>) {
        if !self.since.contains_key(&want.item) {
            self.since.insert(want.item.clone(), since.unwrap_or_else(Instant::now));
            self.order.push_back(want);
        }
    }

    fn pop_last(&mut self) {
        if let Some(want) = self.order.pop_back() {
            self.since.remove(&want.item);
        }
    }

    /// Lets go of the last, which are wanted for longer than this.
    fn let_go(&mut self, age: Duration) {
        while self.order.back().is_some_and(|want| self.since.get(&want.item).is_none_or(|since| since.elapsed() > age))
        {
            self.pop_last();
        }
    }

    /// Takes the first of this kind that are asked for, up to a full call; the others keep their order.
    fn take(&mut self, kind: Kind, wants: &mut Vec<Want>, asks: &mut impl FnMut(&Item, Instant) -> bool) {
        let mut passed = VecDeque::new();
        while wants.len() < MOST
            && let Some(want) = self.order.pop_front()
        {
            if want.item.kind() != kind {
                passed.push_back(want);
                continue;
            }
            let since = self.since.remove(&want.item).unwrap_or_else(Instant::now);
            if asks(&want.item, since) {
                wants.push(want);
            }
        }
        while let Some(one) = passed.pop_back() {
            self.order.push_front(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(_: &Item, _: Instant) -> bool {
        true
    }

    fn profile(number: usize) -> Want {
        Want { item: Item::profile(&format!("did:plc:{number}")).unwrap(), ttl: Duration::MAX }
    }

    fn post(number: usize) -> Want {
        Want { item: Item::post(&format!("at://did:plc:{number}/app.bsky.feed.post/k")).unwrap(), ttl: Duration::MAX }
    }

    #[test]
    fn a_call_is_of_one_kind_and_full_where_it_can_be() {
        let mut wanted = Wanted::default();
        for number in 0..30 {
            wanted.fresh(profile(number));
            wanted.fresh(profile(number));
            wanted.fresh(post(number));
        }
        let (kind, items) = wanted.next(all).unwrap();
        assert_eq!((kind, items), (Kind::Post, (5..30).rev().map(post).collect()), "the last first");
        let (kind, items) = wanted.next(all).unwrap();
        assert_eq!((kind, items), (Kind::Profile, (5..30).rev().map(profile).collect()));
        let rest: Vec<_> = std::iter::from_fn(|| wanted.next(all)).map(|(_, items)| items.len()).collect();
        assert_eq!(rest, [5, 5]);
    }

    #[test]
    fn neither_lane_starves_and_each_fills_the_others_calls() {
        let mut wanted = Wanted::default();
        (0..200).for_each(|number| wanted.fresh(profile(number)));
        wanted.deferred((1000..1060).map(profile));
        let of_catalog = |wants: &[Want]| wants.iter().filter(|want| want.item.name().len() > 11).count();
        let calls: Vec<usize> = (0..6).map(|_| of_catalog(&wanted.next(all).unwrap().1)).collect();
        assert_eq!(calls, [0, 0, 25, 0, 0, 25]);
        (0..4).for_each(|_| drop(wanted.next(all)));
        let (_, items) = wanted.next(all).unwrap();
        assert_eq!(items.len(), 10, "{:?}", wanted.len());
        assert!(wanted.is_empty());
    }

    #[test]
    fn what_both_want_is_asked_for_once() {
        let mut wanted = Wanted::default();
        wanted.fresh(profile(1));
        wanted.deferred([profile(1), profile(2)]);
        wanted.fresh(profile(2));
        assert_eq!(wanted.len(), (1, 1));
    }

    #[test]
    fn what_is_not_asked_for_any_more_leaves_its_place_to_others() {
        let mut wanted = Wanted::default();
        (0..60).for_each(|number| wanted.fresh(profile(number)));
        wanted.fresh(post(1));
        let (_, items) = wanted.next(|item, _| item.name().ends_with('7')).unwrap();
        assert_eq!(items, [57, 47, 37, 27, 17, 7].map(profile));
        assert!(wanted.next(|_, _| false).is_none());
        assert!(wanted.is_empty());
    }

    #[test]
    fn new_ones_are_bounded() {
        let mut wanted = Wanted::default();
        (0..MAX_FRESH + 10).for_each(|number| wanted.fresh(profile(number)));
        assert_eq!(wanted.len(), (MAX_FRESH, 0));
        let rest: Vec<Want> = std::iter::from_fn(|| wanted.next(all)).flat_map(|(_, wants)| wants).collect();
        assert_eq!(rest.last(), Some(&profile(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn new_ones_are_let_go_when_they_are_no_longer_new() {
        let mut wanted = Wanted::default();
        wanted.fresh(profile(1));
        wanted.deferred([profile(2)]);
        tokio::time::advance(MAX_AGE / 2).await;
        wanted.fresh(profile(3));
        tokio::time::advance(MAX_AGE / 2 + Duration::from_secs(1)).await;
        assert_eq!(wanted.next(all).unwrap().1, [profile(3), profile(2)]);
        wanted.fresh(profile(1));
        assert_eq!(wanted.len(), (1, 0), "it may be wanted again");
    }

    #[test]
    fn what_is_in_hand_no_more_is_wanted_no_more() {
        let mut wanted = Wanted::default();
        wanted.deferred([1, 2, 3].map(profile));
        wanted.deferred([3, 4, 4].map(profile));
        assert_eq!(wanted.next(all).unwrap().1, [3, 4].map(profile));
        assert!(wanted.is_empty());
    }

    #[test]
    fn no_kind_starves_while_the_last_is_always_of_the_other() {
        let mut wanted = Wanted::default();
        let mut calls = [0, 0];
        for number in 0..100 {
            for more in 0..40 {
                wanted.fresh(post(100 * number + more));
                wanted.fresh(profile(100 * number + 2 * more));
                wanted.fresh(profile(100 * number + 2 * more + 1));
            }
            calls[usize::from(wanted.next(all).unwrap().0 == Kind::Post)] += 1;
        }
        assert!((20..=45).contains(&calls[1]), "{calls:?}: a third is of posts");
    }
}
