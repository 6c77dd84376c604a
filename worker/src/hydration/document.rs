//! The hydrated document: what was known of what a record points at, beside the record.
//!
//! ```json
//! {"version":1,
//!  "author":{"did":"did:plc:…","state":"found","asOf":"2026-07-01T00:00:00.000Z","profile":{"handle":"…"}},
//!  "subject":{"uri":"at://…","state":"found","asOf":"…","post":{"cid":"…","record":{…}},
//!             "author":{"did":"…","state":"missing","asOf":"…"}}}
//! ```
//!
//! Fields: `author`, `mentions` (a list), `reply` (`root`, `parent`), `quote`, `subject`; each where the slice asks for it
//! and the record points at something. An item has its `did` or its `uri`, a `state` (`found`, `missing`, `blocked`,
//! `takendown`, or `unknown` where nothing is known yet), and since when that was so. A post bears its author as an item
//! of its own. Version 1 grows by fields; nothing in it changes its meaning.

use super::cache::{Entry, Known};
use super::item::{Item, Kind};
use super::json::Json;
use super::references::Place;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::sync::Arc;
use turbo_core::hydrated::{Hydrated, Hydration};

/// What an item takes in the document beside its name and its JSON, at the most, in bytes.
const SHOWN: usize = 128;

#[derive(Debug, Default, Serialize)]
struct Document<'a> {
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<Shown<'a>>,
    #[serde(skip_serializing_if = "Reply::is_empty")]
    reply: Reply<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quote: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Shown<'a>>,
}

#[derive(Debug, Default, Serialize)]
struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Shown<'a>>,
}

impl Reply<'_> {
    fn is_empty(&self) -> bool {
        self.root.is_none() && self.parent.is_none()
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<Box<Shown<'a>>>,
}

/// A time by the wall clock.
#[derive(Debug)]
struct AsOf(Timestamp);

impl Serialize for AsOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// The document of a record that points at these items, by what is known of each. `look` is asked for every item once, in
/// the order of [`items`], with the place that it is wanted for.
pub fn hydrated(references: &[(Place, Item)], mut look: impl FnMut(Place, &Item) -> Option<Entry>) -> Hydrated {
    let mut document = Document { version: 1, ..Document::default() };
    let (mut known, mut unknown, mut bytes) = (0, 0, 0);
    for (place, item) in references {
        let shown = shown(item, &mut |item| {
            bytes += SHOWN + item.name().len();
            let entry = look(*place, item);
            match &entry {
                Some(entry) => (known, bytes) = (known + 1, bytes + entry.known.len()),
                None => unknown += 1,
            }
            entry
        });
        match place {
            Place::Author => document.author = Some(shown),
            Place::Mention => document.mentions.push(shown),
            Place::ReplyRoot => document.reply.root = Some(shown),
            Place::ReplyParent => document.reply.parent = Some(shown),
            Place::Quote => document.quote = Some(shown),
            Place::Subject => document.subject = Some(shown),
        }
    }
    let hydration = match (known, unknown) {
        (_, 0) => Hydration::Full,
        (0, _) => Hydration::None,
        _ => Hydration::Partial,
    };
    let document = (hydration != Hydration::None).then(|| written(&document, bytes)).flatten();
    Hydrated { hydration, document }
}

/// The JSON of about so many bytes.
fn written(document: &Document<'_>, bytes: usize) -> Option<Arc<str>> {
    let mut json = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut json, document).ok()?;
    str::from_utf8(&json).ok().map(Arc::from)
}

/// All items that the references ask for: a post asks for its author too.
pub fn items(references: &[(Place, Item)]) -> impl Iterator<Item = (Place, Item)> + '_ {
    references
        .iter()
        .flat_map(|(place, item)| [Some(item.clone()), item.author()].into_iter().flatten().map(|item| (*place, item)))
}

fn shown<'a>(item: &'a Item, look: &mut dyn FnMut(&Item) -> Option<Entry>) -> Shown<'a> {
    let mut shown = of_entry(look(item), item.kind());
    match item.author() {
        None => shown.did = Some(item.name()),
        Some(author) => {
            shown.uri = Some(item.name());
            let author = of_entry(look(&author), Kind::Profile);
            shown.author = Some(Box::new(Shown { did: Some(item.did()), ..author }));
        }
    }
    shown
}

