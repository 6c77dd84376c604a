//! What the stream tells of items: what they are now, or that they have changed.
//!
//! A worker tells the others of the changes that it sees, as a list in JSON:
//!
//! ```json
//! [{"what":"profile","name":"did:plc:…","state":"found","at_us":1,"value":"{…}"},
//!  {"what":"post","name":"at://…","state":"missing","at_us":1}, {"what":"repo","name":"did:plc:…","state":"unknown"}]
//! ```
//!
//! A message that is lost is no harm beyond the time to live: it bounds how old what is known may be.

use super::cache::{Cache, Entry, Known};
use super::item::{Item, Kind};
use super::json::Json;
use super::view::{self, Profile};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use turbo_core::event::{Body, Commit, Event, Operation};

/// A change that the stream tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// What an item is, and since when by the wall clock (microseconds since the Unix epoch); `None` where that is not told.
    Item(Item, Option<(Known, i64)>),
    /// All of a repository may have changed: its profile and its posts.
    Repo(Box<str>),
}

impl Change {
    /// Tells the cache.
    pub fn apply(&self, cache: &Cache) {
        match self {
            Self::Item(item, known) => {
                cache.changed(item, known.clone().map(|(known, at_us)| Entry::as_of(known, at_us)));
            }
            Self::Repo(did) => cache.repo_changed(did),
        }
    }

    /// Bytes that it takes in a message, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let value = match self {
            Self::Item(item, Some((Known::Found(json), _))) => item.name().len() + 2 * json.len(),
            Self::Item(item, _) => item.name().len(),
            Self::Repo(did) => did.len(),
        };
        96 + value
    }
}

/// What an event changes of what is known; it was appended to the log at this time. `known` gives what is known of a profile
/// and since when, however old: what has changed since would have been told.
///
/// An event is known from when it was appended, not from when it was read: a later one may have been committed by another
/// worker long before. What is put together of two times is as old as the older one.
pub(super) fn changes(event: &Event, at_us: i64, known: impl Fn(&Item) -> Option<(Json, i64)>) -> Vec<Change> {
    let did = &*event.key;
    let profile = |value: &dyn Fn(Profile<'_>) -> Option<String>| {
        let item = Item::profile(did)?;
        let value = known(&item).and_then(|(json, since_us)| {
            let json = value(serde_json::from_str(&json).ok()?)?;
            Some((Known::Found(json.into()), since_us.min(at_us)))
        });
        Some(Change::Item(item, value))
    };
    let gone = |known: Known| {
        let profile = Item::profile(did).map(|item| Change::Item(item, Some((known, at_us))));
        [Change::Repo(did.into())].into_iter().chain(profile).collect()
    };
    match &event.body {
        Body::Commit(commit) => match &*commit.collection {
            "app.bsky.feed.post" => post(did, commit, at_us).into_iter().collect(),
            // A record does not say the handle: only where that is known the profile is known too.
            "app.bsky.actor.profile" if &*commit.rkey == "self" => {
                let record = commit.record.as_deref().unwrap_or(b"{}");
                profile(&|profile| Some(view::profile_of(&profile.handle, record))).into_iter().collect()
            }
            _ => Vec::new(),
        },
        Body::Identity { handle, .. } => {
            profile(&|profile| Some(profile.with_handle(handle.as_deref()?).json())).into_iter().collect()
        }
        // It is not to be seen: its profile is not, nor are its posts.
        Body::Account { active: false, status: Some(status), .. } if &**status == "takendown" => gone(Known::TakenDown),
        Body::Account { active: false, .. } => gone(Known::Missing),
        Body::Account { active: true, .. } | Body::Sync { .. } => vec![Change::Repo(did.into())],
    }
}

