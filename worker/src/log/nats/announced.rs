//! What owners announce of their shards in the bucket, and how many messages wait.
//!
//! Invariants: an announcement is never put over one of a higher epoch, or of the same epoch and a higher sequence;
//! a claim is announced before anything is done under it, and over lower epochs only: so an epoch has one claimer, also
//! where the catalog forgets a claim; what is said of the archive only grows under a claim;
//! depth is the number of a shard's last message less the announced one, and where one of them is not known, it is not
//! known: that means *hold*, never zero.

use super::{Error, Log};
use async_nats::jetstream::kv::{CreateErrorKind, Operation, UpdateErrorKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use turbo_core::position::generation;
use turbo_core::shard::{Shard, Slices};

/// By how much clocks of NATS servers may differ.
const CLOCKS: Duration = Duration::from_secs(2);
/// Requests at once.
const REQUESTS: usize = 16;

/// What the owner of a shard announces, as JSON under `shard.<slice>.<partition>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The epoch of the claim.
    pub epoch: u64,
    /// The checkpoint: the last log sequence that is in the database.
    pub seq: u64,
    /// Its number in the shard.
    pub number: u64,
    /// Messages below this sequence were purged by owners.
    pub purged: u64,
    /// The highest sequence in an object of the archive that was intended under this epoch, and then put.
    #[serde(default)]
    pub archived: u64,
}

impl Announced {
    /// Whether this may stand in place of `there`.
    #[must_use]
    pub fn follows(&self, there: &Self) -> bool {
        (self.epoch, self.seq) >= (there.epoch, there.seq)
    }
}

/// Messages that wait for a shard's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// How many; `None` where it is not known.
    pub waiting: Option<u64>,
    /// The number of the last message; zero where there was none yet.
    pub last: u64,
}

impl Log {
    /// The key of a shard in the bucket.
    #[must_use]
    pub fn shard_key(&self, slices: &Slices, shard: Shard) -> String {
        format!("shard.{}.{}", slices.name(shard), shard.partition)
    }

    /// What is announced of a shard, with its revision.
    ///
    /// # Errors
    /// No answer.
    pub async fn announced(&self, slices: &Slices, shard: Shard) -> Result<Option<(Announced, u64)>, Error> {
        let entry = self.bucket.entry(self.shard_key(slices, shard)).await;
        let entry = entry.map_err(|error| Error::request("what is announced of a shard")(&error))?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        // One that can not be read is as good as none, and is replaced.
        Ok(entry.map(|entry| (serde_json::from_slice(&entry.value).unwrap_or_default(), entry.revision)))
    }

    /// Announces a shard, unless something later stands there. Returns whether it stands there now.
    ///
    /// # Errors
    /// No answer.
    pub async fn announce(&self, slices: &Slices, shard: Shard, announced: Announced) -> Result<bool, Error> {
        let follow = |there: Announced| {
            let archived = if there.epoch == announced.epoch { there.archived } else { 0 };
            announced.follows(&there).then_some(Announced { archived, ..announced })
        };
        self.put_announced(slices, shard, follow).await
    }

    /// Announces a claim. Returns false where one of this epoch or a later one was announced: this one is none then.
    ///
    /// # Errors
    /// No answer.
    pub async fn announce_claim(&self, slices: &Slices, shard: Shard, claim: Announced) -> Result<bool, Error> {
        self.put_announced(slices, shard, |there| (there.epoch < claim.epoch).then_some(claim)).await
    }

    /// Announces that an object of the archive is about to be put, which the claim of this epoch has intended: a catalog that
    /// does not know it is behind. Returns false where a later claim has announced the shard.
    ///
    /// # Errors
    /// No answer.
    pub async fn announce_object(
        &self,
        slices: &Slices,
        shard: Shard,
        epoch: u64,
        last_seq: u64,
    ) -> Result<bool, Error> {
        let follow = |there: Announced| {
            let before = if there.epoch == epoch { there.archived } else { 0 };
            (there.epoch <= epoch).then_some(Announced { epoch, archived: last_seq.max(before), ..there })
        };
        self.put_announced(slices, shard, follow).await
    }

    /// Puts what follows what is announced. Returns whether anything does.
    async fn put_announced(
        &self,
        slices: &Slices,
        shard: Shard,
        follow: impl Fn(Announced) -> Option<Announced>,
    ) -> Result<bool, Error> {
        let failed = |error: &dyn std::error::Error| Error::request("an announcement")(error);
        let key = self.shard_key(slices, shard);
        loop {
            let there = self.announced(slices, shard).await?;
            let Some(announced) = follow(there.map(|(there, _)| there).unwrap_or_default()) else { return Ok(false) };
            let json = serde_json::to_vec(&announced).map_err(|error| failed(&error))?;
            match there {
                Some((_, revision)) => match self.bucket.update(&key, json.into(), revision).await {
                    Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
                    put => return put.map(|_| true).map_err(|error| failed(&error)),
                },
                None => match self.bucket.create(&key, json.into()).await {
                    Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
                    put => return put.map(|_| true).map_err(|error| failed(&error)),
                },
            }
        }
    }

