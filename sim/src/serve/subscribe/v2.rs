//! The parameters of `subscribeEvents` (jetstream `internal/subscribe/filterv2.go`, `handler.go`).

use super::filter::{Collections, EventKind, Filter};
use super::syntax::{is_did, is_nsid};
use crate::serve::http::Request;
use crate::serve::http::query::Query;

/// Why parameters are refused with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("zstdDictionary must be a positive integer zstd dictionary ID")]
    NoDictionaryId,
    #[error(
        "unknown zstd dictionary id {asked}; current dictionary id is {current} (fetch it via getZstdDictionary and reconnect)"
    )]
    UnknownDictionary { asked: u32, current: u32 },
    #[error(
        "compress=true / Socket-Encoding: zstd is the /subscribe (v1) opt-in; this endpoint uses zstdDictionary=<id> with the dictionary from getZstdDictionary"
    )]
    OldCompression,
    #[error("subscribe: invalid options: {0}")]
    Options(String),
}

impl Refused {
    /// The name of the XRPC error.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::UnknownDictionary { .. } => "UnknownZstdDictionary",
            _ => "InvalidRequest",
        }
    }
}

/// Which dictionary is asked for.
pub(crate) fn dictionary(request: &Request, query: &Query) -> Result<Option<u32>, Refused> {
    if query.first("compress") == Some("true") || request.header("socket-encoding").contains("zstd") {
        return Err(Refused::OldCompression);
    }
    let Some(text) = query.first("zstdDictionary").filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse().ok().filter(|id| *id > 0).map(Some).ok_or(Refused::NoDictionaryId)
}

/// The filter.
pub(crate) fn filter(query: &Query) -> Result<Filter, Refused> {
    read(query).map_err(Refused::Options)
}

fn read(query: &Query) -> Result<Filter, String> {
    for (name, instead) in [("wantedDids", "dids"), ("wantedCollections", "collections")] {
        if query.first(name).is_some() {
            return Err(format!("{name} is the legacy /subscribe parameter; use {instead}"));
        }
    }
    if query.first("requireHello").is_some() {
        let why = "it is server-push only (subscriber-sourced messages were removed)";
        return Err(format!("requireHello is not supported on this endpoint; {why}"));
    }
    let kinds = kinds(query)?;
    let dids = limited(query, "dids", 10_000)?;
    if let Some(wrong) = dids.iter().find(|did| !is_did(did)) {
        return Err(format!("invalid DID: {wrong}"));
    }
    let collections = collections(&limited(query, "collections", 100)?)?;
    let any = query.first("collections").is_some();
    if any && !kinds.is_empty() && !kinds.contains(&EventKind::Commit) {
        return Err(String::from("collections filter can never apply: kinds excludes commit"));
    }
    let dids = dids.into_iter().map(String::from).collect();
    Ok(Filter { kinds, dids, collections, max_bytes: max_bytes(query)? })
}

fn limited<'a>(query: &'a Query, name: &'a str, most: usize) -> Result<Vec<&'a str>, String> {
    let values: Vec<&str> = query.all(name).collect();
    match values.len() {
        count if count > most => Err(format!("too many {name} values: {count} > {most}")),
        _ => Ok(values),
    }
}

fn kinds(query: &Query) -> Result<Vec<EventKind>, String> {
    let read = |text: &str| {
        EventKind::parse(text).ok_or_else(|| {
            let text = crate::json::quoted(text);
            format!("unknown kind {text} (valid: commit, identity, account, sync)")
        })
    };
    limited(query, "kinds", 4)?.into_iter().map(read).collect()
}

fn collections(values: &[&str]) -> Result<Collections, String> {
    let mut collections = Collections::default();
    for value in values {
        match value.strip_suffix(".*") {
            Some(head) if is_nsid(&format!("{head}.x")) => collections.prefixes.push(format!("{head}.")),
            Some(_) => return Err(format!("invalid collection wildcard: {value}")),
            None if is_nsid(value) => drop(collections.exact.insert((*value).into())),
            None => return Err(format!("invalid collection: {value}")),
        }
    }
    Ok(collections)
}

fn max_bytes(query: &Query) -> Result<u32, String> {
    let values: Vec<&str> = query.all("maxMessageSizeBytes").collect();
    match values[..] {
        [] => Ok(0),
        [value] => value.parse().map_err(|_| format!("invalid maxMessageSizeBytes {}", crate::json::quoted(value))),
        _ => Err(String::from("maxMessageSizeBytes must be one unsigned 32-bit integer")),
    }
}
