//! The archive's loop: takes orders while there is room, and keeps each shard's next range on its way.

use super::Shared;
use super::burning::{burn, sweep};
use super::landing::{Landing, Outcome};
use super::lane::{Group, Lane, Leaving, Range, groups};
use super::preparing::prepare_at_last;
use crate::sinks::feed::{Entries, Order};
use crate::sinks::postgres::Fence;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use turbo_core::shard::Shard;

/// How often ages are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How long a buffer that can not be written is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// What a task has done.
enum Done {
    Prepared,
    /// With the sequence up to which the archive has the shard.
    Burnt(Shard, Fence, u64),
    Landed(Shard, Fence, Range, Outcome),
    Swept,
}

/// The running archive.
pub(super) struct Service {
    shared: Arc<Shared>,
    lanes: BTreeMap<Shard, Lane>,
    /// What was taken and is not in the buffer yet, and the room that it takes.
    pending: VecDeque<(Shard, Group)>,
    pending_of: Option<Entries>,
    /// When the buffer is tried again.
    retry_at: Option<Instant>,
    work: JoinSet<Done>,
    swept_at: Option<Instant>,
    sweeping: Option<Id>,
    /// Whether the store may be used; what finds that out.
    is_prepared: bool,
    preparing: Option<Id>,
    ended: bool,
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>, is_prepared: bool) -> Self {
        Self {
            shared,
            lanes: BTreeMap::new(),
            pending: VecDeque::new(),
            pending_of: None,
            retry_at: None,
            work: JoinSet::new(),
            swept_at: None,
            sweeping: None,
            is_prepared,
            preparing: None,
            ended: false,
        }
    }

    /// Runs until the orders end. Tasks that are under way then are waited for as at a release, and dropped.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.buffer_pending().await;
            self.start_work();
            self.let_go();
            if self.ended && self.lanes.is_empty() {
                return;
            }
            let takes = !self.ended && self.pending.is_empty() && self.bytes() < self.shared.options.for_waiting();
            tokio::select! {
                order = orders.recv(), if takes => match order {
                    Some(order) => self.told(order),
                    None => self.end(),
                },
                Some(done) = self.work.join_next_with_id(), if !self.work.is_empty() => self.done(done),
                _ = tick.tick() => {
                    self.close_old();
                    // With a full buffer the end would not be seen otherwise.
                    if !takes && !self.ended && orders.is_closed() {
                        self.end();
                    }
                }
            }
        }
    }

    fn told(&mut self, order: Order) {
        match order {
            Order::Claimed { shard, epoch, position } => {
                let fence = Fence::new(&self.shared.slices, shard, epoch);
                self.shared.report.claimed(shard, position);
                self.lanes.insert(shard, Lane::new(fence, position));
            }
            Order::Entries(entries) => {
                self.pending.extend(groups(&entries));
                self.pending_of = Some(entries);
            }
            Order::Release(shard, answer) => self.leave(shard, Some(answer)),
            Order::Lost(shard) => self.drop_lane(shard),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.pending.clear();
        let shards: Vec<Shard> = self.lanes.keys().copied().collect();
        for shard in shards {
            self.leave(shard, None);
        }
    }

    /// What has no put under way is given up at once; what waits is left to the next owner.
    fn leave(&mut self, shard: Shard, answer: Option<oneshot::Sender<()>>) {
        let until = Instant::now() + self.shared.options.release;
        match self.lanes.get_mut(&shard) {
            Some(lane) => {
                lane.closed.clear();
                lane.leaving = Some(Leaving { until, answer });
            }
            None => answered(answer),
        }
    }

    fn drop_lane(&mut self, shard: Shard) {
        self.pending.retain(|(of, _)| *of != shard);
        self.shared.report.gone(shard);
        if let Some(mut lane) = self.lanes.remove(&shard) {
            answered(lane.leaving.take().and_then(|leaving| leaving.answer));
        }
    }

    /// Gives a shard up without being told to.
    fn drop_by_itself(&mut self, shard: Shard, epoch: u64) {
        self.drop_lane(shard);
        self.shared.report.dropped(shard, epoch);
    }

    /// Ends the shards that are given up and have nothing under way, or are waited for no longer.
    fn let_go(&mut self) {
        let now = Instant::now();
        let over = |lane: &Lane| {
            let under_way = lane.burnt && lane.work.is_some();
            lane.leaving.as_ref().is_some_and(|leaving| !under_way || leaving.until <= now)
        };
        let over: Vec<Shard> = self.lanes.iter().filter(|(_, lane)| over(lane)).map(|(shard, _)| *shard).collect();
        over.into_iter().for_each(|shard| self.drop_lane(shard));
    }

    /// Writes what was taken into the buffer; what can not be written waits, and no more is taken meanwhile.
    async fn buffer_pending(&mut self) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        while let Some((shard, group)) = self.pending.front() {
            if let Some(lane) = self.lanes.get_mut(shard).filter(|lane| lane.leaving.is_none())
                && let Err(error) = lane.take(&self.shared, group).await
            {
                self.shared.report.failed(None, &format!("the archive's buffer can not be written: {error}"));
                self.retry_at = Some(Instant::now() + AGAIN);
                return;
            }
            self.pending.pop_front();
        }
        self.pending_of = None;
        if self.retry_at.take().is_some() {
            self.shared.report.well(None);
        }
        self.close_largest();
    }

    /// When open segments have half of what may wait, the largest is closed: the other half is for those that are closed.
    fn close_largest(&mut self) {
        let limit = self.shared.options.for_waiting() / 2;
        while self.lanes.values().map(Lane::open_bytes).sum::<u64>() > limit {
            let largest = self.lanes.values_mut().max_by_key(|lane| lane.open_bytes());
            let Some(largest) = largest else { return };
            largest.close();
        }
    }

    fn close_old(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.close_if_older(self.shared.options.roll_age));
    }

    /// Each shard has at most one task: first it burns, then it lands its ranges in their order. The objects that are under
    /// way fit into their part of the buffer, or are one.
    fn start_work(&mut self) {
        if !self.is_prepared {
            return self.start_preparing();
        }
        let limit = self.shared.options.for_objects();
        let mut under_way: u64 =
            self.lanes.values().filter_map(|lane| lane.work.as_ref()).map(|(_, bytes)| bytes).sum();
        for (shard, lane) in self.lanes.iter_mut().filter(|(_, lane)| lane.work.is_none() && lane.leaving.is_none()) {
            let (shared, shard, fence) = (self.shared.clone(), *shard, lane.fence.clone());
            if !lane.burnt {
                let burning = self.work.spawn(async move {
                    let covered = burn(shared, shard, fence.clone()).await;
                    Done::Burnt(shard, fence, covered)
                });
                lane.work = Some((burning, 0));
                continue;
            }
            let bytes = lane.closed.front().map_or(0, Range::bytes);
            if under_way > 0 && under_way + bytes > limit {
                continue;
            }
            if let Some(range) = lane.closed.pop_front() {
                under_way += bytes;
                let landing = Landing::new(shared, shard, lane, range);
                let landing = self.work.spawn(async move {
                    let (range, outcome) = landing.run().await;
                    Done::Landed(shard, fence, range, outcome)
                });
                lane.work = Some((landing, bytes));
            }
        }
        self.start_sweep();
    }

    fn start_preparing(&mut self) {
        if self.preparing.is_none() && !self.ended {
            let shared = self.shared.clone();
            let preparing = self.work.spawn(async move {
                prepare_at_last(&shared).await;
                Done::Prepared
            });
            self.preparing = Some(preparing.id());
        }
    }

    /// Looks after what was burnt of the shards that are held here: others do for theirs.
    fn start_sweep(&mut self) {
        let due = self.swept_at.is_none_or(|at| at.elapsed() >= self.shared.options.upkeep);
        if due && self.sweeping.is_none() && !self.ended && !self.lanes.is_empty() {
            let shared = self.shared.clone();
            let of = self.lanes.values().map(|lane| lane.fence.clone()).collect();
            let sweeping = self.work.spawn(async move {
                sweep(shared, of).await;
                Done::Swept
            });
            self.sweeping = Some(sweeping.id());
        }
    }

    fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        match done.map(|(_, done)| done) {
            Ok(Done::Prepared) => (self.is_prepared, self.preparing) = (true, None),
            Ok(Done::Burnt(shard, fence, covered)) => {
                if let Some(lane) = self.lane_of(shard, &fence) {
                    (lane.burnt, lane.covered, lane.work) = (true, covered, None);
                }
            }
            Ok(Done::Landed(shard, fence, range, outcome)) => match (self.lane_of(shard, &fence), outcome) {
                (Some(lane), Outcome::Landed) => {
                    (lane.landed, lane.work) = (range.covers, None);
                    self.shared.report.landed(shard, range.covers, range.entries);
                }
                (Some(_), Outcome::Lost) => self.drop_by_itself(shard, fence.epoch),
                // The shard was given up, or claimed anew, meanwhile.
                (None, _) => {}
            },
            Ok(Done::Swept) => (self.sweeping, self.swept_at) = (None, Some(Instant::now())),
            // A shard that was given up has had its task aborted.
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.panicked(&error),
        }
    }

    /// What the task had is lost to this process: its shard is dropped, and the next claim reads the log again.
    fn panicked(&mut self, error: &JoinError) {
        tracing::error!("a task of the archive ended early: {error}");
        if self.sweeping == Some(error.id()) {
            (self.sweeping, self.swept_at) = (None, Some(Instant::now()));
        }
        if self.preparing == Some(error.id()) {
            self.preparing = None;
        }
        let over = |lane: &Lane| lane.work.as_ref().is_some_and(|(work, _)| work.id() == error.id());
        let over = self.lanes.iter().find(|(_, lane)| over(lane)).map(|(shard, lane)| (*shard, lane.fence.epoch));
        if let Some((shard, epoch)) = over {
            self.drop_by_itself(shard, epoch);
        }
    }

    /// The lane of this very claim.
    fn lane_of(&mut self, shard: Shard, fence: &Fence) -> Option<&mut Lane> {
        self.lanes.get_mut(&shard).filter(|lane| lane.fence == *fence)
    }

    fn bytes(&self) -> u64 {
        self.lanes.values().map(Lane::bytes).sum()
    }
}

fn answered(answer: Option<oneshot::Sender<()>>) {
    if let Some(answer) = answer {
        // Whoever asked may have gone.
        let _ = answer.send(());
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
