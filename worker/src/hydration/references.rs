//! What a record points at: who wrote it, whom it mentions, what it answers, quotes, likes or follows.
//!
//! Accounts may write anything: what is not of the shape that the lexicon gives points at nothing.

use super::item::Item;
use crate::record::{QUOTES, Record};
use serde_json::Value;

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

/// All but the author: what stands in the record.
const REST: [Target; 4] = [Target::Mentions, Target::Reply, Target::Quote, Target::Subject];

/// The fields of a record in which that stands.
const FIELDS: [&str; 4] = ["facets", "reply", "embed", "subject"];

/// What a record points at, and where that stands in its document.
pub type References = Vec<(Place, Item)>;

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

/// What a record of a repository points at, in the order of the document. `wanted` says which targets are on: the record is
/// not read where its author alone is wanted.
#[must_use]
pub fn references(did: &str, collection: &str, record: &[u8], wanted: impl Fn(Target) -> bool) -> References {
    let mut found = Vec::new();
    if wanted(Target::Author) {
        found.extend(Item::profile(did).map(|item| (Place::Author, item)));
    }
    if REST.into_iter().any(&wanted) && points(collection) {
        let places = of_record(collection, &Record::of(record, |field| FIELDS.contains(&field)));
        found.extend(places.into_iter().filter(|(place, _)| wanted(place.target())));
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
    use serde_json::json;

    fn places(collection: &str, record: &Value, wanted: impl Fn(Target) -> bool) -> Vec<(Place, String)> {
        let found = references("did:plc:me", collection, record.to_string().as_bytes(), wanted);
        found.into_iter().map(|(place, item)| (place, item.to_string())).collect()
    }

    fn all(_: Target) -> bool {
        true
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
        let found = places("app.bsky.feed.post", &post, all);
        let expected = [
            (Place::Author, "did:plc:me".to_owned()),
            (Place::Mention, "did:plc:a".to_owned()),
            (Place::Mention, "did:plc:b".to_owned()),
            (Place::ReplyRoot, uri("root")),
            (Place::ReplyParent, uri("parent")),
            (Place::Quote, uri("quoted")),
        ];
        assert_eq!(found, expected);
        let found = places("app.bsky.feed.post", &post, |target| target == Target::Quote);
        assert_eq!(found, [(Place::Quote, uri("quoted"))]);
    }

    #[test]
    fn a_subject_is_a_post_or_a_profile_by_collection() {
        let liked = json!({"subject": {"uri": uri("liked"), "cid": "c"}});
        let followed = json!({"subject": "did:plc:friend"});
        for collection in ["app.bsky.feed.like", "app.bsky.feed.repost"] {
            assert_eq!(
                places(collection, &liked, |target| target == Target::Subject),
                [(Place::Subject, uri("liked"))]
            );
            assert_eq!(places(collection, &followed, |target| target == Target::Subject), []);
        }
        for collection in ["app.bsky.graph.follow", "app.bsky.graph.block", "app.bsky.graph.listitem"] {
            assert_eq!(
                places(collection, &followed, |target| target == Target::Subject),
                [(Place::Subject, "did:plc:friend".to_owned())]
            );
            assert_eq!(places(collection, &liked, |target| target == Target::Subject), []);
        }
        assert_eq!(places("com.example.thing", &liked, all), [(Place::Author, "did:plc:me".to_owned())]);
    }

    #[test]
    fn what_is_of_another_shape_points_at_nothing() {
        for record in [json!({}), json!({"subject": 3}), json!({"subject": {"uri": ["x"]}, "facets": {"a": 1}})] {
            for collection in ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.follow"] {
                assert_eq!(places(collection, &record, all), [(Place::Author, "did:plc:me".to_owned())]);
            }
        }
    }
}
