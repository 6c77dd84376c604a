//! The log's end: what a writer has to know to go on.

use super::{Error, Log, message};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Info, LastRawMessageErrorKind, RawMessageErrorKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::time::Duration;
use turbo_core::position::{GENERATION, SourcePosition, generation};
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
    /// The same of its last message as [`Item::rejoined`](crate::log::Item::rejoined).
    pub rejoined: bool,
    /// The source time of the position's event, where the source is read from earlier on.
    pub event_us: Option<i64>,
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
        let info = self.info().await?;
        let last_seq = info.state.last_sequence;
        let last = self.last(&self.names.all()).await?;
        if last.is_none() && info.state.messages > 0 {
            let why = "its last message can not be found".to_owned();
            return Err(Error::Request { what: "the end of the log", why });
        }
        let position = match &last {
            Some(last) => message::read(last.sequence, Some(&last.headers), last.payload.clone())?.position,
            None => None,
        };
        let rejoined = last.as_ref().is_some_and(|last| message::rejoined(&last.headers));
        let numbers = stream::iter(slices.shards())
            .map(|shard| async move { Ok::<_, Error>((shard, self.last_place(slices, shard).await?)) })
            .buffer_unordered(REQUESTS)
            .try_filter_map(|(shard, last)| async move { Ok(last.map(|(_, number)| (shard, number))) })
            .try_collect()
            .await?;
        // What shards that lag, or are idle, have left below what was purged of others is not all that was there.
        let purged = self.all_announced(slices).await?.values().map(|announced| announced.purged).max();
        let first = spared(&info).max(purged.unwrap_or(0)).min(last_seq);
        let mut window = match &last {
            Some(last) => self.window(first, last.sequence).await?,
            None => Window::new(),
        };
        // A log that has just begun has lost nothing: how far the source is rewound does not hang on what it holds.
        if last.is_some_and(|last| first > generation(last.sequence) * GENERATION + 1) {
            window.cut();
        }
        Ok(Tail { last_seq, position, rejoined, event_us: None, numbers, window })
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

    /// Where the dedup window begins now: what a purge has to spare, where there is room for it.
    ///
    /// # Errors
    /// No answer.
    pub async fn window_begins(&self) -> Result<u64, Error> {
        let info = self.info().await?;
        let (first, last) = (spared(&info), info.state.last_sequence);
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

/// From where on messages are spared at most, and the window's events are looked for: the last [`MAX_MESSAGES`], or a quarter
/// of what the stream may hold.
fn spared(info: &Info) -> u64 {
    let (state, max_bytes) = (&info.state, u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX));
    let each = (state.bytes / state.messages.max(1)).max(1);
    let least = state.last_sequence.saturating_sub(MAX_MESSAGES.min(max_bytes / 4 / each));
    state.first_sequence.max(least)
}
