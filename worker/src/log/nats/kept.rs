//! Whether the log has, or still has, what somebody knows of.

use super::{Error, Log, message};
use async_nats::jetstream::stream::RawMessageErrorKind;
use std::num::NonZeroU64;
use tokio::sync::watch;
use turbo_core::shard::{Shard, Slices};

impl Log {
    /// Counts the connections: behind a server that comes back, the log may have gone back.
    #[must_use]
    pub fn connections(&self) -> watch::Receiver<u64> {
        self.connected.clone()
    }

    /// Whether the log went back behind a message of a shard that was read, and appended at that time, in milliseconds since
    /// the Unix epoch: it ends below it, or has another one in its place, as after a server's disk has lost what was not
    /// synced yet. What was purged since says nothing of it. The leader is asked.
    ///
    /// # Errors
    /// No answer.
    pub async fn went_back(
        &self,
        slices: &Slices,
        shard: Shard,
        seq: u64,
        appended_ms: NonZeroU64,
    ) -> Result<bool, Error> {
        self.is_gone(&self.names.shard(slices, shard), seq, appended_ms).await
    }

    /// The same, by the shard's subject.
    pub(super) async fn is_gone(&self, subject: &str, seq: u64, appended_ms: NonZeroU64) -> Result<bool, Error> {
        match self.stream.get_raw_message(seq).await {
            Ok(found) => {
                let found_ms = (found.time.unix_timestamp_nanos() / 1_000_000) as u64;
                Ok(found.subject.as_str() != subject || found_ms != appended_ms.get())
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                Ok(self.end().await?.is_none_or(|end| end < seq))
            }
            Err(error) => Err(Error::request("a message that was read")(&error)),
        }
    }

    /// Whether the log has an event of a shard between two sequences, neither of them included. The leader is asked.
    ///
    /// # Errors
    /// No answer, or a message that is not of this log.
    pub async fn has_event(&self, slices: &Slices, shard: Shard, behind: u64, before: u64) -> Result<bool, Error> {
        let subject = self.names.shard(slices, shard);
        let mut from = behind + 1;
        // Entries that are no events are few.
        while from < before {
            let first = match self.stream.get_first_raw_message_by_subject(&subject, from).await {
                Ok(first) => first,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(false),
                Err(error) => return Err(Error::request("the first message behind a position")(&error)),
            };
            if first.sequence >= before {
                return Ok(false);
            }
            let message = message::read_for_shard(first.sequence, Some(&first.headers), first.payload)?;
            if message.item.is_some_and(|item| item.event().is_some()) {
                return Ok(true);
            }
            from = first.sequence + 1;
        }
        Ok(false)
    }
}
