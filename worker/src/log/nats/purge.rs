//! Purging: what every sink has goes, by the owner of the shard. And what is left.

use super::{Error, Log, message};
use turbo_core::shard::{Shard, Slices};

impl Log {
    /// The sequence of the shard's last message; zero where there is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn last_of(&self, slices: &Slices, shard: Shard) -> Result<u64, Error> {
        Ok(self.last(&self.names.shard(slices, shard)).await?.map_or(0, |last| last.sequence))
    }

    /// Sequence and number of the shard's last message; `None` where there is none.
    pub(super) async fn last_place(&self, slices: &Slices, shard: Shard) -> Result<Option<(u64, u64)>, Error> {
        let last = self.last(&self.names.shard(slices, shard)).await?;
        last.map(|last| Ok((last.sequence, message::number(last.sequence, &last.headers)?))).transpose()
    }

    /// Removes the shard's messages below `below`; the last one always stays, so that the shard keeps its number.
    ///
    /// # Errors
    /// No answer.
    pub async fn purge(&self, slices: &Slices, shard: Shard, below: u64) -> Result<u64, Error> {
        let subject = self.names.shard(slices, shard);
        let last = self.last_of(slices, shard).await?;
        let end = below.min(last);
        // Servers before 2.15 take a purge below the first sequence for one of everything (seen on 2.12 to 2.14).
        if end <= 1 {
            return Ok(0);
        }
        let purge = self.stream.purge().filter(subject).sequence(end);
        let purged = purge.await.map_err(|error| Error::request("a purge")(&error))?;
        Ok(purged.purged)
    }
}
