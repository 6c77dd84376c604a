//! Calls to an AppView: up to 25 names in one, answers matched by name.
//!
//! Invariants:
//! - an answer is matched by what it names, never by its place; what was not asked for is passed over;
//! - nothing of an answer is believed that could not be read whole, within its bounds of size and time;
//! - no error holds a token, nor the text of an answer.

use super::cache::Known;
use super::item::{Item, Kind};
use super::limits::Limits;
use super::session::{Credentials, Session};
use super::view::{PostView, ProfileView};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::time::Duration;
use url::Url;

/// Names in a call, by both lexicons.
pub const MOST: usize = 25;
/// An answer of 25 posts with their views is far below this.
const MAX_BYTES: usize = 4 << 20;
/// For a whole call, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

const REFUSED: &str =
    "the token is refused, or there is none; give spec.hydration.session, or tokens, that the host takes";

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name that it takes for none, it does not say which; or more names than it reads at once.
    #[error("a name is refused (status {0})")]
    Refused(u16),
    /// More than one answer may hold.
    #[error("the answer is too large")]
    Large,
    /// There is no token: the host was not asked.
    #[error("there is no token: {0}")]
    NoToken(&'static str),
    /// The token does not count, or not any more.
    #[error("{0}")]
    Session(&'static str),
    /// Too many requests, or it says itself for how long it is not there: nothing before this time is over.
    #[error("it is busy (status {0})")]
    Busy(u16, Duration),
    /// It has an error of its own.
    #[error("status {0}")]
    Status(u16),
    /// It sends to another address, which may be anybody's.
    #[error("it leads to another address (status {0}), which is not followed; give the address that answers")]
    Elsewhere(u16),
    /// No connection, or no whole answer in time.
    #[error("{0}")]
    Unreachable(&'static str),
    /// The answer is not of the lexicon's shape.
    #[error("the answer is not of the lexicon's shape")]
    Malformed,
}

/// What a call tells.
#[derive(Debug, Default)]
pub struct Told {
    /// For each name that was asked for.
    pub known: HashMap<Item, Known>,
    /// Profiles that came with posts.
    pub beside: HashMap<Item, Known>,
    /// Whether there was a view that can not be read, or none but of others: nothing is said of what is left out.
    pub unclear: bool,
}

/// An AppView.
pub struct AppView {
    client: Client,
    host: Url,
    session: Session,
    timeout: Duration,
}

impl AppView {
    /// At this address, by this client.
    #[must_use]
    pub fn new(client: Client, host: Url) -> Self {
        let session = Session::new(client.clone(), host.clone(), Credentials::Anonymous);
        Self { client, host, session, timeout: TIMEOUT }
    }

    /// The same, asked by somebody.
    #[must_use]
    pub fn asked_by(self, credentials: Credentials) -> Self {
        Self { session: Session::new(self.client.clone(), self.host.clone(), credentials), ..self }
    }

    /// The same, where a whole call may take so long.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Its address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// Whether a token is being got.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.session.is_busy()
    }

    /// Looks up items of one kind, at most [`MOST`]. Says what the headers tell of limits, whatever came of it.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn look_up(&self, kind: Kind, items: &[Item]) -> (Result<Told, Error>, Option<Limits>) {
        debug_assert!(items.len() <= MOST && items.iter().all(|item| item.kind() == kind), "a call of several kinds");
        let token = match self.session.token().await {
            Ok(token) => token,
            Err(error) => return (Err(error), None),
        };
        let (answer, limits) = match tokio::time::timeout(self.timeout, self.call(kind, items, token.as_deref())).await
        {
            Ok((answer, limits)) => (answer.and_then(|body| told(kind, items, &body)), limits),
            Err(_) => (Err(Error::Unreachable("no whole answer in time")), None),
        };
        match (&answer, token) {
            (Err(Error::Session(_)), Some(token)) => self.session.refused(&token).await,
            (Ok(_), Some(token)) => self.session.took(&token).await,
            _ => {}
        }
        (answer, limits)
    }

    async fn call(&self, kind: Kind, items: &[Item], token: Option<&str>) -> (Result<Vec<u8>, Error>, Option<Limits>) {
        let (method, field) = match kind {
            Kind::Profile => ("app.bsky.actor.getProfiles", "actors"),
            Kind::Post => ("app.bsky.feed.getPosts", "uris"),
        };
        let mut url = self.host.clone();
        url.set_path(&format!("{}/xrpc/{method}", self.host.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(items.iter().map(|item| (field, item.name())));
        let mut request = self.client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (Err(Error::Unreachable(why(&error))), None),
        };
        let (status, limits) = (response.status(), Limits::of(response.headers()));
        if let Some(error) = refusal(status, response.headers(), limits.as_ref()) {
            return (Err(error), limits);
        }
        match body(&mut response).await {
            Ok(body) if status == StatusCode::BAD_REQUEST => (Err(of_request(&body)), limits),
            body => (body, limits),
        }
    }
}

async fn body(response: &mut Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_BYTES => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Error::Large),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Error::Unreachable(why(&error))),
        }
    }
}