fn of_entry<'a>(entry: Option<Entry>, kind: Kind) -> Shown<'a> {
    let as_of = entry.as_ref().and_then(|entry| Timestamp::from_microsecond(entry.at_us).ok()).map(AsOf);
    let (state, json) = match entry.map(|entry| entry.known) {
        None => ("unknown", None),
        Some(Known::Found(json)) => ("found", Some(json)),
        Some(Known::Missing) => ("missing", None),
        Some(Known::Blocked) => ("blocked", None),
        Some(Known::TakenDown) => ("takendown", None),
    };
    let (profile, post) = match kind {
        Kind::Profile => (json, None),
        Kind::Post => (None, json),
    };
    Shown { did: None, uri: None, state, as_of, profile, post, author: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::HashMap;
    use tokio::time::Instant;

    fn profile(did: &str) -> Item {
        Item::profile(&format!("did:plc:{did}")).unwrap()
    }

    fn post(did: &str) -> Item {
        Item::post(&format!("at://did:plc:{did}/app.bsky.feed.post/k")).unwrap()
    }

    fn found(json: &str) -> Known {
        Known::Found(json.to_owned().into())
    }

    fn made(references: &[(Place, Item)], known: &[(Item, Known)]) -> (Hydration, Value) {
        let known: HashMap<_, _> = known.iter().cloned().collect();
        let entry = |known: &Known| Entry { known: known.clone(), at: Instant::now(), at_us: 1_782_864_000_000_000 };
        let hydrated = hydrated(references, |_, item| known.get(item).map(entry));
        let document = hydrated.document.map(|text| serde_json::from_str(&text).unwrap());
        (hydrated.hydration, document.unwrap_or_default())
    }

    #[test]
    fn everything_stands_in_its_place() {
        let references = [
            (Place::Author, profile("me")),
            (Place::Mention, profile("a")),
            (Place::Mention, profile("b")),
            (Place::ReplyRoot, post("root")),
            (Place::Quote, post("quoted")),
        ];
        let known = [
            (profile("me"), found(r#"{"handle":"me.example"}"#)),
            (profile("a"), Known::Missing),
            (profile("b"), Known::Blocked),
            (post("root"), found(r#"{"cid":"c","record":{"text":"x"}}"#)),
            (profile("root"), found(r#"{"handle":"root.example"}"#)),
            (post("quoted"), Known::TakenDown),
            (profile("quoted"), Known::TakenDown),
        ];
        let (hydration, document) = made(&references, &known);
        assert_eq!(hydration, Hydration::Full);
        let at = "2026-07-01T00:00:00.000Z";
        assert_eq!(document["version"], 1);
        let me = json!({"did": "did:plc:me", "state": "found", "asOf": at, "profile": {"handle": "me.example"}});
        assert_eq!(document["author"], me);
        assert_eq!(document["mentions"][1], json!({"did": "did:plc:b", "state": "blocked", "asOf": at}));
        let root = &document["reply"]["root"];
        assert_eq!(
            (&root["post"]["record"]["text"], &root["author"]["profile"]["handle"]),
            (&json!("x"), &json!("root.example"))
        );
        assert_eq!(document["quote"]["state"], "takendown");
        assert!(document.get("subject").is_none() && document["reply"].get("parent").is_none());
    }

    #[test]
    fn what_is_not_known_yet_says_so() {
        let references = [(Place::Author, profile("me")), (Place::Subject, post("a"))];
        let (hydration, document) = made(&references, &[(profile("me"), Known::Missing)]);
        assert_eq!(hydration, Hydration::Partial);
        let subject =
            json!({"uri": post("a").name(), "state": "unknown", "author": {"did": "did:plc:a", "state": "unknown"}});
        assert_eq!(document["subject"], subject);
        assert_eq!(made(&references, &[]), (Hydration::None, Value::Null));
        assert_eq!(made(&[], &[]), (Hydration::Full, json!({"version": 1})));
    }

    #[test]
    fn a_post_asks_for_its_author_too() {
        let references = [(Place::Author, profile("me")), (Place::Subject, post("a"))];
        let all: Vec<Item> = items(&references).map(|(_, item)| item).collect();
        assert_eq!(all, [profile("me"), post("a"), profile("a")]);
    }
}
