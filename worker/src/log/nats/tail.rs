//! The log's end: what a writer has to know to go on.

use super::{Error, Log, message};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::time::Duration;
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};
use turbo_core::window::{MAX_EVENTS, SPAN_US, Window};

/// Requests for last messages at once.
const REQUESTS: usize = 16;
/// How long the next message of the window may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Copies of an event for several slices are messages too; the window's events are looked for among so many.
const MAX_MESSAGES: u64 = 2 * MAX_EVENTS as u64;

/// The end of the log.
pub struct Tail {
    /// The stream's last sequence.
    pub last_seq: u64,
    /// Where the source was read to; `None` in a log without messages.
    pub position: Option<SourcePosition>,
    /// The number of the last message of each shard that has one.
    pub numbers: HashMap<Shard, u64>,
    /// What was appended lately.
    pub window: Window,
}

impl Log {
    /// Reads the end of the stream first, then the rest: what changes in between gets the first batch refused.
    ///
    /// # Errors
    /// A request fails, or a message is not ours.
    pub async fn tail(&self, slices: &Slices) -> Result<Tail, Error> {
        let state = self.info().await?.state;
        let last_seq = state.last_sequence;
        let last = self.last(">").await?;
        let position = match &last {
            Some(last) => message::read(last.sequence, Some(&last.headers), last.payload.clone())?.position,
            None => None,
        };
        let numbers = stream::iter(slices.shards())
            .map(|shard| async move { Ok::<_, Error>((shard, self.last_place(slices, shard).await?)) })
            .buffer_unordered(REQUESTS)
            .try_filter_map(|(shard, last)| async move { Ok(last.map(|(_, number)| (shard, number))) })
            .try_collect()
            .await?;
        let first = state.first_sequence.max(last_seq.saturating_sub(MAX_MESSAGES));
        let window = match &last {
            Some(last) => self.window(first, last.sequence).await?,
            None => Window::new(),
        };
        Ok(Tail { last_seq, position, numbers, window })
    }

    /// The last message of a subject, asked of the stream's leader.
    pub(super) async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, Error> {
        match self.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Error::request("the last message of a subject")(&error)),
        }
    }

    /// The dedup window from the marks of the messages `first` to `last`.
    async fn window(&self, first: u64, last: u64) -> Result<Window, Error> {
        let newest_us = self.window_time(last.saturating_sub(1).max(first)).await?;
        let from = match newest_us {
            Some(newest_us) => self.first_from(newest_us - SPAN_US, first, last).await?,
            None => first,
        };
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
            headers_only: true,
            ..OrderedConfig::default()
        };
        let failed = |error: &dyn std::error::Error| Error::request("the messages of the dedup window")(error);
        let consumer = self.stream.create_consumer(config).await.map_err(|error| failed(&error))?;
        let mut messages = consumer.messages().await.map_err(|error| failed(&error))?;
        let mut window = Window::new();
        loop {
            let next = tokio::time::timeout(TIMEOUT, messages.next()).await.map_err(|error| failed(&error))?;
            let Some(message) = next.transpose().map_err(|error| failed(&error))? else { break };
            let seq = message.info().map_err(|error| failed(&*error))?.stream_sequence;
            window.restore(message::marks(seq, message.headers.as_ref())?);
            if seq >= last {
                break;
            }
        }
        Ok(window)
    }

    /// Where the dedup window begins now: what a purge has to spare. As many messages as [`Log::tail`] would look at, or
    /// a quarter of the stream's bytes, are spared at most.
    ///
    /// # Errors
    /// No answer.
    pub async fn window_begins(&self) -> Result<u64, Error> {
        let info = self.info().await?;
        let (state, max_bytes) = (info.state, u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX));
        let (first, last) = (state.first_sequence, state.last_sequence);
        let each = (state.bytes / state.messages.max(1)).max(1);
        let first = first.max(last.saturating_sub(MAX_MESSAGES)).max(last.saturating_sub(max_bytes / 4 / each));
        match self.window_time(last).await? {
            Some(newest_us) => self.first_from(newest_us - SPAN_US, first, last).await,
            None => Ok(first),
        }
    }

    /// The first sequence from `first` on whose window time is `from_us` or later; window time never goes back.
    async fn first_from(&self, from_us: i64, first: u64, last: u64) -> Result<u64, Error> {
        let (mut low, mut high) = (first, last);
        while low < high {
            let middle = low.midpoint(high);
            match self.window_time(middle).await? {
                Some(time_us) if time_us < from_us => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Window time of the first message from `seq` on that has one.
    async fn window_time(&self, seq: u64) -> Result<Option<i64>, Error> {
        let mut from = seq;
        loop {
            let message = match self.stream.get_first_raw_message_by_subject(">", from).await {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(None),
                Err(error) => return Err(Error::request("a message of the dedup window")(&error)),
            };
            if let Some(mark) = message::marks(message.sequence, Some(&message.headers))?.last() {
                return Ok(Some(mark.time_us));
            }
            from = message.sequence + 1;
        }
    }
}
