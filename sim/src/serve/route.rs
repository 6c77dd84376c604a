//! From a request to a session or an answer. The order of the checks is that of jetstream's `handler.go`: readiness,
//! query, compression, filter, cursor, upgrade.

use super::dictionaries::Dictionaries;
use super::http::Request;
use super::http::query::Query;
use super::http::response::Response;
use super::session::{Beginning, Session};
use super::subscribe::filter::Filter;
use super::subscribe::{v1, v2};
use super::upgrade;
use crate::host::cursor::{Cursor, Notice};
use crate::host::{Flavour, Host};
use crate::wire::Wire;
use crate::wire::dictionary::Dictionary;
use std::sync::Arc;

const SUBSCRIBE_EVENTS: &str = "/xrpc/network.bsky.jetstream.subscribeEvents";
const GET_DICTIONARY: &str = "/xrpc/network.bsky.jetstream.getZstdDictionary";
const NOT_READY: &str = "service not ready: bootstrap in progress";

/// A session with the bytes that accept it, or the answer.
pub(crate) type Routed = Result<(Session, Vec<u8>), Response>;

pub(crate) fn route(host: &Arc<Host>, dictionaries: &Dictionaries, request: &Request) -> Routed {
    if host.gate().is_busy() {
        return Err(Response::plain(429, "too many requests"));
    }
    let new = host.config.flavour == Flavour::New;
    match request.path.as_str() {
        "/subscribe" => subscribe_v1(host, dictionaries, request),
        SUBSCRIBE_EVENTS if new => subscribe_v2(host, dictionaries, request),
        GET_DICTIONARY if new => Err(dictionary(host, dictionaries, request)),
        // The health page says yes while the host is still loading.
        "/" | "/health" | "/xrpc/_health" => Err(Response::new(200, "application/json", r#"{"version":"turbo-sim"}"#)),
        _ => Err(Response::plain(404, "404 page not found")),
    }
}

fn subscribe_v2(host: &Arc<Host>, dictionaries: &Dictionaries, request: &Request) -> Routed {
    if host.gate().is_loading() {
        return Err(Response::xrpc(503, "ServiceUnavailable", NOT_READY));
    }
    let invalid = |message: &str| Response::xrpc(400, "InvalidRequest", message);
    let query =
        Query::parse(&request.query).map_err(|error| invalid(&format!("subscribe: invalid options: {error}")))?;
    let refused = |refused: v2::Refused| Response::xrpc(400, refused.name(), &refused.to_string());
    let dictionary = match v2::dictionary(request, &query).map_err(refused)? {
        Some(asked) => match dictionaries.v2(host.number).map_err(|error| broken(&error))? {
            current if current.id == asked => Some(current),
            current => return Err(refused(v2::Refused::UnknownDictionary { asked, current: current.id })),
        },
        None => None,
    };
    let filter = v2::filter(&query).map_err(refused)?;
    let cursor = match host.config.lookback_us {
        0 => Cursor::Live,
        _ => Cursor::parse(query.first("cursor"), Flavour::New).map_err(|error| invalid(&error.to_string()))?,
    };
    let (life, start) = host.resolve(cursor, false).map_err(|old| {
        let why = format!("subscribe: cursor too old: cursor {} below lookback floor {}", old.cursor, old.floor);
        Response::xrpc(400, "CursorTooOld", &format!("{why}; re-backfill from your last seq"))
    })?;
    let accepted = upgrade::accept(request, true)?;
    let wire = if dictionary.is_some() { Wire::V2Zstd } else { Wire::V2 };
    let notice = start.notice.filter(|notice| host.config.future_cursor || !matches!(notice, Notice::Future(_)));
    let begin = Beginning { life, seq: start.seq, notice, hello: false, live: cursor == Cursor::Live };
    Ok((session(host, wire, dictionary, filter, begin), accepted))
}

fn subscribe_v1(host: &Arc<Host>, dictionaries: &Dictionaries, request: &Request) -> Routed {
    let invalid = |message: &str| Response::plain(400, message);
    if host.gate().is_loading() {
        return Err(Response::plain(503, NOT_READY));
    }
    let query =
        Query::parse(&request.query).map_err(|error| invalid(&format!("subscribe: invalid options: {error}")))?;
    let zstd = v1::wants_zstd(request, &query);
    let deflate = request.header("sec-websocket-extensions").contains("permessage-deflate");
    if zstd && deflate && host.config.flavour == Flavour::New {
        let custom = "custom zstd (compress=true / Socket-Encoding: zstd)";
        return Err(invalid(&format!(
            "choose one compression scheme: {custom} or RFC 7692 permessage-deflate, not both"
        )));
    }
    let filter = v1::filter(&query).map_err(|error| invalid(&error.to_string()))?;
    let cursor = match host.config.lookback_us {
        0 => Cursor::Live,
        _ => Cursor::parse(query.first("cursor"), host.config.flavour).map_err(|error| invalid(&error.to_string()))?,
    };
    // v1 moves a cursor that is too old, and tells nothing of it.
    let (life, start) = host.resolve(cursor, true).map_err(|_| invalid("subscribe: cursor too old"))?;
    let accepted = upgrade::accept(request, false)?;
    let dictionary = match zstd {
        true => Some(dictionaries.v1().map_err(|error| broken(&error))?),
        false => None,
    };
    let wire = if zstd { Wire::V1Zstd } else { Wire::V1 };
    let hello = v1::wants_hello(&query);
    let begin = Beginning { life, seq: start.seq, notice: None, hello, live: cursor == Cursor::Live };
    Ok((session(host, wire, dictionary, filter, begin), accepted))
}

fn session(
    host: &Arc<Host>,
    wire: Wire,
    dictionary: Option<Arc<Dictionary>>,
    filter: Filter,
    begin: Beginning,
) -> Session {
    Session::new(Arc::clone(host), wire, dictionary, filter, begin)
}

/// `getZstdDictionary` (jetstream `internal/xrpcapi/getzstddictionary.go`).
fn dictionary(host: &Host, dictionaries: &Dictionaries, request: &Request) -> Response {
    if host.gate().is_loading() {
        return Response::xrpc(503, "ServiceUnavailable", NOT_READY);
    }
    let current = match dictionaries.v2(host.number) {
        Ok(current) => current,
        Err(error) => return broken(&error),
    };
    let asked = Query::parse(&request.query).ok().and_then(|query| query.first("id").map(str::to_owned));
    match asked.as_deref().map(str::parse::<i64>) {
        Some(Err(_)) => return Response::xrpc(400, "InvalidRequest", "id must be an integer"),
        Some(Ok(id)) if id != i64::from(current.id) => {
            let why = format!("no dictionary with id {id}; current dictionary id is {}", current.id);
            return Response::xrpc(404, "DictionaryNotFound", &why);
        }
        _ => {}
    }
    let tag = format!("\"zstd-dict-{}\"", current.id);
    let known = request.header("if-none-match") == tag;
    let response = Response::new(if known { 304 } else { 200 }, "application/octet-stream", current.bytes.clone())
        .with("ETag", &tag)
        .with("Cache-Control", "public, max-age=31536000, immutable")
        .with("X-Zstd-Dictionary-Id", &current.id.to_string());
    if known || request.method == "HEAD" { response.bare() } else { response }
}

fn broken(error: &std::io::Error) -> Response {
    Response::xrpc(500, "InternalError", &error.to_string())
}
