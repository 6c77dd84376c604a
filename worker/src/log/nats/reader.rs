//! The reader of one shard: its messages in order, each once.
//!
//! Invariant: the next message bears the next number. At a break the reader is made anew behind the last message that was
//! taken; if it shows the same break, the stream's leader is asked for the first message behind that one, and only what
//! the leader does not have counts as missing. A reader that stays quiet asks the leader as well: what the consumer does not
//! give while the log has it (a pull that was lost is noticed by the client after 35 s only) is read anew.

use super::connection::Connected;
use super::message::{self, Message};
use super::{Error, Log};
use crate::log::Content;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt;
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::time::Instant;
use turbo_core::backoff::Backoff;
use turbo_core::position::generation;
use turbo_core::shard::{Shard, Slices};

const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Messages of a shard that may be on their way at once: a worker may own every shard.
const BATCH: i64 = 200;

/// How long a reader is quiet before it asks what there is. What is there at two of these questions is read anew.
const QUIET: Duration = Duration::from_secs(4);

/// What a shard's log gives next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages, which are taken at once")]
pub enum Next {
    /// The next message.
    Message(Message),
    /// Messages that the log no longer has: the numbers from the first to the last of them. What follows them comes next.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The log went back: what was read last from it, with this number, is not there any more. What the log has behind its
    /// sequence comes next.
    WentBack {
        /// The number of the last message that was read.
        number: u64,
        /// The number of the next one.
        next: u64,
    },
}

impl Next {
    /// About what it takes in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Message(Message { item: Some(item), .. }) => match &item.content {
                Content::Event(event) => event.bytes.len(),
                Content::Unreadable { bytes, reason } => bytes.len() + reason.len(),
                Content::Gap(gap) => gap.reason.len(),
                Content::Covered(_) => 0,
            },
            Self::Message(_) | Self::Missing { .. } | Self::WentBack { .. } => 0,
        }
    }
}

/// Where a reader begins: behind this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Its sequence; zero for the beginning.
    pub seq: u64,
    /// Its number; `None` where it is not known, so that the first message's counts.
    pub number: Option<u64>,
}

/// Reads a shard's messages.
pub struct ShardReader {
    at: Place,
    messages: Option<Ordered>,
    connected: Connected,
    /// The connection under which the consumer was made.
    under: u64,
    /// Whether the log was seen to end below what was read last, or to have another message in its place.
    went_back: bool,
    /// What comes behind missing messages.
    held: Option<Message>,
    backoff: Backoff,
    quiet: Quiet,
}

/// What is known of a reader that gets nothing.
struct Quiet {
    /// When a message came, or the leader was asked.
    since: Instant,
    /// What the leader had that had not come.
    waits: Option<u64>,
}

/// Where a reader is.
struct Place {
    log: Log,
    subject: String,
    behind: Behind,
    /// When that message was appended, in milliseconds since the Unix epoch, if it was read here.
    appended_ms: Option<NonZeroU64>,
    /// The sequence behind which a break was seen once.
    suspect: Option<u64>,
}

impl Log {
    /// A position of a shard with its number: the message at the position always stays in the log, as long as the log has
    /// not lost it.
    ///
    /// # Errors
    /// No answer.
    pub async fn behind(&self, seq: u64) -> Result<Behind, Error> {
        if seq == 0 {
            return Ok(Behind { seq, number: Some(0) });
        }
        match self.stream.get_raw_message(seq).await {
            Ok(found) => Ok(Behind { seq, number: message::number(seq, &found.headers).ok() }),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(Behind { seq, number: None }),
            Err(error) => Err(Error::request("the message at a position")(&error)),
        }
    }

    /// A reader of the shard's messages behind that one.
    #[must_use]
    pub fn shard(&self, slices: &Slices, shard: Shard, behind: Behind) -> ShardReader {
        let subject = self.names.shard(slices, shard);
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let at = Place { log: self.clone(), subject, behind, appended_ms: None, suspect: None };
        let connected = self.connected.clone();
        let quiet = Quiet { since: Instant::now(), waits: None };
        ShardReader { at, messages: None, connected, under: 0, went_back: false, held: None, backoff, quiet }
    }
}

