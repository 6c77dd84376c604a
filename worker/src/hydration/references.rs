//! What a record points at: who wrote it, whom it mentions, what it answers, quotes, likes or follows.
//!
//! Accounts may write anything: what is not of the shape that the lexicon gives points at nothing.

use super::item::Item;
use crate::record::{QUOTES, Record};
use serde_json::Value;
use turbo_core::event::Event;

/// Mentions that are looked up of one record; a text of 300 characters has no room for more that anyone would read.
const MAX_MENTIONS: usize = 25;

/// What may be looked up for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The profile of who wrote it.
    Author,
    /// The profiles that its facets mention.
    Mentions,
    /// The post that it answers, and the first of the thread.
    Reply,
    /// The post that it quotes.
    Quote,
    /// The post that it likes or reposts; the profile that it follows, blocks or lists.
    Subject,
}

/// Where in the hydrated document an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// `author`
    Author,
    /// `mentions[]`
    Mention,
    /// `reply.root`
    ReplyRoot,
    /// `reply.parent`
    ReplyParent,
    /// `quote`
    Quote,
    /// `subject`
    Subject,
}

impl Place {
    /// What it is looked up for.
    #[must_use]
    pub fn target(self) -> Target {
        match self {
            Self::Author => Target::Author,
            Self::Mention => Target::Mentions,
            Self::ReplyRoot | Self::ReplyParent => Target::Reply,
            Self::Quote => Target::Quote,
            Self::Subject => Target::Subject,
        }
    }
}

/// What the record of an event points at, in the order of the document; nothing for what is no commit with a record.
/// `wanted` are the targets that are on: the record is not read where its author alone is wanted.
#[must_use]
pub fn references(event: &Event, wanted: &[Target]) -> Vec<(Place, Item)> {
    let turbo_core::event::Body::Commit(commit) = &event.body else { return Vec::new() };
    let Some(json) = &commit.record else { return Vec::new() };
    let mut found = Vec::new();
    if wanted.contains(&Target::Author) {
        found.extend(Item::profile(&event.key).map(|item| (Place::Author, item)));
    }
    if wanted.iter().any(|target| *target != Target::Author) && points(&commit.collection) {
        let places = of_record(&commit.collection, &Record::new(json));
        found.extend(places.into_iter().filter(|(place, _)| wanted.contains(&place.target())));
    }
    found
}

/// Whether records of this collection point at anything that is looked up.
fn points(collection: &str) -> bool {
    let Some(name) = collection.strip_prefix("app.bsky.") else { return false };
    matches!(name, "feed.post" | "feed.like" | "feed.repost" | "graph.follow" | "graph.block" | "graph.listitem")
}

fn of_record(collection: &str, record: &Record) -> Vec<(Place, Item)> {
    let post = |place: Place, path: &[&str]| Some((place, Item::post(record.at(path)?.as_str()?)?));
    match collection {
        "app.bsky.feed.post" => {
            let mut found = mentions(record);
            found.extend(post(Place::ReplyRoot, &["reply", "root", "uri"]));
            found.extend(post(Place::ReplyParent, &["reply", "parent", "uri"]));
            found.extend(QUOTES.iter().find_map(|path| post(Place::Quote, path)));
            found
        }
        "app.bsky.feed.like" | "app.bsky.feed.repost" => {
            post(Place::Subject, &["subject", "uri"]).into_iter().collect()
        }
        _ => {
            let did = record.at(&["subject"]).and_then(Value::as_str).and_then(Item::profile);
            did.map(|item| (Place::Subject, item)).into_iter().collect()
        }
    }
}

/// Each once.
fn mentions(record: &Record) -> Vec<(Place, Item)> {
    let mut found: Vec<(Place, Item)> = Vec::new();
    let dids = record.facets("mention", "did").into_iter().flatten().filter_map(Value::as_str);
    for item in dids.filter_map(Item::profile) {
        if found.len() < MAX_MENTIONS && found.iter().all(|(_, known)| *known != item) {
            found.push((Place::Mention, item));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde_json::json;
    use turbo_core::wire::{Frame, decode};

    const ALL: [Target; 5] = [Target::Author, Target::Mentions, Target::Reply, Target::Quote, Target::Subject];

    fn event(collection: &str, record: &Value) -> Event {
        let commit = json!({"rev": "3l7", "operation": "create", "collection": collection, "rkey": "k", "record": record, "cid": "c"});
        let line = json!({"did": "did:plc:me", "time_us": 1, "kind": "commit", "commit": commit});
        match decode(&Bytes::from(line.to_string())) {
            Ok(Frame::Event(event)) => *event,
            other => panic!("{other:?}"),
        }
    }

    fn places(collection: &str, record: &Value, wanted: &[Target]) -> Vec<(Place, String)> {
        let found = references(&event(collection, record), wanted);
        found.into_iter().map(|(place, item)| (place, item.to_string())).collect()
    }

    fn uri(did: &str) -> String {
        format!("at://did:plc:{did}/app.bsky.feed.post/k")
    }

    #[test]
    fn a_post_points_at_all_that_its_text_and_frame_name() {
        let mention = |did: &str| json!({"features": [{"$type": "app.bsky.richtext.facet#mention", "did": did}]});
        let post = json!({
            "facets": [mention("did:plc:a"), mention("did:plc:b"), mention("did:plc:a"), mention("nobody"), {"features": 3}],
            "reply": {"root": {"uri": uri("root")}, "parent": {"uri": uri("parent")}},
            "embed": {"record": {"record": {"uri": uri("quoted")}}},
        });
        let found = places("app.bsky.feed.post", &post, &ALL);
        let expected = [
            (Place::Author, "did:plc:me".to_owned()),
            (Place::Mention, "did:plc:a".to_owned()),
            (Place::Mention, "did:plc:b".to_owned()),
            (Place::ReplyRoot, uri("root")),
            (Place::ReplyParent, uri("parent")),
            (Place::Quote, uri("quoted")),
        ];
        assert_eq!(found, expected);
        let found = places("app.bsky.feed.post", &post, &[Target::Quote]);
        assert_eq!(found, [(Place::Quote, uri("quoted"))]);
    }

    #[test]
    fn a_subject_is_a_post_or_a_profile_by_collection() {
        let liked = json!({"subject": {"uri": uri("liked"), "cid": "c"}});
        let followed = json!({"subject": "did:plc:friend"});
        for collection in ["app.bsky.feed.like", "app.bsky.feed.repost"] {
            assert_eq!(places(collection, &liked, &[Target::Subject]), [(Place::Subject, uri("liked"))]);
            assert_eq!(places(collection, &followed, &[Target::Subject]), []);
        }
        for collection in ["app.bsky.graph.follow", "app.bsky.graph.block", "app.bsky.graph.listitem"] {
            assert_eq!(
                places(collection, &followed, &[Target::Subject]),
                [(Place::Subject, "did:plc:friend".to_owned())]
            );
            assert_eq!(places(collection, &liked, &[Target::Subject]), []);
        }
        assert_eq!(places("com.example.thing", &liked, &ALL), [(Place::Author, "did:plc:me".to_owned())]);
    }

    #[test]
    fn what_is_of_another_shape_points_at_nothing() {
        for record in [json!({}), json!({"subject": 3}), json!({"subject": {"uri": ["x"]}, "facets": {"a": 1}})] {
            for collection in ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.follow"] {
                assert_eq!(places(collection, &record, &ALL), [(Place::Author, "did:plc:me".to_owned())]);
            }
        }
    }
}
