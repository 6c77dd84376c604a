//! Where a shard stands: in the stream, and in the catalog. Read at the claim and at every doubt.

use super::Shared;
use super::saving::{self, Row};
use super::shard::{Publisher, Stop};
use super::stream::{self, Last, Unread};
use crate::sinks::postgres::answered;
use crate::telemetry::events;
use turbo_core::position::generation;

/// Why it is not known where a shard stands.
pub(super) enum Doubt {
    /// The shard is another's.
    Lost,
    /// The server or the catalog does not answer.
    Failed(String),
}

impl From<String> for Doubt {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Publisher {
    /// Reads where the shard stands.
    pub(super) async fn begin(&mut self) -> Result<(), Stop> {
        while let Err(why) = self.catch_up().await {
            self.wait(&why).await?;
        }
        self.shared.report.claimed(self.shard, self.saved);
        // What stands there from before the log was begun anew is known by the row only, once more is published.
        self.save_at_once().await
    }

    async fn catch_up(&mut self) -> Result<(), String> {
        let last = self.last().await?;
        if let Some(last) = &last {
            let end = self.shared.log.last_of(&self.shared.slices, self.shard).await;
            let end = end.map_err(|error| error.to_string())?;
            if last.position.seq > end {
                self.ahead_of_log(last.position.seq, end).await?;
            }
        }
        self.stand_behind(last);
        Ok(())
    }

    /// The stream has a message `of` the log, and the shard ends before it. Where the catalog is ahead of the log, too, the log
    /// is lost, and goes on in the next generation, or does so already. Else nobody knows of that message.
    async fn ahead_of_log(&self, of: u64, shard_ends: u64) -> Result<(), String> {
        let Shared { log, database, .. } = &*self.shared;
        let end = log.end().await.map_err(|error| error.to_string())?.unwrap_or(0);
        let highest = answered(saving::LIMIT, database.highest()).await.map_err(|error| error.to_string())?;
        if highest > end || generation(end + 1) > generation(of) {
            return Ok(());
        }
        let stream = log.names.enriched_stream();
        let why = format!(
            "stream {stream} has the log's message {of}, where the log ends at {shard_ends}, and the catalog knows of no more. \
             What the stream has up to there is taken for known; if log and catalog are new, remove the stream"
        );
        tracing::error!(shard = ?self.shard, "spec.sinks.enriched: {why}");
        self.shared.report.failed(Some(self.shard), &why);
        Ok(())
    }

    /// The last message of the shard. A stream that is gone is made again: what it had is not sent once more.
    async fn last(&self) -> Result<Option<Last>, String> {
        let Shared { log, stream, options, .. } = &*self.shared;
        for _ in 0..2 {
            match stream::last(stream, &self.filter).await {
                Ok(last) => return Ok(last),
                Err(Unread::Failed(why)) => return Err(why),
                Err(Unread::Gone) => {
                    stream::open(log, options).await.map_err(|error| error.to_string())?;
                    let stream = log.names.enriched_stream();
                    tracing::warn!(shard = ?self.shard, "stream {stream} was gone, and is made again, without what it had");
                }
            }
        }
        Err(format!("stream {} is gone again", log.names.enriched_stream()))
    }

    /// Goes on behind this message.
    fn stand_behind(&mut self, last: Option<Last>) {
        self.last = last.as_ref().map_or(0, |last| last.sequence);
        if let Some(last) = last.filter(|last| last.position.seq > self.position.seq) {
            self.position = last.position;
            self.covered.moved(last.position.seq, last.source.as_ref());
            self.source = last.source.or(self.source.take());
        }
    }

    /// After a refusal, or without an answer. `Some(true)`: one of the attempts stands in the stream. `Some(false)`: something
    /// else does, and the next batch comes behind that. `None`: the stream ends where it did, and what was sent may still
    /// arrive.
    pub(super) async fn look_again(&mut self, ids: &[String]) -> Result<Option<bool>, Doubt> {
        let last = self.last().await?;
        if last.as_ref().map_or(0, |last| last.sequence) == self.last {
            return Ok(None);
        }
        let is_mine = |last: &&Last| last.batch.as_ref().is_some_and(|id| ids.contains(id));
        if let Some(mine) = last.as_ref().filter(is_mine) {
            self.last = mine.sequence;
            return Ok(Some(true));
        }
        // Another owner has written, or the retention has taken the last message: whose the shard is, is in the catalog.
        if !self.is_mine().await? {
            return Err(Doubt::Lost);
        }
        self.stand_behind(last);
        Ok(Some(false))
    }

    /// Whether the claim still holds; what the catalog has as the position is taken over.
    async fn is_mine(&mut self) -> Result<bool, String> {
        match saving::row(&self.shared, self.shard, self.epoch).await {
            Row::Mine(saved) => {
                self.saved = saved;
                Ok(true)
            }
            Row::Lost => Ok(false),
            Row::Unknown(why) => Err(why),
        }
    }

    /// Tells why it does not get on, and waits a while.
    pub(super) async fn wait(&mut self, why: &str) -> Result<(), Stop> {
        self.failed(why);
        tokio::select! {
            () = self.ending.cancelled() => Err(Stop::Ending),
            () = tokio::time::sleep(self.backoff.next(rand::random())) => Ok(()),
        }
    }

    pub(super) fn failed(&mut self, why: &str) {
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        self.shared.report.failed(Some(self.shard), why);
        let slice = self.shared.slices.name(self.shard);
        events::EnrichedFailed { slice, partition: self.shard.partition, error: why, first }.emit();
    }
}
