//! What is known of what an event points at is put together when the event is read, while those before it are being
//! committed.
//!
//! Invariant: what the shard had already, before its log was begun anew, teaches nothing: only the commit knows what that is,
//! so what is read behind a new beginning is left to it.

use crate::hydration::hydrator::{Hydrator, Taken};
use crate::log::nats::{Message, Next};
use std::num::NonZeroU64;
use turbo_core::position::generation;

/// What was put together of what was read.
#[derive(Debug)]
pub(super) enum Ahead {
    /// All that is known of it.
    Taken(Option<Taken>),
    /// That is left to the commit.
    Not,
}

impl Ahead {
    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Taken(Some(taken)) => taken.hydrated.document.as_ref().map_or(0, |document| document.len()),
            Self::Taken(None) | Self::Not => 0,
        }
    }
}

/// Puts together what is known for the events of a slice that are read behind this position.
pub(super) struct Looking {
    pub(super) hydrator: Hydrator,
    pub(super) slice: u16,
    pub(super) position: u64,
}

impl Looking {
    /// Looks at what was read.
    pub(super) fn at<E>(&self, next: &Result<Option<Next>, E>) -> Ahead {
        let Ok(Some(Next::Message(Message { seq, item: Some(item), appended_ms, .. }))) = next else {
            return Ahead::Not;
        };
        let Some((event, appended_us)) = item.event().zip(appended_us(*appended_ms)) else { return Ahead::Not };
        if generation(*seq) != generation(self.position) {
            return Ahead::Not;
        }
        // What is read again is older than what was learned since.
        let new = (*seq > self.position).then_some(appended_us);
        Ahead::Taken(self.hydrator.take(self.slice, event, new))
    }
}

/// When a message was appended, in microseconds since the Unix epoch.
pub(super) fn appended_us(appended_ms: Option<NonZeroU64>) -> Option<i64> {
    appended_ms.map(|at| at.get().saturating_mul(1000) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hydration::cache::Cache;
    use crate::hydration::fetcher::Handle;
    use crate::hydration::hydrator::Targets;
    use crate::hydration::references::Target;
    use crate::log::{Content, Item};
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;
    use turbo_core::position::GENERATION;
    use turbo_core::wire::{Frame, decode};

    const URI: &str = "at://did:plc:a/app.bsky.feed.post/k";

    fn message(seq: u64, collection: &str, rkey: &str, record: &Value) -> Result<Option<Next>, ()> {
        let commit = json!({"rev": "3l7", "operation": "create", "collection": collection, "rkey": rkey, "cid": "c",
                            "record": record});
        let line = json!({"did": "did:plc:a", "time_us": 1, "kind": "commit", "commit": commit}).to_string();
        let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!("no event") };
        let content = Content::Event(event);
        let item = Item { content, host: "a".into(), marks: Vec::new(), trace: None, rejoined: false };
        let appended_ms = NonZeroU64::new(jiff::Timestamp::now().as_millisecond() as u64);
        Ok(Some(Next::Message(Message { seq, number: 1, item: Some(item), position: None, appended_ms })))
    }

    fn post(seq: u64, text: &str) -> Result<Option<Next>, ()> {
        message(seq, "app.bsky.feed.post", "k", &json!({"text": text}))
    }

    /// What a like of the post is given: its text, or its state where it is not there.
    fn shown(looking: &Looking, seq: u64) -> Value {
        let like = message(seq, "app.bsky.feed.like", "l", &json!({"subject": {"uri": URI, "cid": "c"}}));
        let Ahead::Taken(Some(taken)) = looking.at(&like) else { panic!("nothing was looked up") };
        let Some(document) = &taken.hydrated.document else { return Value::Null };
        serde_json::from_str::<Value>(document).unwrap()["subject"]["post"]["record"]["text"].take()
    }

    #[test]
    fn what_is_new_teaches_and_what_is_read_again_or_may_have_been_had_does_not() {
        let cache = Arc::new(Cache::new(1 << 20));
        let targets = Targets::from([(Target::Subject, Duration::from_secs(600))]);
        let hydrator = Hydrator::new(cache.clone(), Handle::new(cache), vec![targets]);
        let looking = Looking { hydrator, slice: 0, position: 10 };
        let taken = |next: &_| matches!(looking.at(next), Ahead::Taken(None));
        assert!(taken(&post(9, "again")));
        assert_eq!(shown(&looking, 11), Value::Null, "what is read again is older than what is known");
        assert!(taken(&post(12, "new")));
        assert_eq!(shown(&looking, 13), "new");
        assert_eq!(shown(&looking, 9), "new", "what lands again is given what is known by now");
        assert!(matches!(looking.at(&post(GENERATION + 1, "had")), Ahead::Not));
        assert_eq!(shown(&looking, 14), "new", "of a log that was begun anew the commit knows what was had");
        assert!(matches!(looking.at::<()>(&Ok(None)), Ahead::Not));
    }
}
