//! What happens between the source and the log.

use crate::log::Gap;
use crate::telemetry::metrics as m;
use metrics::counter;
use std::time::Duration;
use tracing::{debug, error, info, warn};
use turbo_core::join::Ask;
use turbo_core::window::Window;

/// A stream was opened.
pub struct Connected<'a> {
    /// The host.
    pub host: &'a str,
    /// What it was asked for.
    pub ask: Ask,
}

impl Connected<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, ask = %self.ask, "connected to the source");
        counter!(m::SOURCE_CONNECTIONS).increment(1);
    }
}

/// A stream was seen to join what was read before.
pub struct Joined<'a> {
    /// The host.
    pub host: &'a str,
    /// New events that came before the first known one.
    pub held: usize,
    /// The dedup window.
    pub window: &'a Window,
}

impl Joined<'_> {
    /// Tells it.
    pub fn emit(self) {
        let window_seconds = self.window.span_us() / 1_000_000;
        info!(host = self.host, held = self.held, window_events = self.window.len(), window_seconds, "joined");
    }
}

/// A stream ended.
pub struct ConnectionLost<'a> {
    /// The host.
    pub host: &'a str,
    /// Label.
    pub reason: &'static str,
    /// What happened.
    pub error: &'a str,
}

impl ConnectionLost<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(host = self.host, reason = self.reason, "{}", self.error);
        counter!(m::SOURCE_LOSSES, "reason" => self.reason).increment(1);
    }
}

/// The reader waits before it connects again.
pub struct Waiting<'a> {
    /// The host that was tried last.
    pub host: &'a str,
    /// How long.
    pub wait: Duration,
    /// Why.
    pub why: &'a str,
}

impl Waiting<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, wait_ms = self.wait.as_millis() as u64, "connecting again: {}", self.why);
    }
}

/// A stream did not join what is in the log.
pub struct NotJoined<'a> {
    /// The host.
    pub host: &'a str,
    /// What it was asked for.
    pub ask: Ask,
}

impl NotJoined<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(host = self.host, ask = %self.ask, "the stream does not join what was read before; asking further back");
        counter!(m::SOURCE_NOT_JOINED).increment(1);
    }
}

/// Part of the source was never seen.
pub struct GapFound<'a> {
    /// The gap.
    pub gap: &'a Gap,
}

impl GapFound<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Gap { host, from_us, to_us, reason } = self.gap;
        error!(host, from_us, to_us, "a gap in the source: {reason}");
        counter!(m::SOURCE_GAPS).increment(1);
    }
}

/// A notice of the server.
pub struct Notice<'a> {
    /// The host.
    pub host: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its text.
    pub message: &'a str,
}

impl Notice<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, name = self.name, "notice of the source: {}", self.message);
    }
}

/// A message of a kind that this version does not know.
pub struct UnknownKind<'a> {
    /// The host.
    pub host: &'a str,
    /// The kind.
    pub kind: &'a str,
}

impl UnknownKind<'_> {
    /// Tells it.
    pub fn emit(self) {
        debug!(host = self.host, kind = self.kind, "a message of an unknown kind is left out");
        counter!(m::SOURCE_UNKNOWN).increment(1);
    }
}

/// Bytes that are no event.
pub struct Unreadable<'a> {
    /// What is wrong with them.
    pub reason: &'a str,
    /// How many.
    pub bytes: usize,
}

impl Unreadable<'_> {
    /// Tells it.
    pub fn emit(self) {
        warn!(bytes = self.bytes, "unreadable, kept as a dead letter: {}", self.reason);
        counter!(m::SOURCE_UNREADABLE).increment(1);
    }
}
