//! What the sinks beside the database are told.
//!
//! Invariants: a sink gets its orders in the order in which they were given; an order that its queue has no room for waits
//! here, and while one waits nothing more is read, so that what waits is one commit, with claims and releases behind it.

use crate::live::Live;
use crate::sinks::feed::{Order, SinkHandle};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;

/// The running sinks, with the orders that wait for each.
pub(super) struct Outbox {
    sinks: Vec<(SinkHandle, VecDeque<Order>)>,
    live: Arc<Live>,
}

impl Outbox {
    pub(super) fn new(sinks: Vec<SinkHandle>, live: Arc<Live>) -> Self {
        Self { sinks: sinks.into_iter().map(|sink| (sink, VecDeque::new())).collect(), live }
    }

    pub(super) fn sinks(&self) -> impl Iterator<Item = &SinkHandle> {
        self.sinks.iter().map(|(sink, _)| sink)
    }

    /// Gives each sink an order; none where `order` says so.
    pub(super) fn give(&mut self, mut order: impl FnMut(&SinkHandle) -> Option<Order>) {
        for (sink, waiting) in &mut self.sinks {
            let Some(order) = order(sink) else { continue };
            if !waiting.is_empty() {
                waiting.push_back(order);
                continue;
            }
            match sink.orders.try_send(order) {
                // A sink that has ended takes nothing, and its positions stay.
                Ok(()) | Err(TrySendError::Closed(_)) => {}
                Err(TrySendError::Full(order)) => {
                    waiting.push_back(order);
                    self.live.held_by(Some(sink.name));
                }
            }
        }
    }

    /// Whether an order waits for room in a queue.
    pub(super) fn waits(&self) -> bool {
        self.sinks.iter().any(|(_, waiting)| !waiting.is_empty())
    }

    /// Hands on an order that waits, as soon as its sink has room; does not return where none waits. May be given up.
    pub(super) async fn hand_on(&mut self) {
        let full = self.sinks.iter_mut().filter(|(_, waiting)| !waiting.is_empty());
        let mut sends: FuturesUnordered<_> = full
            .map(|(sink, waiting)| async {
                match sink.orders.reserve().await {
                    Ok(room) => {
                        if let Some(order) = waiting.pop_front() {
                            room.send(order);
                        }
                    }
                    Err(_) => waiting.clear(),
                }
            })
            .collect();
        if sends.next().await.is_none() {
            return std::future::pending().await;
        }
        drop(sends);
        let held = self.sinks.iter().find(|(_, waiting)| !waiting.is_empty());
        self.live.held_by(held.map(|(sink, _)| sink.name));
    }

    /// Ends the sinks: they finish what they were told.
    pub(super) async fn end(self) {
        for (sink, _) in self.sinks {
            drop(sink.orders);
            let _ = sink.task.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::feed::{Report, SinkPosition};
    use tokio::sync::mpsc;
    use turbo_core::shard::Shard;

    fn sink(name: &'static str, room: usize) -> (SinkHandle, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(room);
        (SinkHandle { name, orders, report: Report::default(), task: tokio::spawn(async {}) }, taken)
    }

    fn claimed(epoch: u64) -> Order {
        Order::Claimed { shard: Shard { slice: 0, partition: 0 }, epoch, position: SinkPosition::default() }
    }

    fn epoch(order: Option<Order>) -> Option<u64> {
        match order {
            Some(Order::Claimed { epoch, .. }) => Some(epoch),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_sink_that_is_full_keeps_its_order_and_holds_no_other() {
        let ((slow, mut slow_taken), (fast, mut fast_taken)) = (sink("slow", 1), sink("fast", 8));
        let live = Arc::new(Live::sharded("test", false, true, 0));
        let mut outbox = Outbox::new(vec![slow, fast], live);
        for n in 1..=3 {
            outbox.give(|_| Some(claimed(n)));
        }
        outbox.give(|sink| (sink.name == "slow").then(|| claimed(4)));
        assert!(outbox.waits());
        for n in 1..=3 {
            assert_eq!(epoch(fast_taken.try_recv().ok()), Some(n), "the other has them already");
        }
        assert!(fast_taken.try_recv().is_err());
        for n in 1..=4 {
            assert_eq!(epoch(slow_taken.recv().await), Some(n));
            if outbox.waits() {
                outbox.hand_on().await;
            }
        }
        assert!(!outbox.waits());
        // One that has ended takes nothing, and nothing waits for it.
        outbox.give(|_| Some(claimed(5)));
        outbox.give(|_| Some(claimed(6)));
        drop(slow_taken);
        outbox.hand_on().await;
        assert!(!outbox.waits());
    }
}
