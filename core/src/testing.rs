//! Events for the tests of this crate.

use crate::event::{Body, Commit, Event, Operation};
use bytes::Bytes;

/// The TID of microsecond `rev`.
pub(crate) fn tid(rev: i64) -> Box<str> {
    crate::tid::encode(rev, 0).into()
}

fn event(key: &str, time_us: i64, body: Body) -> Event {
    Event { key: key.into(), time_us, cursor: None, body, bytes: Bytes::new() }
}

/// A record change at revision `rev`.
pub(crate) fn change(key: &str, operation: Operation, rev: i64, rkey: &str, time_us: i64) -> Event {
    let record = (operation != Operation::Delete).then(|| Bytes::from(format!("{{\"rev\":{rev}}}")));
    let cid = record.is_some().then(|| format!("cid{rev}").into());
    let collection = "app.bsky.feed.post".into();
    event(key, time_us, Body::Commit(Commit { operation, rev: tid(rev), collection, rkey: rkey.into(), record, cid }))
}

/// The creation of a record.
pub(crate) fn commit(key: &str, rev: i64, rkey: &str, time_us: i64) -> Event {
    change(key, Operation::Create, rev, rkey, time_us)
}

/// A replaced repository.
pub(crate) fn sync(key: &str, rev: i64, time_us: i64) -> Event {
    event(key, time_us, Body::Sync { rev: tid(rev), time: format!("s{time_us}").into() })
}

/// The same, told at microsecond `made_us`.
pub(crate) fn told(key: &str, rev: i64, made_us: i64, time_us: i64) -> Event {
    let time = jiff::Timestamp::from_microsecond(made_us).map_or_else(|_| String::new(), |at| at.to_string());
    event(key, time_us, Body::Sync { rev: tid(rev), time: time.into() })
}

/// A new handle.
pub(crate) fn identity(key: &str, handle: &str, time_us: i64) -> Event {
    event(key, time_us, Body::Identity { handle: Some(handle.into()), time: format!("i{time_us}").into() })
}

/// An account's state; inactive means deleted.
pub(crate) fn account(key: &str, active: bool, time_us: i64) -> Event {
    let status = (!active).then(|| "deleted".into());
    event(key, time_us, Body::Account { active, status, time: format!("a{time_us}").into() })
}
