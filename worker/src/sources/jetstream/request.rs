//! The subscription's request: its path and query, and the message that carries filters too long for a URL.

use super::Options;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use turbo_core::join::Ask;
use turbo_core::wire::frame::dictionary_id;
use url::Url;

/// The longest query that every proxy passes; longer filters go to a v1 host by `options_update`.
const MAX_QUERY: usize = 4096;
/// The longest URL without what each connection adds: 65,534 bytes are what a request can bear.
const MAX_URL: usize = 65_000;

/// The two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `/subscribe`.
    V1,
    /// `/xrpc/network.bsky.jetstream.subscribeEvents`.
    V2,
}

impl Version {
    fn path(self) -> &'static str {
        match self {
            Self::V1 => "subscribe",
            Self::V2 => "xrpc/network.bsky.jetstream.subscribeEvents",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Collections or prefixes (`app.bsky.feed.*`); empty for all. At most 100.
    pub collections: Vec<String>,
    /// Repositories; empty for all. At most 10,000.
    pub dids: Vec<String>,
    /// Larger events are left out by the server, in bytes.
    pub max_message_size: Option<u64>,
}

/// Filters that no URL bears.
#[derive(Debug, thiserror::Error)]
#[error(
    "spec.source.jetstream.dids: with the collections they make a URL of {0} bytes, above {max}; \
     give fewer, or version: v1, which takes them in a message",
    max = MAX_URL
)]
pub struct FiltersTooLong(usize);

/// What opens a stream.
pub(super) struct Opening {
    /// The upgrade.
    pub upgrade: Request<()>,
    /// The first message to send, where the filters do not fit the URL.
    pub hello: Option<String>,
}

#[derive(Serialize)]
struct OptionsUpdate<'a> {
    r#type: &'static str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    wanted_collections: &'a [String],
    wanted_dids: &'a [String],
    max_message_size_bytes: u64,
}

/// The request for `ask` at an endpoint, and for events of at most so many bytes.
///
/// # Errors
/// The endpoint's URL can not be requested.
pub(super) fn build(
    options: &Options,
    endpoint: &Url,
    ask: Ask,
    dictionary: Option<&Vec<u8>>,
    at_most: Option<u64>,
) -> Result<Opening, WsError> {
    let (mut url, hello) = filtered(options, endpoint, at_most);
    add_cursor_and_compression(&mut url, options.version, ask, dictionary);
    let mut upgrade = url.as_str().into_client_request()?;
    if options.version == Version::V2 {
        upgrade.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("xrpc.v1.json"));
    }
    Ok(Opening { upgrade, hello })
}

/// Whether the filters can be asked for.
///
/// # Errors
/// They do not fit a URL, and the protocol has no other place for them.
pub(super) fn check(options: &Options, endpoint: &Url) -> Result<(), FiltersTooLong> {
    let length = filtered(options, endpoint, options.filters.max_message_size).0.as_str().len();
    if length > MAX_URL { Err(FiltersTooLong(length)) } else { Ok(()) }
}

/// The URL with the filters, or with a word that they follow in a message.
fn filtered(options: &Options, endpoint: &Url, at_most: Option<u64>) -> (Url, Option<String>) {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}/{}", endpoint.path().trim_end_matches('/'), options.version.path()));
    add_filters(&mut url, options, at_most);
    let hello = (options.version == Version::V1 && url.query().unwrap_or_default().len() > MAX_QUERY).then(|| {
        url.set_query(Some("requireHello=true"));
        options_update(&options.filters, at_most)
    });
    (url, hello)
}

fn add_filters(url: &mut Url, options: &Options, at_most: Option<u64>) {
    let (collections, dids) = match options.version {
        Version::V1 => ("wantedCollections", "wantedDids"),
        Version::V2 => ("collections", "dids"),
    };
    let mut query = url.query_pairs_mut();
    query.clear();
    for collection in &options.filters.collections {
        query.append_pair(collections, collection);
    }
    for did in &options.filters.dids {
        query.append_pair(dids, did);
    }
    if let Some(size) = at_most {
        query.append_pair("maxMessageSizeBytes", &size.to_string());
    }
}

fn add_cursor_and_compression(url: &mut Url, version: Version, ask: Ask, dictionary: Option<&Vec<u8>>) {
    let mut query = url.query_pairs_mut();
    let cursor = match ask {
        Ask::Tip => None,
        Ask::Given(cursor) | Ask::Sequence(cursor, _) => Some(cursor),
        Ask::Time { from_us, .. } => Some(from_us.max(0) as u64),
    };
    if let Some(cursor) = cursor {
        query.append_pair("cursor", &cursor.to_string());
    }
    match (version, dictionary.and_then(|bytes| dictionary_id(bytes).ok())) {
        (_, None) => {}
        (Version::V1, Some(_)) => {
            query.append_pair("compress", "true");
        }
        (Version::V2, Some(id)) => {
            query.append_pair("zstdDictionary", &id.to_string());
        }
    }
}

fn options_update(filters: &Filters, at_most: Option<u64>) -> String {
    let payload = Payload {
        wanted_collections: &filters.collections,
        wanted_dids: &filters.dids,
        max_message_size_bytes: at_most.unwrap_or(0),
    };
    serde_json::to_string(&OptionsUpdate { r#type: "options_update", payload }).unwrap_or_default()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
