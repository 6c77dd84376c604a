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
