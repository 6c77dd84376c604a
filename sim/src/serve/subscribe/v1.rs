//! The parameters of `/subscribe`, and the message that replaces them (jetstream `internal/subscribe/filter.go`).

use super::filter::{Collections, Filter};
use super::syntax::{is_did, is_nsid};
use crate::serve::http::Request;
use crate::serve::http::query::Query;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashSet;

const MOST_COLLECTIONS: usize = 100;
const MOST_DIDS: usize = 10_000;

/// Options that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subscribe: invalid options: {0}")]
pub(crate) struct Refused(String);

/// Whether zstd is asked for.
pub(crate) fn wants_zstd(request: &Request, query: &Query) -> bool {
    query.first("compress") == Some("true") || request.header("socket-encoding").contains("zstd")
}

/// Whether nothing is to be sent before an `options_update`.
pub(crate) fn wants_hello(query: &Query) -> bool {
    query.first("requireHello") == Some("true")
}

/// The filter of a query. A size that cannot be read is none.
pub(crate) fn filter(query: &Query) -> Result<Filter, Refused> {
    let size = query.first("maxMessageSizeBytes").and_then(|text| text.parse::<u32>().ok());
    made(query.all("wantedCollections"), query.all("wantedDids"), size.unwrap_or(0))
}

fn made<'a>(
    wanted_collections: impl Iterator<Item = &'a str>,
    wanted_dids: impl Iterator<Item = &'a str>,
    max_bytes: u32,
) -> Result<Filter, Refused> {
    let mut collections = Collections::default();
    for value in wanted_collections {
        match value.strip_suffix('*').filter(|head| head.ends_with('.')) {
            Some(head) if collections.prefixes.iter().any(|prefix| prefix == head) => {}
            Some(head) => collections.prefixes.push(head.into()),
            None if is_nsid(value) => drop(collections.exact.insert(value.into())),
            None => return Err(Refused(format!("invalid collection: {value}"))),
        }
    }
    let count = collections.exact.len() + collections.prefixes.len();
    if count > MOST_COLLECTIONS {
        return Err(Refused(format!("too many wanted collections: {count} > {MOST_COLLECTIONS}")));
    }
    let dids: HashSet<String> = wanted_dids.map(String::from).collect();
    if let Some(wrong) = dids.iter().find(|did| !is_did(did)) {
        return Err(Refused(format!("invalid DID: {wrong}")));
    }
    if dids.len() > MOST_DIDS {
        return Err(Refused(format!("too many wanted DIDs: {} > {MOST_DIDS}", dids.len())));
    }
    Ok(Filter { kinds: Vec::new(), dids, collections, max_bytes })
}

/// What a client's text message means.
#[derive(Debug)]
pub(crate) enum Update {
    /// A new filter, in place of the one before.
    Options(Filter),
    /// Something that is none of the server's business.
    Nothing,
}

/// Why a client's text message ends the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadUpdate {
    #[error("bad SubscriberSourcedMessage envelope")]
    Envelope(String),
    #[error("bad options_update payload")]
    Payload(String),
    #[error(transparent)]
    Options(#[from] Refused),
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type", default)]
    kind: String,
    payload: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Payload {
    wanted_collections: Option<Vec<String>>,
    wanted_dids: Option<Vec<String>>,
    max_message_size_bytes: i64,
}

/// Reads a client's text message.
pub(crate) fn update(text: &[u8]) -> Result<Update, BadUpdate> {
    let envelope: Envelope = serde_json::from_slice(text).map_err(|error| BadUpdate::Envelope(error.to_string()))?;
    if envelope.kind != "options_update" {
        return Ok(Update::Nothing);
    }
    let payload = envelope.payload.as_deref().map_or("", RawValue::get);
    let payload: Payload = serde_json::from_str(payload).map_err(|error| BadUpdate::Payload(error.to_string()))?;
    let (collections, dids) = (payload.wanted_collections.unwrap_or_default(), payload.wanted_dids.unwrap_or_default());
    let size = u32::try_from(payload.max_message_size_bytes.max(0)).unwrap_or(u32::MAX);
    let filter = made(collections.iter().map(String::as_str), dids.iter().map(String::as_str), size)?;
    Ok(Update::Options(filter))
}
