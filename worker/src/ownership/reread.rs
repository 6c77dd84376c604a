//! What was read under a connection before this one may be in the log no more: a server that lost what its disk had not
//! synced yet is written to anew, under the same sequences.
//!
//! Invariant: what was read under an earlier connection is committed only after the log was asked, under this one, whether
//! it still has it. What it does not have is read again from the position, as whatever the log has there now.

use super::holder::{Holder, Read};
use crate::log::Numbered;
use crate::log::nats::{Error, Log, Message, Next};
use crate::telemetry::events;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::sync::watch;
use turbo_core::shard::{Shard, Slices};

/// How soon a log that does not answer is asked again.
const AGAIN: Duration = Duration::from_millis(200);

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

    /// Shards that the log went back in behind what was read under an earlier connection than `now`. What is still there
    /// counts as read under that one.
    async fn gone(&mut self, log: &Log, slices: &Slices, now: u64) -> Result<BTreeSet<Shard>, Error> {
        let mut gone = BTreeSet::new();
        let earlier: Vec<_> = self.0.iter().filter(|((_, under), _)| *under < now).map(|(k, v)| (*k, *v)).collect();
        for ((shard, under), (seq, at)) in earlier {
            if log.went_back(slices, shard, seq, at).await? {
                gone.insert(shard);
                continue;
            }
            self.0.remove(&(shard, under));
            let last = self.0.entry((shard, now)).or_insert((seq, at));
            *last = (*last).max((seq, at));
        }
        Ok(gone)
    }

    /// Ends when the log is seen to have gone back behind any of these, under another connection than was the last one.
    pub(super) async fn until_gone(&mut self, log: &Log, slices: &Slices, mut connections: watch::Receiver<u64>) {
        while connections.changed().await.is_ok() {
            loop {
                let now = *connections.borrow_and_update();
                match self.gone(log, slices, now).await {
                    Ok(gone) if gone.is_empty() => break,
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "the log is asked again whether it has what was read"),
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        std::future::pending().await
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
        let (log, slices) = (self.parts.log.clone(), self.parts.slices.clone());
        readings.0.retain(|(shard, _), _| self.owned.contains_key(shard));
        let now = *log.connections().borrow();
        for shard in readings.gone(&log, &slices, now).await? {
            events::LogWentBack { slice: slices.name(shard), partition: shard.partition }.emit();
            self.release(vec![shard]);
            entries.retain(|numbered| numbered.entry.shard != shard);
            readings.0.retain(|(of, _), _| *of != shard);
        }
        Ok(())
    }
}