    /// What waits, by shard.
    ///
    /// # Errors
    /// No answer.
    pub async fn depths(&self, slices: &Slices) -> Result<BTreeMap<Shard, Depth>, Error> {
        stream::iter(slices.shards())
            .map(|shard| async move {
                let (seq, number) = match self.last_place(slices, shard).await {
                    // Its number is not ours to read.
                    Err(Error::Broken(_)) => return Ok((shard, Depth::default())),
                    last => last?.unwrap_or_default(),
                };
                let announced = self.announced(slices, shard).await?;
                Ok((shard, depth(number, generation(seq), announced.map(|(announced, _)| announced))))
            })
            .buffer_unordered(REQUESTS)
            .try_collect()
            .await
    }

    /// What is announced of every shard.
    ///
    /// # Errors
    /// No answer.
    pub async fn all_announced(&self, slices: &Slices) -> Result<BTreeMap<Shard, Announced>, Error> {
        let all: Vec<_> = stream::iter(slices.shards())
            .map(|shard| async move { Ok::<_, Error>((shard, self.announced(slices, shard).await?)) })
            .buffer_unordered(REQUESTS)
            .try_collect()
            .await?;
        Ok(all.into_iter().filter_map(|(shard, there)| Some((shard, there?.0))).collect())
    }

    /// Whether anything was announced of a shard before the stream was made: then there was another one in its place.
    ///
    /// # Errors
    /// No answer.
    pub async fn is_made_again(&self, slices: &Slices) -> Result<bool, Error> {
        let made = self.info().await?.created;
        for shard in slices.shards() {
            let entry = self.bucket.entry(self.shard_key(slices, shard)).await;
            let entry = entry.map_err(|error| Error::request("what is announced of a shard")(&error))?;
            if entry.is_some_and(|entry| entry.created + CLOCKS < made) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The sequence of every shard's last message; zero where there is none.
    ///
    /// # Errors
    /// No answer.
    pub async fn lasts(&self, slices: &Slices) -> Result<BTreeMap<Shard, u64>, Error> {
        stream::iter(slices.shards())
            .map(|shard| async move { Ok((shard, self.last_of(slices, shard).await?)) })
            .buffer_unordered(REQUESTS)
            .try_collect()
            .await
    }

    /// Announces, for shards of which nothing is announced, that nothing of them is committed: so depth is known before
    /// the first owner comes.
    ///
    /// # Errors
    /// No answer.
    pub async fn announce_beginnings(&self, slices: &Slices) -> Result<(), Error> {
        stream::iter(slices.shards())
            .map(|shard| async move {
                let made = self.bucket.create(self.shard_key(slices, shard), nothing()).await;
                match made {
                    Err(error) if error.kind() != CreateErrorKind::AlreadyExists => {
                        Err(Error::request("an announcement")(&error))
                    }
                    _ => Ok(()),
                }
            })
            .buffer_unordered(REQUESTS)
            .try_collect()
            .await
    }
}

/// How many messages wait, by the number of the last one and the log's generation: in a new one numbers start anew.
#[must_use]
pub fn depth(last: u64, current: u64, announced: Option<Announced>) -> Depth {
    let number = |announced: Announced| if generation(announced.seq) < current { 0 } else { announced.number };
    let waiting = announced.map(|announced| last.saturating_sub(number(announced)));
    Depth { waiting: if last == 0 { Some(0) } else { waiting }, last }
}

fn nothing() -> bytes::Bytes {
    serde_json::to_vec(&Announced::default()).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depth_that_is_not_known_is_not_zero() {
        let at = |number| Some(Announced { number, ..Announced::default() });
        assert_eq!(depth(0, 0, None).waiting, Some(0), "there is nothing to wait");
        assert_eq!(depth(7, 0, None).waiting, None);
        assert_eq!(depth(7, 0, at(3)).waiting, Some(4));
        assert_eq!(depth(7, 1, at(3)).waiting, Some(7), "a new generation");
        assert_eq!(depth(7, 0, at(9)).waiting, Some(0));
    }

    #[test]
    fn what_is_later_stands() {
        let at = |epoch, seq| Announced { epoch, seq, ..Announced::default() };
        assert!(at(2, 0).follows(&at(1, 9)) && at(1, 9).follows(&at(1, 9)));
        assert!(!at(1, 8).follows(&at(1, 9)) && !at(1, 10).follows(&at(2, 0)));
    }
}
