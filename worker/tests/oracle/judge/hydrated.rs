//! The hydrated documents: complete at the end, and nothing in them older than it may be.
//!
//! An item says since when it was so. Whatever any worker had committed by then has to be in it: a version that was
//! committed was published on the enriched stream just after, so the versions that were published by then are the least that
//! it has to know. And what was published may not be older than its time to live, and as long as a document may have been held
//! up by a fault between its making and its publishing. Accounts that went, and repositories that were replaced, are left out: what becomes of their posts the
//! stream does not say one by one.

use super::Failure;
use super::enriched::{Document, messages};
use crate::order::{Kind, Wrong};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::{HashMap, HashSet};

/// The oldest item of a document that is just published, in microseconds: the time to live, and the longest that the faults of a
/// run hold one up.
const OLDEST_US: i64 = (crate::slices::TTL as i64 + 90) * 1_000_000;

/// What was said of an item and when, in the order in which it was published. Times are in microseconds.
type Said = Vec<(i64, Option<String>)>;

/// The versions of everything that can be looked up.
#[derive(Debug, Default)]
pub struct Versions {
    /// The content ids of posts, by URI; none where the post was deleted.
    posts: HashMap<String, Said>,
    /// Handles, by DID; none where it was not told, so that it may be any.
    handles: HashMap<String, Said>,
    /// Display names, by DID.
    names: HashMap<String, Said>,
    left_out: HashSet<String>,
}

impl Versions {
    /// A message was published.
    ///
    /// # Errors
    /// It can not be read.
    pub fn told(&mut self, at_us: i64, message: &str) -> Result<(), Failure> {
        self.add(at_us, &serde_json::from_str(message)?);
        Ok(())
    }

    fn add(&mut self, at_us: i64, document: &Document<'_>) {
        let did = document.did.to_string();
        match &*document.kind {
            "identity" => {
                let handle = self::handle(document);
                self.handles.entry(did).or_default().push((at_us, handle));
            }
            "commit" => self.commit(at_us, did, document),
            _ => {
                self.left_out.insert(did);
            }
        }
    }

    fn commit(&mut self, at_us: i64, did: String, document: &Document<'_>) {
        let (collection, rkey) = (document.collection.as_deref(), document.rkey.as_deref().unwrap_or_default());
        let record = document.record.and_then(|record| serde_json::from_str::<Value>(record.get()).ok());
        match collection {
            Some("app.bsky.feed.post") => {
                let uri = format!("at://{did}/app.bsky.feed.post/{rkey}");
                self.posts.entry(uri).or_default().push((at_us, document.cid.as_deref().map(ToOwned::to_owned)));
            }
            Some("app.bsky.actor.profile") if rkey == "self" => {
                let name = record.and_then(|record| Some(record.get("displayName")?.as_str()?.to_owned()));
                self.names.entry(did).or_default().push((at_us, name.filter(|name| !name.is_empty())));
            }
            _ => {}
        }
    }

    /// Looks at every item of a document, which was published at a time, where that is known. `place` is told with every
    /// example.
    pub fn check(&self, place: &str, document: &Value, published_us: Option<i64>, wrong: &mut Wrong) {
        match document {
            Value::Object(fields) => {
                if fields.get("state").is_some_and(|state| state == "found") {
                    self.item(place, document, published_us, wrong);
                }
                fields
                    .iter()
                    .filter(|(name, _)| *name != "record")
                    .for_each(|(_, value)| self.check(place, value, published_us, wrong));
            }
            Value::Array(list) => list.iter().for_each(|value| self.check(place, value, published_us, wrong)),
            _ => {}
        }
    }

    fn item(&self, place: &str, item: &Value, published_us: Option<i64>, wrong: &mut Wrong) {
        let as_of = item["asOf"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let Some(as_of) = as_of.map(jiff::Timestamp::as_microsecond) else {
            return wrong.note(Kind::Different, || format!("{place}: an item without its time: {item}"));
        };
        if published_us.is_some_and(|published_us| as_of < published_us - OLDEST_US) {
            wrong.note(Kind::Stale, || format!("{place}: older than its time to live when it was published: {item}"));
        }
        let mut same = |what: &str, said: Option<&Said>, now: Option<&str>| {
            if !said.is_none_or(|said| is_current(said, as_of, now)) {
                wrong.note(Kind::Stale, || format!("{place}: {what} {now:?} as of {as_of}: {item}; said: {said:?}"));
            }
        };
        if let Some(uri) = item["uri"].as_str() {
            let did = uri.split('/').nth(2).unwrap_or_default();
            if !self.left_out.contains(did) {
                same("cid", self.posts.get(uri), item["post"]["cid"].as_str());
            }
        } else if let Some(did) = item["did"].as_str().filter(|did| !self.left_out.contains(*did)) {
            if self.handles.get(did).is_none_or(|said| said.iter().all(|(_, handle)| handle.is_some())) {
                same("handle", self.handles.get(did), item["profile"]["handle"].as_str());
            }
            same("name", self.names.get(did), item["profile"]["displayName"].as_str());
        }
    }
}

/// Whether a value is the newest that was said by a time, or was said later. What was before the first is not known.
fn is_current(said: &Said, at_us: i64, now: Option<&str>) -> bool {
    let by_then = said.iter().rposition(|(said_us, _)| *said_us <= at_us);
    by_then.is_none_or(|by_then| said[by_then..].iter().any(|(_, value)| value.as_deref() == now))
}

fn handle(document: &Document<'_>) -> Option<String> {
    let event: Value = serde_json::from_str(document.event?.get()).ok()?;
    let body = if event["payload"].is_null() { &event } else { &event["payload"] };
    Some(body["identity"]["handle"].as_str()?.to_owned())
}

/// All versions that were published.
///
/// # Errors
/// A server that does not answer, a message that can not be read.
pub async fn versions(nats: Vec<String>) -> Result<Versions, Failure> {
    let mut versions = Versions::default();
    messages(nats, |published_us, _, document| {
        versions.add(published_us, document);
        Ok(())
    })
    .await?;
    Ok(versions)
}

/// Looks at the documents of the enriched stream.
///
/// # Errors
/// A server that does not answer, a message that can not be read.
pub async fn published(nats: Vec<String>, versions: &Versions, wrong: &mut Wrong) -> Result<(), Failure> {
    messages(nats, |published_us, _, document| {
        if let Some(hydrated) = document.hydrated {
            let hydrated = serde_json::from_str(hydrated.get())?;
            versions.check(&format!("enriched, seq {}", document.seq), &hydrated, Some(published_us), wrong);
        }
        Ok(())
    })
    .await
}

/// Looks at the documents of the database, and that none waits any more.
///
/// # Errors
/// The database does not answer.
pub async fn completed(connection: &mut PgConnection, versions: &Versions, wrong: &mut Wrong) -> Result<(), Failure> {
    let rows =
        "SELECT did || '/' || collection || '/' || rkey AS name, hydration, hydrated::text AS hydrated FROM records
                WHERE slice = ANY ($1) ORDER BY seq";
    let slices: Vec<&str> = crate::slices::HYDRATED.to_vec();
    for row in sqlx::query(rows).bind(slices).fetch_all(&mut *connection).await? {
        let (name, hydration): (String, String) = (row.try_get("name")?, row.try_get("hydration")?);
        if hydration != "full" {
            wrong.note(Kind::Different, || format!("{name} was not completed: {hydration}"));
        }
        if let Some(hydrated) = row.try_get::<Option<String>, _>("hydrated")? {
            versions.check(&format!("the record {name}"), &serde_json::from_str(&hydrated)?, None, wrong);
        }
    }
    Ok(())
}
