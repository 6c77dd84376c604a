//! How a shard is claimed, read, and given up.

use super::ahead::{Ahead, had_us};
use super::covered::Sinks;
use super::holder::{ANSWER, Holder, LARGEST, Read};
use super::members::View;
use crate::log::nats::{Announced, Behind, Next};
use crate::sinks::feed::Order;
use crate::sinks::postgres::{Claimed, Error, Seen, answered};
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::ownership::{Fenced, Owned, Row};
use turbo_core::plan::WorkerId;
use turbo_core::position::generation;
use turbo_core::shard::Shard;

/// How long the sinks may take to finish what is under way when a shard is given up; the rest is read again.
const FINISH: Duration = Duration::from_secs(10);
/// How long after a message that can not be read the log is looked at again: somebody may have removed it.
const UNREADABLE: Duration = Duration::from_secs(5);
/// What a message takes beside its payload, roughly.
const OVERHEAD: usize = 512;

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claiming {
    /// The shard is held.
    Held,
    /// Another worker has it, and lives.
    Taken,
    /// NATS or PostgreSQL does not answer.
    NoAnswer,
}

impl Holder {
    /// Claims a shard whose owner has released it or is gone, and begins to read it.
    pub(super) async fn claim(&mut self, shard: Shard, rows: &BTreeMap<Shard, Row>, view: &View) -> Claiming {
        let Some(row) = rows.get(&shard) else { return Claiming::Taken };
        let owner = row.owner.iter().filter(|owner| **owner != self.parts.me);
        let (gone, lives): (Vec<WorkerId>, Vec<WorkerId>) = owner.cloned().partition(|owner| view.gone(owner));
        if !lives.is_empty() {
            self.unsure.remove(&shard);
            return Claiming::Taken;
        }
        let announced = match self.parts.log.announced(&self.parts.slices, shard).await {
            Ok(announced) => announced.map(|(announced, _)| announced).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, ?shard, "what is announced of the shard is not to be had");
                return Claiming::NoAnswer;
            }
        };
        match self.claim_row(shard, announced, &gone).await {
            Ok(claimed) => {
                self.unsure.remove(&shard);
                self.went_back.remove(&shard);
                let Some(claimed) = claimed else { return Claiming::Taken };
                let claim = announcement(&claimed, announced.purged);
                match self.parts.log.announce_claim(&self.parts.slices, shard, claim).await {
                    Ok(true) => {
                        self.begin(shard, claimed, claim);
                        Claiming::Held
                    }
                    // The next claim is above it.
                    told => {
                        tracing::debug!(?told, ?shard, "the claim is not announced");
                        self.unsure.insert(shard);
                        Claiming::NoAnswer
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, ?shard, "the claim has no answer");
                self.unsure.insert(shard);
                Claiming::NoAnswer
            }
        }
    }

    /// Claims the row, above every epoch that was seen: a catalog that was restored is behind what was announced.
    async fn claim_row(&self, shard: Shard, announced: Announced, gone: &[WorkerId]) -> Result<Option<Claimed>, Error> {
        let parts = &self.parts;
        let own = |of: &BTreeMap<Shard, u64>| of.get(&shard).copied().unwrap_or(0);
        let seen = Seen {
            epoch: announced.epoch.max(own(&self.epochs)),
            // What is announced may be a second behind.
            position: announced.seq.max(own(&self.went_back)),
            purged: announced.purged,
            object: (announced.epoch, announced.archived),
        };
        let claim = parts.database.claim(&parts.slices, shard, &parts.me, seen, gone, &parts.wanted);
        let Some(claimed) = answered(ANSWER, claim).await? else { return Ok(None) };
        if claimed.went_back {
            parts.went_back.notify_one();
            let (slice, partition, position) = (parts.slices.name(shard), shard.partition, claimed.owned.position());
            events::CatalogWentBack { slice, partition, position, seen: seen.position }.emit();
            if generation(position) < generation(seen.position) {
                // Numbers began anew in between, so the reader can not tell what is gone.
                let seen = seen.position;
                let gap = format!("{slice}.{partition} went back to {position} in a log that is gone, from {seen}");
                if answered(ANSWER, parts.database.gap(&gap)).await? {
                    parts.live.gap();
                }
            }
        }
        Ok(Some(claimed))
    }

    /// Reads a shard from its lowest position on, under a claim that is announced.
    fn begin(&mut self, shard: Shard, claimed: Claimed, announced: Announced) {
        let parts = &self.parts;
        let epoch = claimed.owned.epoch();
        self.outbox.give(|sink| {
            let position = claimed.sinks.get(sink.name)?.position;
            sink.report.claimed(shard, position);
            Some(Order::Claimed { shard, epoch, position })
        });
        let (slice, partition) = (parts.slices.name(shard), shard.partition);
        for (sink, position) in &claimed.removed {
            events::SinkRemoved { slice, partition, sink, position: *position }.emit();
            parts.live.sink_removed(sink);
        }
        let position = claimed.owned.position();
        events::ShardClaimed { slice, partition, epoch, position }.emit();
        parts.live.claimed(&parts.slices, shard, epoch, position, claimed.time_us);
        parts.announcements.set(shard, announced);
        self.readers.insert(shard, self.read(shard, &claimed));
        self.epochs.insert(shard, epoch);
        self.covered.insert(shard, Sinks::claimed(&claimed));
        self.owned.insert(shard, claimed.owned);
    }

    fn read(&self, shard: Shard, claimed: &Claimed) -> AbortOnDropHandle<()> {
        let (epoch, position, lowest) = (claimed.owned.epoch(), claimed.owned.position(), claimed.lowest());
        let had_us = had_us(claimed.had.as_ref(), claimed.time_us);
        let behind = Behind { seq: lowest.seq, number: Some(lowest.number) };
        let mut reader = self.parts.log.shard(&self.parts.slices, shard, behind);
        let (to, room) = (self.to.clone(), self.room.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut broken = false;
            loop {
                let next = match broken {
                    // What can not be read is met at once again, if it is still there.
                    true => tokio::time::timeout(UNREADABLE, reader.next()).await.ok().transpose(),
                    false => reader.next().await.map(Some),
                };
                broken = next.is_err();
                let bytes = next.as_ref().ok().and_then(Option::as_ref).map_or(0, Next::bytes) + OVERHEAD;
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                let Ok(_room) = room.clone().acquire_many_owned(bytes.min(LARGEST)).await else { return };
                let (connection, ahead) = (reader.connection(), Ahead::of(&next, position, had_us));
                if to.send(Read { shard, epoch, connection, next, ahead, _room }).await.is_err() {
                    return;
                }
                if broken {
                    tokio::time::sleep(UNREADABLE).await;
                }
            }
        }))
    }

    /// Gives shards up in good order: their reading stops at once; what the sinks have under way is waited for beside the
    /// commits of the others, and then the rows are freed.
    pub(super) fn release(&mut self, shards: Vec<Shard>) {
        for shard in shards {
            self.readers.remove(&shard);
            let mut finishing = Vec::new();
            self.outbox.give(|_| {
                let (done, finished) = oneshot::channel();
                finishing.push(finished);
                Some(Order::Release(shard, done))
            });
            let Some(owned) = self.lose(shard) else { continue };
            let (database, slices) = (self.parts.database.clone(), self.parts.slices.clone());
            self.given_up.insert(shard);
            self.releasing.spawn(async move {
                let _ = tokio::time::timeout(FINISH, futures_util::future::join_all(finishing)).await;
                let freed = answered(ANSWER, database.release(&slices, owned)).await;
                if let Err(error) = &freed {
                    tracing::debug!(%error, ?shard, "the release has no answer");
                }
                (shard, freed.is_ok())
            });
        }
    }

    /// A shard was given up; where there was no answer, its row may still name this worker.
    pub(super) fn released(&mut self, released: Result<(Shard, bool), JoinError>) {
        let Ok((shard, freed)) = released else { return };
        self.given_up.remove(&shard);
        if !freed {
            self.unsure.insert(shard);
        }
    }

    /// Stops the reading of a shard.
    pub(super) fn lose(&mut self, shard: Shard) -> Option<Owned> {
        self.readers.remove(&shard);
        self.missing.remove(&shard);
        self.covered.remove(&shard);
        events::ShardGone { slice: self.parts.slices.name(shard), partition: shard.partition }.emit();
        self.parts.live.gone(shard);
        self.parts.announcements.forget(shard);
        for sink in self.outbox.sinks() {
            sink.report.gone(shard);
        }
        self.owned.remove(&shard)
    }

    /// Goes on from the row, or drops the shard. Returns the position from which it goes on.
    pub(super) fn lose_or_go_on(&mut self, shard: Shard, row: &Row) -> Option<u64> {
        match self.owned.remove(&shard)?.go_on(row) {
            Ok(owned) => {
                let position = owned.position();
                self.owned.insert(shard, owned);
                Some(position)
            }
            Err(lost) => {
                if let Fenced::WentBack { seen: (_, position), .. } = lost {
                    self.went_back.insert(shard, position);
                }
                let (slice, partition) = (self.parts.slices.name(shard), shard.partition);
                events::ClaimLost { slice, partition, why: &lost.to_string() }.emit();
                self.lose(shard);
                self.outbox.give(|_| Some(Order::Lost(shard)));
                None
            }
        }
    }
}

/// What is announced of a claim. `purged`: below that its earlier owners have purged the shard.
fn announcement(claimed: &Claimed, purged: u64) -> Announced {
    let (epoch, seq) = (claimed.owned.epoch(), claimed.owned.position());
    Announced { epoch, seq, number: claimed.number, purged, archived: 0 }
}