fn post(did: &str, commit: &Commit, at_us: i64) -> Option<Change> {
    let item = Item::post(&format!("at://{did}/{}/{}", commit.collection, commit.rkey))?;
    let known = match (&commit.record, commit.operation) {
        (None, _) | (_, Operation::Delete) => Some(Known::Missing),
        (Some(record), _) => {
            view::post_of(commit.cid.as_deref().unwrap_or_default(), record).map(|json| Known::Found(json.into()))
        }
    };
    Some(Change::Item(item, known.map(|known| (known, at_us))))
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    what: What,
    #[serde(borrow)]
    name: Cow<'a, str>,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_us: Option<i64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Profile,
    Post,
    Repo,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Found,
    Missing,
    Blocked,
    TakenDown,
    Unknown,
}

/// Changes as a message.
#[must_use]
pub fn encode(changes: &[Change]) -> Vec<u8> {
    let wire: Vec<Wire<'_>> = changes.iter().map(wire).collect();
    // Texts in a struct always make JSON.
    serde_json::to_vec(&wire).unwrap_or_default()
}

/// The changes of a message; `None` where it is none.
#[must_use]
pub fn decode(message: &[u8]) -> Option<Vec<Change>> {
    let wire: Vec<Wire<'_>> = serde_json::from_slice(message).ok()?;
    wire.into_iter().map(change).collect()
}

fn wire(change: &Change) -> Wire<'_> {
    match change {
        Change::Repo(did) => {
            Wire { what: What::Repo, name: Cow::Borrowed(did), state: State::Unknown, at_us: None, value: None }
        }
        Change::Item(item, known) => {
            let what = match item.kind() {
                Kind::Profile => What::Profile,
                Kind::Post => What::Post,
            };
            let (state, value) = match known.as_ref().map(|(known, _)| known) {
                None => (State::Unknown, None),
                Some(Known::Found(json)) => (State::Found, Some(Cow::Borrowed(&**json))),
                Some(Known::Missing) => (State::Missing, None),
                Some(Known::Blocked) => (State::Blocked, None),
                Some(Known::TakenDown) => (State::TakenDown, None),
            };
            let at_us = known.as_ref().map(|(_, at_us)| *at_us);
            Wire { what, name: Cow::Borrowed(item.name()), state, at_us, value }
        }
    }
}

fn change(wire: Wire<'_>) -> Option<Change> {
    let item = match wire.what {
        What::Profile => Item::profile(&wire.name)?,
        What::Post => Item::post(&wire.name)?,
        What::Repo => return Some(Change::Repo(wire.name.into())),
    };
    let known = match wire.state {
        State::Found => Some(Known::Found(Json::read(wire.value?.into_owned())?)),
        State::Missing => Some(Known::Missing),
        State::Blocked => Some(Known::Blocked),
        State::TakenDown => Some(Known::TakenDown),
        State::Unknown => None,
    };
    let known = match known {
        Some(known) => Some((known, wire.at_us?)),
        None => None,
    };
    Some(Change::Item(item, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_as_they_were_told() {
        let profile = Item::profile("did:plc:a").unwrap();
        let post = Item::post("at://did:plc:a/app.bsky.feed.post/k").unwrap();
        let all = [
            Change::Repo("did:plc:a".into()),
            Change::Item(
                profile.clone(),
                Some((Known::Found(r#"{"handle":"a\"b"}"#.to_owned().into()), 1_782_864_000_000_000)),
            ),
            Change::Item(profile, None),
            Change::Item(post.clone(), Some((Known::Missing, 7))),
            Change::Item(post.clone(), Some((Known::TakenDown, 7))),
            Change::Item(post, Some((Known::Blocked, 7))),
        ];
        let message = encode(&all);
        assert!(message.len() <= all.iter().map(Change::size).sum::<usize>());
        assert_eq!(decode(&message).unwrap(), all);
        for other in ["", "{}", r#"[{"what":"profile","name":"nobody","state":"missing"}]"#, r#"[{"what":"post"}]"#] {
            assert_eq!(decode(other.as_bytes()), None, "{other}");
        }
    }
}
