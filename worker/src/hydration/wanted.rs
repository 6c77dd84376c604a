//! What is to be looked up: each item once, the first that was wanted first.
//!
//! What has just arrived and what waits in the catalog take turns, so that neither starves: what is fetched for a new
//! record is likely to be wanted again soon, and what waits was promised to be completed.

use super::client::MOST;
use super::item::{Item, Kind};
use std::collections::{HashSet, VecDeque};
use tokio::time::Instant;

/// New items that wait at most. The oldest is let go: its record waits in the catalog.
const MAX_FRESH: usize = 20_000;
/// Of so many calls one is for what waits in the catalog, where there is both.
pub(super) const TURNS: u32 = 3;

/// Items that wait to be looked up.
#[derive(Debug, Default)]
pub struct Wanted {
    fresh: Lane,
    deferred: Lane,
    calls: u32,
}

/// Items in the order in which they came.
#[derive(Debug, Default)]
struct Lane {
    /// Each with the time since which it is wanted.
    order: VecDeque<(Item, Instant)>,
    there: HashSet<Item>,
}

impl Wanted {
    /// A new record wants an item.
    pub fn fresh(&mut self, item: Item) {
        if !self.deferred.there.contains(&item) && self.fresh.push(item) && self.fresh.order.len() > MAX_FRESH {
            self.fresh.pop();
        }
    }

    /// What waits in the catalog wants an item; whoever calls bounds how many.
    pub fn deferred(&mut self, item: Item) {
        if !self.fresh.there.contains(&item) {
            self.deferred.push(item);
        }
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
    pub fn next(&mut self, mut asks: impl FnMut(&Item, Instant) -> bool) -> Option<(Kind, Vec<Item>)> {
        let first_deferred = self.calls % TURNS == TURNS - 1 || self.fresh.order.is_empty();
        let (first, second) =
            if first_deferred { (&mut self.deferred, &mut self.fresh) } else { (&mut self.fresh, &mut self.deferred) };
        let mut items = Vec::new();
        while let Some((item, _)) = first.order.front().or(second.order.front()) {
            let kind = item.kind();
            first.take(kind, &mut items, &mut asks);
            second.take(kind, &mut items, &mut asks);
            if !items.is_empty() {
                self.calls = self.calls.wrapping_add(1);
                return Some((kind, items));
            }
        }
        None
    }
}

impl Lane {
    /// Whether it was not there yet.
    fn push(&mut self, item: Item) -> bool {
        let new = self.there.insert(item.clone());
        if new {
            self.order.push_back((item, Instant::now()));
        }
        new
    }

    fn pop(&mut self) {
        if let Some((item, _)) = self.order.pop_front() {
            self.there.remove(&item);
        }
    }

    /// Takes the first of this kind that are asked for, up to a full call; the others keep their order.
    fn take(&mut self, kind: Kind, items: &mut Vec<Item>, asks: &mut impl FnMut(&Item, Instant) -> bool) {
        let mut passed = VecDeque::new();
        while items.len() < MOST
            && let Some((item, since)) = self.order.pop_front()
        {
            if item.kind() != kind {
                passed.push_back((item, since));
                continue;
            }
            self.there.remove(&item);
            if asks(&item, since) {
                items.push(item);
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

    fn profile(number: usize) -> Item {
        Item::profile(&format!("did:plc:{number}")).unwrap()
    }

    fn post(number: usize) -> Item {
        Item::post(&format!("at://did:plc:{number}/app.bsky.feed.post/k")).unwrap()
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
        assert_eq!((kind, items), (Kind::Profile, (0..25).map(profile).collect()));
        let (kind, items) = wanted.next(all).unwrap();
        assert_eq!((kind, items), (Kind::Post, (0..25).map(post).collect()));
        let rest: Vec<_> = std::iter::from_fn(|| wanted.next(all)).map(|(_, items)| items.len()).collect();
        assert_eq!(rest, [5, 5]);
    }

    #[test]
    fn neither_lane_starves_and_each_fills_the_others_calls() {
        let mut wanted = Wanted::default();
        (0..200).for_each(|number| wanted.fresh(profile(number)));
        (1000..1060).for_each(|number| wanted.deferred(profile(number)));
        let of_catalog = |items: &[Item]| items.iter().filter(|item| item.name().len() > 11).count();
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
        wanted.deferred(profile(1));
        wanted.deferred(profile(2));
        wanted.fresh(profile(2));
        assert_eq!(wanted.len(), (1, 1));
    }

    #[test]
    fn what_is_not_asked_for_any_more_leaves_its_place_to_others() {
        let mut wanted = Wanted::default();
        (0..60).for_each(|number| wanted.fresh(profile(number)));
        wanted.fresh(post(1));
        let (_, items) = wanted.next(|item, _| item.name().ends_with('7')).unwrap();
        assert_eq!(items, [7, 17, 27, 37, 47, 57].map(profile));
        assert!(wanted.next(|_, _| false).is_none());
        assert!(wanted.is_empty());
    }

    #[test]
    fn new_ones_are_bounded() {
        let mut wanted = Wanted::default();
        (0..MAX_FRESH + 10).for_each(|number| wanted.fresh(profile(number)));
        assert_eq!(wanted.len(), (MAX_FRESH, 0));
        assert_eq!(wanted.next(all).unwrap().1[0], profile(10));
    }
}
