//! How a shard is claimed, read, and given up.

use super::holder::{Covered, Holder, Read};
use super::members::View;
use crate::log::nats::{Announced, Behind, Error as LogError, Next};
use crate::sinks::feed::{Order, SinkHandle, SinkPosition};
use crate::sinks::postgres::{Claimed, Error};
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::ownership::{Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::position::generation;
use turbo_core::shard::Shard;

/// How long the sinks may take to finish what is under way when a shard is given up; the rest is read again.
const FINISH: Duration = Duration::from_secs(10);
/// What a message takes beside its payload, roughly.
const OVERHEAD: usize = 512;

/// Why a claim has no answer.
#[derive(Debug, thiserror::Error)]
enum Unclaimed {
    #[error(transparent)]
    Database(#[from] Error),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Holder {
    /// Claims a shard whose owner has released it or is gone, and begins to read it. Returns whether it is held now.
    pub(super) async fn claim(&mut self, shard: Shard, rows: &BTreeMap<Shard, Row>, view: &View) -> bool {
        let owner = rows.get(&shard).and_then(|row| row.owner.clone());
        let gone: Vec<WorkerId> = owner.into_iter().filter(|owner| view.gone(owner)).collect();
        let free = rows
            .get(&shard)
            .is_some_and(|row| row.owner.as_ref().is_none_or(|owner| *owner == self.parts.me || gone.contains(owner)));
        if !free {
            self.unsure.remove(&shard);
            return false;
        }
        match self.try_claim(shard, &gone).await {
            Ok(claimed) => {
                self.unsure.remove(&shard);
                let Some(claimed) = claimed else { return false };
                self.begin(shard, claimed).await;
                true
            }
            Err(error) => {
                tracing::debug!(%error, ?shard, "the claim has no answer");
                self.unsure.insert(shard);
                false
            }
        }
    }

    async fn try_claim(&self, shard: Shard, gone: &[WorkerId]) -> Result<Option<Claimed>, Unclaimed> {
        let parts = &self.parts;
        let seen = parts.log.announced(&parts.slices, shard).await?.map(|(seen, _)| seen).unwrap_or_default();
        let claim = parts.database.claim(&parts.slices, shard, &parts.me, seen.epoch, gone, &parts.wanted);
        let claimed = claim.await?;
        if let Some(claimed) = &claimed
            && claimed.owned.position() < seen.seq
        {
            let (slice, partition) = (parts.slices.name(shard), shard.partition);
            events::CatalogWentBack { slice, partition, position: claimed.owned.position(), seen: seen.seq }.emit();
        }
        Ok(claimed)
    }

    /// Reads a shard from its lowest position on.
    async fn begin(&mut self, shard: Shard, claimed: Claimed) {
        let parts = &self.parts;
        let (epoch, lowest) = (claimed.owned.epoch(), claimed.lowest());
        for sink in &parts.sinks {
            if let Some(position) = claimed.sinks.get(sink.name) {
                sink.report.claimed(shard, *position);
                self.order(sink, Order::Claimed { shard, epoch, position: *position }).await;
            }
        }
        let position = claimed.owned.position();
        parts.live.claimed(&parts.slices, shard, epoch, position, claimed.time_us);
        let announced = Announced { epoch, seq: position, number: claimed.number, purged: 0 };
        parts.announcements.set(shard, announced);
        self.readers.insert(shard, self.read(shard, epoch, lowest));
        self.owned.insert(shard, claimed.owned);
        self.covered.remove(&shard);
        if let Some((host, cursor)) = claimed.source {
            self.covered.insert(shard, Covered { generation: generation(position), host, cursor });
        }
    }

    fn read(&self, shard: Shard, epoch: u64, behind: SinkPosition) -> AbortOnDropHandle<()> {
        let behind = Behind { seq: behind.seq, number: Some(behind.number) };
        let mut reader = self.parts.log.shard(&self.parts.slices, shard, behind);
        let (to, room) = (self.to.clone(), self.room.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let next = reader.next().await;
                let ended = next.is_err();
                let bytes = u32::try_from(next.as_ref().map_or(0, Next::bytes) + OVERHEAD).unwrap_or(u32::MAX);
                let Ok(room) = room.clone().acquire_many_owned(bytes.min(super::holder::LARGEST)).await else { return };
                if to.send(Read { shard, epoch, next, _room: room }).await.is_err() || ended {
                    return;
                }
            }
        }))
    }

    /// Gives shards up in good order: their reading stops, the sinks finish, the rows are freed.
    pub(super) async fn release(&mut self, shards: Vec<Shard>) {
        let mut finishing = Vec::new();
        for shard in &shards {
            self.readers.remove(shard);
            for sink in &self.parts.sinks {
                let (done, finished) = oneshot::channel();
                self.order(sink, Order::Release(*shard, done)).await;
                finishing.push(finished);
            }
        }
        let finished = futures_util::future::join_all(finishing);
        let _ = tokio::time::timeout(FINISH, finished).await;
        for shard in shards {
            let Some(owned) = self.lose(shard) else { continue };
            if let Err(error) = self.parts.database.release(&self.parts.slices, owned).await {
                tracing::debug!(%error, ?shard, "the release has no answer");
                self.unsure.insert(shard);
            }
        }
    }

    /// Stops the reading of a shard.
    pub(super) fn lose(&mut self, shard: Shard) -> Option<Owned> {
        self.readers.remove(&shard);
        self.parts.live.gone(shard);
        for sink in &self.parts.sinks {
            sink.report.gone(shard);
        }
        self.owned.remove(&shard)
    }

    /// Goes on from the row, or drops the shard. Returns the position from which it goes on.
    pub(super) async fn lose_or_go_on(&mut self, shard: Shard, row: &Row) -> Option<u64> {
        match self.owned.remove(&shard)?.go_on(row) {
            Ok(owned) => {
                let position = owned.position();
                self.owned.insert(shard, owned);
                Some(position)
            }
            Err(lost) => {
                let (slice, partition) = (self.parts.slices.name(shard), shard.partition);
                events::ClaimLost { slice, partition, why: &lost.to_string() }.emit();
                self.lose(shard);
                for sink in &self.parts.sinks {
                    self.order(sink, Order::Lost(shard)).await;
                }
                None
            }
        }
    }

    /// Hands an order to a sink; waits while its queue is full, and once the process ends not for long.
    pub(super) async fn order(&self, sink: &SinkHandle, order: Order) {
        let order = match sink.orders.try_send(order) {
            // A sink that has ended takes nothing, and its positions stay.
            Ok(()) | Err(TrySendError::Closed(_)) => return,
            Err(TrySendError::Full(order)) => order,
        };
        let given_up = async {
            self.stop.cancelled().await;
            tokio::time::sleep(FINISH).await;
        };
        self.parts.live.held_by(Some(sink.name));
        tokio::select! {
            _ = sink.orders.send(order) => {}
            () = given_up => {}
        }
        self.parts.live.held_by(None);
    }
}
