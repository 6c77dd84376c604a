//! What an event that is traced carries: which trace it is in, and which span the next ones are children of.
//!
//! On the wire it is the header `traceparent` of W3C Trace Context (<https://www.w3.org/TR/trace-context/>):
//! `00-<32 hex digits>-<16 hex digits>-01`.

use super::Step;
use opentelemetry::trace::{SpanId, TraceId};
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_64;

/// The header.
pub const TRACEPARENT: &str = "traceparent";

/// The context of an event that is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// When the event came.
    pub(super) began: SystemTime,
}

impl TraceContext {
    /// The first span of a new trace.
    pub(super) fn root() -> Self {
        // Zero is no id.
        let trace = TraceId::from(rand::random::<u128>().max(1));
        Self { trace, span: SpanId::from(rand::random::<u64>().max(1)), began: SystemTime::now() }
    }

    /// The span of a step of the entry with this log sequence. It is made from what it is of: a step that is done again
    /// after a crash is the same span.
    #[must_use]
    pub fn child(&self, step: Step, seq: u64) -> Self {
        let mut bytes = Vec::with_capacity(48);
        bytes.extend_from_slice(&self.trace.to_bytes());
        bytes.extend_from_slice(&self.span.to_bytes());
        bytes.extend_from_slice(&seq.to_le_bytes());
        bytes.extend_from_slice(step.as_str().as_bytes());
        Self { span: SpanId::from(xxh3_64(&bytes).max(1)), ..*self }
    }

    /// The value of the header.
    #[must_use]
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.span)
    }

    /// Reads the value of the header; `None` where it is broken, or says that the event is not traced.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may say more behind the flags.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        hex(version, 2)?;
        let (trace, span) = (hex(trace, 32)?, hex(span, 16)?);
        let is_traced = hex(flags, 2)? & 1 == 1 && trace != 0 && span != 0;
        is_traced.then(|| Self {
            trace: TraceId::from(trace),
            span: SpanId::from(span as u64),
            began: SystemTime::now(),
        })
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let valid = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    valid.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_comes_back_from_its_header() {
        let context = TraceContext::root();
        let back = TraceContext::parse(&context.traceparent()).unwrap();
        assert_eq!((back.trace, back.span), (context.trace, context.span));
        let known = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceContext::parse(known).unwrap().traceparent(), known);
    }

    #[test]
    fn steps_of_one_event_are_spans_of_their_own_and_the_same_each_time() {
        let context = TraceContext::root();
        let commit = context.child(Step::Commit, 7);
        assert_eq!(commit, context.child(Step::Commit, 7));
        assert_eq!(commit.trace, context.trace);
        for other in [context, context.child(Step::Commit, 8), context.child(Step::Publish, 7)] {
            assert_ne!(other.span, commit.span);
        }
    }

    #[test]
    fn what_is_broken_or_not_traced_is_no_context() {
        for text in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
        assert!(TraceContext::parse("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-x").is_some());
    }
}