/// What is wrong with a request. A host tells so of an old token too. What is no word of the lexicon's is said by something
/// else than an AppView, of which nothing is believed.
fn of_request(body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        error: Cow<'a, str>,
    }
    match serde_json::from_slice::<Said<'_>>(body) {
        Ok(said) if matches!(&*said.error, "ExpiredToken" | "InvalidToken") => Error::Session(REFUSED),
        Ok(said) if said.error == "InvalidRequest" => Error::Refused(400),
        _ => Error::Status(400),
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, limits: Option<&Limits>) -> Option<Error> {
    match status.as_u16() {
        200 | 400 => None,
        401 | 403 => Some(Error::Session(REFUSED)),
        // More names than it reads at once.
        status @ (413 | 414 | 431) => Some(Error::Refused(status)),
        429 => Some(Error::Busy(429, Limits::wait(headers, limits))),
        status @ 300..=399 => Some(Error::Elsewhere(status)),
        503 => Some(Limits::retry_after(headers).map_or(Error::Status(503), |wait| Error::Busy(503, wait))),
        other => Some(Error::Status(other)),
    }
}

/// Not the library's own text: it holds the address with all that was asked for.
pub(super) fn why(error: &reqwest::Error) -> &'static str {
    if let Some(why) = not_connected(error) {
        why
    } else if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "the connection broke"
    }
}

/// What is to be mended where there is no connection.
fn not_connected(error: &reqwest::Error) -> Option<&'static str> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some("its certificate is not trusted, or is not for this address; give caFrom, or another address");
        }
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Some("the connection is refused; give the address of a host that runs");
        }
        // What an I/O error holds is none of its causes.
        next = io.and_then(std::io::Error::get_ref).map(|held| held as &(dyn StdError + 'static)).or(error.source());
    }
    None
}

/// The views one by one: one that is not of the lexicon's shape spoils no other.
#[derive(Deserialize)]
struct Views<'a> {
    #[serde(borrow, alias = "profiles", alias = "posts")]
    views: Vec<&'a RawValue>,
}

/// So many views of which none can be read are not the faults of single records. Of the halves of a call that was answered in
/// part, none has as many.
const GARBLED: usize = MOST / 2 + 1;

/// What an answer tells of what was asked for. What it leaves out is not there; but nothing is said of what it leaves out
/// beside a view that can not be read, which may be the one, or where it tells of others alone.
fn told(kind: Kind, items: &[Item], body: &[u8]) -> Result<Told, Error> {
    let answer: Views<'_> = serde_json::from_slice(body).map_err(|_| Error::Malformed)?;
    let mut told = Told::default();
    let mut read = 0;
    for view in &answer.views {
        let view = match kind {
            Kind::Profile => told.profile(view),
            Kind::Post => told.post(view),
        };
        read += usize::from(view.is_some());
    }
    if read == 0 && answer.views.len() >= GARBLED {
        return Err(Error::Malformed);
    }
    told.known.retain(|item, _| items.contains(item));
    // A host that tells of others alone has not understood what it was asked for.
    told.unclear = read < answer.views.len() || (read > 0 && told.known.is_empty());
    if !told.unclear {
        for item in items {
            told.known.entry(item.clone()).or_insert(Known::Missing);
        }
    }
    Ok(told)
}

impl Told {
    /// Whether everything that was asked for is left out.
    #[must_use]
    pub fn finds_nothing(&self) -> bool {
        !self.unclear && self.known.values().all(|known| *known == Known::Missing)
    }

