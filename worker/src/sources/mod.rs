//! Where events come from, behind one trait.
//!
//! A source has hosts and gives one connection at a time; a connection gives what it receives, in order. Which host is
//! asked for what, whether the stream joins, and what was seen before is decided once for all sources, in
//! [`crate::ingest`].

pub mod jetstream;
pub mod recording;

use bytes::Bytes;
use std::future::Future;
use turbo_core::event::Event;
use turbo_core::join::Ask;

/// A place to read events from.
pub trait Source: Send + 'static {
    /// An open stream.
    type Connection: Connection;

    /// Whether bytes may come out right when they are read again.
    const MAY_GARBLE: bool;

    /// The host that the next [`connect`](Source::connect) goes to, as it stands in positions.
    fn host(&self) -> &str;

    /// What people call that host.
    fn name(&self) -> String {
        self.host().to_owned()
    }

    /// Chooses the next host. A source with one host stays there.
    fn next_host(&mut self);

    /// Whether there are other hosts.
    fn has_others(&self) -> bool {
        false
    }

    /// Goes on with the host of a position, where it has it.
    fn begin_with(&mut self, host: &str);

    /// Opens the stream at what is asked for. `at_most`: the largest frame that the host is asked to send, in bytes.
    fn connect(
        &mut self,
        ask: Ask,
        at_most: Option<usize>,
    ) -> impl Future<Output = Result<Self::Connection, ConnectError>> + Send;
}

/// An open stream of a source.
pub trait Connection: Send {
    /// The next thing received. Safe to cancel: nothing received is lost by dropping the future.
    fn next(&mut self) -> impl Future<Output = Result<Received, Lost>> + Send;
}

/// What a connection gives.
#[derive(Debug)]
pub enum Received {
    /// An event.
    Event(Box<Event>),
    /// Bytes that are no event.
    Unreadable {
        /// The bytes.
        bytes: Bytes,
        /// What is wrong with them.
        reason: String,
    },
    /// A notice of the server: name, message.
    Info(String, String),
    /// A kind of message that this version does not know.
    Unknown(String),
    /// The source has ended: a recording was read to its end.
    End,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host no longer has what was asked for.
    #[error("the host no longer has the position: {0}")]
    CursorTooOld(String),
    /// The host is up, but not ready to serve.
    #[error("the host is not ready: {0}")]
    NotReady(String),
    /// The host refuses the request.
    #[error("the host refuses the subscription with status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The host could not be reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The source is not what the position says; going on would mix two sources.
    #[error("{0}")]
    OtherSource(String),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The source can not be read on, now or later.
    #[error("{0}")]
    Broken(String),
    /// Closed by the other side, or broken.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// Neither an event nor a pong came.
    #[error("the host was silent for {0} s")]
    Silent(u64),
    /// Pongs came, but no events, where events are expected.
    #[error("no event came for {0} s")]
    Quiet(u64),
    /// What came is all older than what is in the log.
    #[error("the host has sent nothing yet that is as new as what is in the log")]
    Behind,
    /// The server dropped this reader because it was too slow.
    #[error("the host dropped this reader: {0}")]
    TooSlow(String),
    /// A frame above the limit.
    #[error("a frame of {size} bytes is above the limit of {limit} bytes")]
    Oversized {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl Lost {
    /// A label for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Broken(_) => "Broken",
            Self::Closed(_) => "Closed",
            Self::Silent(_) => "Silent",
            Self::Quiet(_) => "Quiet",
            Self::Behind => "Behind",
            Self::TooSlow(_) => "TooSlow",
            Self::Oversized { .. } => "Oversized",
        }
    }

    /// Whether another host should be tried first.
    #[must_use]
    pub fn blames_host(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Quiet(_) | Self::Behind)
    }
}
