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
#[path = "outbox_tests.rs"]
mod tests;
