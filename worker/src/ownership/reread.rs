//! What was read under a connection before this one may be in the log no more: a server that lost what its disk had not
//! synced yet is written to anew, under the same sequences.
//!
//! Invariant: what was read under an earlier connection is committed only after the log was asked, under this one, whether
//! it still has it. What it does not have is read again from the position, as whatever the log has there now.

use super::holder::{Holder, Read};
use crate::log::Numbered;
use crate::log::nats::{Error, Message, Next};
use crate::telemetry::events;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use turbo_core::shard::Shard;

/// The last message that was read of each shard under each connection: its sequence, and when it was appended.
#[derive(Debug, Default)]
pub(super) struct Readings(BTreeMap<(Shard, u64), (u64, NonZeroU64)>);

impl Readings {
    /// Of these; a shard's come in the order of the log.
    pub(super) fn of(read: &[Read]) -> Self {
        let last = |one: &Read| match &one.next {
            Ok(Some(Next::Message(Message { seq, appended_ms: Some(at), .. }))) => {
                Some(((one.shard, one.connection), (*seq, *at)))
            }
            _ => None,
        };
        Self(read.iter().filter_map(last).collect())
    }
}

impl Holder {
    /// Gives up the shards that the log went back in behind what was read, and drops their entries: the next claim reads
    /// again.
    ///
    /// # Errors
    /// The log does not answer: it has to be asked again.
    pub(super) async fn drop_what_went(
        &mut self,
        readings: &mut Readings,
        entries: &mut Vec<Numbered>,
    ) -> Result<(), Error> {
        let now = *self.parts.log.connections().borrow();
        let earlier: Vec<(Shard, u64)> = readings.0.keys().filter(|(_, under)| *under < now).copied().collect();
        for (shard, under) in earlier {
            let Some(&(seq, at)) = readings.0.get(&(shard, under)) else { continue };
            let slices = &self.parts.slices;
            if self.owned.contains_key(&shard) && self.parts.log.went_back(slices, shard, seq, at).await? {
                events::LogWentBack { slice: slices.name(shard), partition: shard.partition, read: seq }.emit();
                self.release(vec![shard]);
                entries.retain(|numbered| numbered.entry.shard != shard);
            }
            readings.0.remove(&(shard, under));
            let last = readings.0.entry((shard, now)).or_insert((seq, at));
            *last = (*last).max((seq, at));
        }
        Ok(())
    }
}
