//! From a request to an answer.

use super::Inner;
use super::limit::Told;
use super::manners::{AppViewConfig, Mood};
use super::state::{Post, Profile};
use crate::json::quoted;
use crate::serve::{Query, Request, Response};
use serde_json::Value;
use std::time::Duration;

const GET_PROFILES: &str = "/xrpc/app.bsky.actor.getProfiles";
const GET_POSTS: &str = "/xrpc/app.bsky.feed.getPosts";
/// Names in a call at most.
const MOST: usize = 25;
/// Bytes of a huge answer.
const HUGE: usize = 100_000_000;

/// What comes back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) body: Body,
}

/// How the response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// As it is.
    Whole,
    /// Not at all.
    None,
    /// A byte at a time, without an end.
    Dripping,
    /// With so many bytes more than it has.
    Padded(usize),
}

pub(crate) fn answer(inner: &mut Inner, config: &AppViewConfig, request: &Request, body: &[u8], now_us: i64) -> Answer {
    let whole = |response| Answer { response, body: Body::Whole };
    if inner.moods.has(Mood::Down) {
        return Answer { response: Response::plain(503, "down"), body: Body::None };
    }
    if let Some(account) = &config.account
        && let Some(response) = inner.sessions.answer(account, request, body)
    {
        return whole(response);
    }
    let told = inner.limit.request();
    if told.over || inner.moods.has(Mood::Busy) {
        let busy = Response::xrpc(429, "RateLimitExceeded", "Rate Limit Exceeded").with("Retry-After", "1");
        return whole(limits(busy, told));
    }
    if inner.moods.has(Mood::Broken) {
        let status = inner.dice.pick(&[500, 502, 503]);
        return whole(limits(Response::xrpc(status, "InternalServerError", "Internal Server Error"), told));
    }
    let response = match request.path.as_str() {
        GET_PROFILES => views(inner, config, request, "actors", now_us),
        GET_POSTS => views(inner, config, request, "uris", now_us),
        "/xrpc/_health" => Response::new(200, "application/json", r#"{"version":"turbo-sim"}"#),
        _ => Response::xrpc(404, "XRPCNotSupported", "XRPCNotSupported"),
    };
    let (response, body) = manners(inner, response);
    Answer { response: limits(response, told), body }
}

/// As `@atproto/xrpc-server` writes them: the reset is a time, not a wait.
fn limits(response: Response, told: Told) -> Response {
    let Told { limit, remaining, reset, window, .. } = told;
    response
        .with("RateLimit-Limit", &limit.to_string())
        .with("RateLimit-Remaining", &remaining.to_string())
        .with("RateLimit-Reset", &reset.to_string())
        .with("RateLimit-Policy", &format!("{limit};w={}", window.max(Duration::from_secs(1)).as_secs()))
}

fn manners(inner: &mut Inner, response: Response) -> (Response, Body) {
    if response.status != 200 {
        return (response, Body::Whole);
    }
    let moods: Vec<Mood> = inner.moods.now().collect();
    match moods.iter().find(|mood| matches!(mood, Mood::SlowLoris | Mood::Malformed | Mood::Huge)) {
        Some(Mood::SlowLoris) => (response, Body::Dripping),
        Some(Mood::Huge) => (response, Body::Padded(HUGE)),
        Some(Mood::Malformed) => {
            let text = inner.dice.pick(&["<html>502</html>", r#"{"posts":[{"uri":"#, "[]", r#"{"profiles":{}}"#, ""]);
            (Response::new(200, "application/json", text), Body::Whole)
        }
        _ => (response, Body::Whole),
    }
}

fn views(inner: &mut Inner, config: &AppViewConfig, request: &Request, field: &str, now_us: i64) -> Response {
    let invalid = |message: String| Response::xrpc(400, "InvalidRequest", &message);
    let Ok(query) = Query::parse(&request.query) else { return invalid("Invalid query".into()) };
    let names: Vec<&str> = query.all(field).collect();
    if names.is_empty() {
        return invalid(format!("Error: Params must have the property \"{field}\""));
    }
    if names.len() > MOST {
        return invalid(format!("Error: {field} must not have more than {MOST} elements"));
    }
    let refused = |name: &str| config.refuses.as_ref().is_some_and(|text| name.contains(text));
    let valid = |name: &str| !refused(name) && if field == "uris" { post_of(name).is_some() } else { is_did(name) };
    if let Some(at) = names.iter().position(|name| !valid(name)) {
        return invalid(format!("Error: {field}/{at} must be a valid name"));
    }
    inner.limit.named(names.len());
    let until_us = now_us - inner.moods.lag_us();
    inner.state.learn(until_us);
    let forgetful = inner.moods.has(Mood::Forgetful);
    let mut views = Vec::new();
    for name in names {
        if forgetful && inner.dice.chance(0.5) {
            continue;
        }
        let view = match post_of(name) {
            Some((did, rkey)) => inner.state.post(did, rkey).map(|post| post_view(name, did, &post)),
            None => inner.state.profile(name).map(|profile| profile_view(name, &profile)),
        };
        // In the order of anyone.
        let at = inner.dice.below(views.len() + 1);
        views.splice(at..at, view);
    }
    let list = if field == "uris" { "posts" } else { "profiles" };
    Response::new(200, "application/json", format!(r#"{{"{list}":[{}]}}"#, views.join(",")))
}

fn is_did(name: &str) -> bool {
    name.starts_with("did:") && name.split(':').nth(2).is_some_and(|rest| !rest.is_empty())
}

/// The author and the key of a post's URI.
fn post_of(uri: &str) -> Option<(&str, &str)> {
    let (did, rest) = uri.strip_prefix("at://")?.split_once('/')?;
    let rkey = rest.strip_prefix("app.bsky.feed.post/")?;
    (is_did(did) && !rkey.is_empty()).then_some((did, rkey))
}

/// `app.bsky.actor.defs#profileViewDetailed`, or as much of it as `#profileViewBasic` has.
fn profile_view(did: &str, profile: &Profile) -> String {
    let mut fields = vec![format!(r#""did":"{did}""#), format!(r#""handle":{}"#, quoted(&profile.handle))];
    let record: Value =
        profile.record.as_ref().and_then(|record| serde_json::from_str(record).ok()).unwrap_or_default();
    for (name, of) in [("displayName", "displayName"), ("description", "description"), ("createdAt", "createdAt")] {
        fields.extend(record.get(of).and_then(Value::as_str).map(|text| format!(r#""{name}":{}"#, quoted(text))));
    }
    for (name, size) in [("avatar", "avatar"), ("banner", "banner")] {
        let cid = record.get(name).and_then(|blob| blob.get("ref")?.get("$link")?.as_str());
        fields
            .extend(cid.map(|cid| format!(r#""{name}":"https://cdn.sim.example/img/{size}/plain/{did}/{cid}@jpeg""#)));
    }
    format!("{{{}}}", fields.join(","))
}

/// `app.bsky.feed.defs#postView`.
fn post_view(uri: &str, did: &str, post: &Post) -> String {
    let Post { cid, record, author } = post;
    let author = profile_view(did, author);
    let indexed = "2026-01-01T00:00:00.000Z";
    format!(
        r#"{{"uri":"{uri}","cid":"{cid}","author":{author},"record":{record},"replyCount":0,"repostCount":0,"likeCount":0,"quoteCount":0,"indexedAt":"{indexed}","labels":[]}}"#
    )
}
