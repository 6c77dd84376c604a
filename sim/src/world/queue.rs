//! What is settled and waits for its time.

use super::happening::What;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Something that waits.
#[derive(Clone, Debug)]
pub(crate) enum Waiting {
    /// An event.
    Event { did: Arc<str>, what: What },
    /// A deactivated account comes back.
    Reactivate(u32),
    /// A deleted account is created again.
    Recreate(u32),
}

/// By time, and in the order of coming where times are equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Item>>,
    came: u64,
}

#[derive(Clone, Debug)]
struct Item {
    key: (i64, u64),
    waiting: Waiting,
}

impl Queue {
    pub(crate) fn push(&mut self, at_us: i64, waiting: Waiting) {
        self.heap.push(Reverse(Item { key: (at_us, self.came), waiting }));
        self.came += 1;
    }

    /// The first, where its time is not after `until_us`.
    pub(crate) fn pop(&mut self, until_us: i64) -> Option<(i64, Waiting)> {
        if self.heap.peek()?.0.key.0 > until_us {
            return None;
        }
        let item = self.heap.pop()?.0;
        Some((item.key.0, item.waiting))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}
