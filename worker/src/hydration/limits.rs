//! What a server's headers say of its limits.
//!
//! `RateLimit-Limit` (requests in a window), `RateLimit-Remaining`, `RateLimit-Reset` (when the window ends, in seconds
//! since the Unix epoch), `RateLimit-Policy` (`3000;w=300`): as `@atproto/xrpc-server` writes them. `Retry-After` is RFC
//! 9110's, in seconds or as a date.

use reqwest::header::HeaderMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A wait where a server that is busy does not say how long.
const UNSAID: Duration = Duration::from_secs(5);
/// Longer waits are cut: a clock that is wrong must not end hydration for a day.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

/// The limits of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in a window at most.
    pub limit: u32,
    /// Requests that are left in this one.
    pub remaining: u32,
    /// Until the window ends.
    pub reset: Duration,
    /// How long a window is, where that is said.
    pub window: Option<Duration>,
}

impl Limits {
    /// What the headers say; `None` where they do not say all of limit, remaining and reset.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let limit = number(headers, "ratelimit-limit")?;
        let remaining = number(headers, "ratelimit-remaining")?;
        let reset = until(number(headers, "ratelimit-reset")?);
        let policy = headers.get("ratelimit-policy").and_then(|value| value.to_str().ok());
        let window =
            policy.and_then(|policy| policy.split(";w=").nth(1)?.split([';', ',']).next()?.trim().parse().ok());
        Some(Self {
            limit: limit.try_into().unwrap_or(u32::MAX),
            remaining: remaining.try_into().unwrap_or(u32::MAX),
            reset,
            window: window.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        })
    }

    /// When a server that is not there says it will be again.
    #[must_use]
    pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
        Some(retry_after(headers.get("retry-after")?.to_str().ok()?)?.min(LONGEST))
    }

    /// How long a server that has too many requests wants to be left alone.
    #[must_use]
    pub fn wait(headers: &HeaderMap, limits: Option<&Self>) -> Duration {
        let said = Self::retry_after(headers);
        let reset = limits.filter(|limits| limits.remaining == 0).map(|limits| limits.reset);
        said.max(reset).unwrap_or(UNSAID).min(LONGEST)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn until(epoch_seconds: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(epoch_seconds).saturating_sub(now).min(LONGEST)
}

fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(until(date.timestamp().as_second().try_into().ok()?))
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