impl ShardReader {
    /// The connection under which the last message was read: see [`Log::connections`].
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.under
    }

    /// What comes next; waits while there is nothing, and while the server is away. Safe to cancel.
    ///
    /// # Errors
    /// A message that is not of this log.
    pub async fn next(&mut self) -> Result<Next, Error> {
        loop {
            if let Some(message) = self.held.take() {
                return Ok(self.taken(message));
            }
            if let Err(error) = self.step().await {
                self.messages = None;
                if matches!(error, Error::Broken(_)) {
                    return Err(error);
                }
                tracing::debug!(subject = self.at.subject, %error, "the shard is read anew");
                tokio::time::sleep(self.backoff.next(rand::random())).await;
                continue;
            }
            if let (Some(held), Some(number)) = (&self.held, self.at.behind.number)
                && (held.number != number + 1 || self.went_back)
            {
                // The leader has confirmed it.
                self.at.behind.number = Some(held.number - 1);
                let went_back = std::mem::take(&mut self.went_back) || held.number <= number;
                return Ok(match went_back {
                    true => Next::WentBack { number, next: held.number },
                    false => Next::Missing { from: number + 1, to: held.number - 1 },
                });
            }
        }
    }

    fn taken(&mut self, message: Message) -> Next {
        self.at.behind = Behind { seq: message.seq, number: Some(message.number) };
        self.at.appended_ms = message.appended_ms;
        self.backoff.reset();
        Next::Message(message)
    }

    /// Receives one message, and holds it if it is what comes next.
    async fn step(&mut self) -> Result<(), Error> {
        let failed = |error: &dyn std::error::Error| Error::request("the messages of a shard")(error);
        if self.messages.is_none() {
            self.under = *self.connected.borrow_and_update();
            let gone = self.at.is_gone().await?;
            self.messages = Some(self.at.open().await?);
            self.went_back |= gone;
        }
        let Some(messages) = &mut self.messages else { return Ok(()) };
        let next = tokio::select! {
            biased;
            // The consumer went with the server's memory; to wait until its heartbeats are missed takes a quarter of a minute.
            Ok(()) = self.connected.changed() => None,
            next = messages.next() => next,
            () = tokio::time::sleep_until(self.quiet.since + QUIET) => return self.look().await,
        };
        self.quiet = Quiet { since: Instant::now(), waits: None };
        let Some(received) = next.transpose().map_err(|error| failed(&error))? else {
            self.messages = None;
            return Ok(());
        };
        let info = received.info().map_err(|error| failed(&*error))?;
        let (seq, appended_ms) = (info.stream_sequence, (info.published.unix_timestamp_nanos() / 1_000_000) as u64);
        if seq <= self.at.behind.seq {
            return Ok(());
        }
        if generation(seq) > generation(self.at.behind.seq) && self.at.behind.number.is_some() {
            // The log was begun anew, and numbers with it.
            self.at.behind.number = Some(0);
            self.went_back = false;
        }
        let message = message::read_for_shard(seq, received.headers.as_ref(), received.payload.clone())?;
        let message = Message { appended_ms: NonZeroU64::new(appended_ms), ..message };
        let follows = self.at.behind.number.is_none_or(|number| message.number == number + 1);
        // A server that is about to lead may have answered before it knew all.
        self.went_back = self.went_back && self.at.is_gone().await?;
        if follows || self.at.is_missing(seq).await? {
            self.at.suspect = None;
            self.held = Some(message);
        } else {
            self.at.suspect = Some(self.at.behind.seq);
            self.messages = None;
        }
        Ok(())
    }
}

impl ShardReader {
    /// Asks what there is, and lets the consumer go if it does not give it.
    async fn look(&mut self) -> Result<(), Error> {
        self.quiet.since = Instant::now();
        let there = self.at.first_behind().await?;
        if there.is_some() && there == self.quiet.waits {
            tracing::warn!(
                subject = self.at.subject,
                waits = there,
                "the consumer of a shard stood still: it is read anew"
            );
            self.messages = None;
        }
        self.quiet.waits = there;
        Ok(())
    }
}

impl Place {
    /// Whether the leader, too, has nothing between the last message taken and `seq`; asked at the second break only.
    async fn is_missing(&self, seq: u64) -> Result<bool, Error> {
        Ok(self.suspect == Some(self.behind.seq) && self.first_behind().await? == Some(seq))
    }

    /// Whether the log went back behind the last message that was read.
    async fn is_gone(&self) -> Result<bool, Error> {
        match self.appended_ms {
            Some(at) => self.log.is_gone(&self.subject, self.behind.seq, at).await,
            None => Ok(false),
        }
    }

    /// The sequence of the first message behind the last one taken, as the leader has it.
    async fn first_behind(&self) -> Result<Option<u64>, Error> {
        match self.log.stream.get_first_raw_message_by_subject(&self.subject, self.behind.seq + 1).await {
            Ok(first) => Ok(Some(first.sequence)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(Error::request("the first message behind a position")(&error)),
        }
    }

    async fn open(&self) -> Result<Ordered, Error> {
        let failed = |error: &dyn std::error::Error| Error::request("a reader of a shard")(error);
        let config = OrderedConfig {
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: self.behind.seq + 1 },
            max_batch: BATCH,
            ..OrderedConfig::default()
        };
        let consumer = self.log.stream.create_consumer(config).await.map_err(|error| failed(&error))?;
        consumer.messages().await.map_err(|error| failed(&error))
    }
}