    fn profile(&mut self, view: &RawValue) -> Option<()> {
        let view: ProfileView<'_> = serde_json::from_str(view.get()).ok()?;
        self.known.insert(view.item()?, of_profile(&view));
        Some(())
    }

    fn post(&mut self, view: &RawValue) -> Option<()> {
        let view: PostView<'_> = serde_json::from_str(view.get()).ok()?;
        self.known.insert(Item::post(&view.uri)?, Known::Found(view.json().into()));
        self.beside.insert(view.author.item()?, of_profile(&view.author));
        Some(())
    }
}

fn of_profile(view: &ProfileView<'_>) -> Known {
    if view.is_blocked() { Known::Blocked } else { Known::Found(view.json().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(rkey: &str) -> Item {
        Item::post(&format!("at://did:plc:a/app.bsky.feed.post/{rkey}")).unwrap()
    }

    fn view(item: &Item) -> String {
        format!(
            r#"{{"uri":"{item}","cid":"c","author":{{"did":"{}","handle":"h"}},"record":{{"text":"{item}"}}}}"#,
            item.did()
        )
    }

    #[test]
    fn answers_are_matched_by_name_and_what_is_left_out_is_missing() {
        let (a, b, c) = (post("a"), post("b"), post("c"));
        let body = format!(r#"{{"posts":[{},{}]}}"#, view(&post("stranger")), view(&b));
        let told = told(Kind::Post, &[a.clone(), b.clone(), c.clone()], body.as_bytes()).unwrap();
        assert_eq!(told.known.len(), 3);
        assert_eq!((&told.known[&a], &told.known[&c]), (&Known::Missing, &Known::Missing));
        assert!(matches!(&told.known[&b], Known::Found(json) if json.contains(&b.to_string())));
        assert_eq!(told.beside.len(), 1);
    }

    #[test]
    fn an_answer_of_others_alone_says_nothing_of_what_was_asked_for() {
        let body = format!(r#"{{"posts":[{}]}}"#, view(&post("stranger")));
        let told = told(Kind::Post, &[post("a"), post("b")], body.as_bytes()).unwrap();
        assert!(told.unclear && told.known.is_empty());
    }

    #[test]
    fn an_answer_that_can_not_be_read_tells_nothing() {
        for body in ["", "[]", "<html>", r#"{"posts":[{"uri":"#, r#"{"posts":{}}"#, "{}"] {
            assert!(matches!(told(Kind::Post, &[post("a")], body.as_bytes()), Err(Error::Malformed)), "{body}");
        }
    }

    #[test]
    fn a_refusal_is_believed_only_in_the_words_of_the_protocol() {
        let said = |error: &str| of_request(format!(r#"{{"error":"{error}","message":"…"}}"#).as_bytes());
        assert_eq!(said("InvalidRequest"), Error::Refused(400));
        assert_eq!(said("ExpiredToken"), Error::Session(REFUSED));
        assert_eq!(said("SomethingElse"), Error::Status(400));
        assert_eq!(of_request(b"<html>The plain HTTP request was sent to HTTPS port</html>"), Error::Status(400));
    }

    #[test]
    fn a_view_that_can_not_be_read_may_be_any_that_is_left_out() {
        let (a, b) = (post("a"), post("b"));
        let body = format!(r#"{{"posts":[{{"uri":3}},{}]}}"#, view(&b));
        let told = told(Kind::Post, &[a.clone(), b.clone()], body.as_bytes()).unwrap();
        assert_eq!(told.known.keys().collect::<Vec<_>>(), [&b]);
        assert!(told.unclear);
    }

    #[test]
    fn an_answer_of_which_no_view_can_be_read_is_none() {
        let items: Vec<Item> = (0..25).map(|n| post(&n.to_string())).collect();
        let body = |views: usize| format!(r#"{{"posts":[{}]}}"#, vec![r#"{"uri":3}"#; views].join(","));
        assert!(matches!(told(Kind::Post, &items, body(GARBLED).as_bytes()), Err(Error::Malformed)));
        assert!(told(Kind::Post, &items, body(1).as_bytes()).unwrap().unclear, "all but one are not there");
    }
}
