//! Who asks a host: nobody by name, an account with an app password, or whoever a credentials service names.
//!
//! Invariants:
//! - one task at a time gets a token, and never sooner than [`LEAST`] after the last time; where that is refused, or the host does
//!   not take the token that it gave, the waits grow up to an hour, so that several workers together stay below what a host
//!   allows an account (createSession: 30 in 5 minutes, 300 a day); what it says itself of when to come again counts. One that
//!   fails, or is not reached, is asked again after a while;
//! - a session is refreshed before its token ends, and when the host refuses it; it is made anew only where that fails;
//! - a secret is read when it is used, and stands in no error, no log and no `Debug`.
//!
//! `com.atproto.server.createSession` and `refreshSession` as their lexicons say. A credentials service is asked by GET, and
//! answers `{"accessJwt":"…"}`. The end of a token is its `exp` (RFC 7519).

use super::client::{Error, why};
use super::limits::Limits;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;
use turbo_core::backoff::Backoff;
use url::Url;

/// Between two attempts to get a token.
const LEAST: Duration = Duration::from_secs(3);
const BACKOFF: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(3600));
/// Between two attempts where the host fails, or is not reached.
const AWAY: Duration = Duration::from_secs(20);
/// A token that does not say when it ends.
const UNSAID: Duration = Duration::from_secs(300);
/// So long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(30);
/// For a whole answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tokens are far smaller.
const MAX_BYTES: usize = 64 << 10;

/// What reads a secret; an error names the field and the mend.
pub type Secret = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Who asks.
#[derive(Clone)]
pub enum Credentials {
    /// Nobody by name.
    Anonymous,
    /// An account.
    Account {
        /// Its handle or DID.
        identifier: String,
        /// Its app password.
        password: Secret,
    },
    /// Whoever this service names.
    Service(Url),
}

/// Who asks one host.
pub struct Session {
    client: Client,
    host: Url,
    credentials: Credentials,
    state: Mutex<State>,
}

struct State {
    access: Option<Token>,
    refresh: Option<Token>,
    not_before: Option<Instant>,
    /// Of failures, and of tokens that the host did not take.
    backoff: Backoff,
    /// Whether the host has taken the token.
    taken: bool,
    /// Why there is no token, until there is one.
    error: Option<Error>,
}

#[derive(Clone)]
struct Token {
    text: Arc<str>,
    ends: Instant,
}

impl Session {
    /// At this host, by this client. Nothing is asked yet.
    #[must_use]
    pub fn new(client: Client, host: Url, credentials: Credentials) -> Self {
        let backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let state = State { access: None, refresh: None, not_before: None, backoff, taken: false, error: None };
        Self { client, host, credentials, state: Mutex::new(state) }
    }

    /// A token that counts now; `None` where nobody asks by name.
    ///
    /// # Errors
    /// There is none, and it is too soon to ask for one again.
    pub async fn token(&self) -> Result<Option<Arc<str>>, Error> {
        if matches!(self.credentials, Credentials::Anonymous) {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        if let Some(token) = state.access.as_ref().filter(|token| token.counts()) {
            return Ok(Some(token.text.clone()));
        }
        if state.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return Err(state.error.clone().unwrap_or(Error::NoToken("another one is not asked for so soon")));
        }
        self.renew(&mut state).await
    }

    /// Whether a token is being got.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.try_lock().is_err()
    }

    /// The host refuses a token, whatever it says of its end.
    pub async fn refused(&self, token: &str) {
        let mut state = self.state.lock().await;
        if !state.has(token) {
            return;
        }
        state.access = None;
        if !state.taken {
            let wait = state.wait(None);
            state.not_before = Some(Instant::now() + wait);
            state.error = Some(Error::NoToken("the host refuses the one that it gave"));
        }
    }

    /// The host takes a token.
    pub async fn took(&self, token: &str) {
        let mut state = self.state.lock().await;
        if !state.taken && state.has(token) {
            state.taken = true;
            state.backoff.reset();
        }
    }

    async fn renew(&self, state: &mut MutexGuard<'_, State>) -> Result<Option<Arc<str>>, Error> {
        let refreshed = match state.refresh.clone().filter(Token::counts) {
            Some(refresh) => self.made(self.post("refreshSession").bearer_auth(&*refresh.text)).await.ok(),
            None => None,
        };
        let made = match refreshed {
            Some(made) => Ok(made),
            None => self.create().await,
        };
        let wait = match &made {
            Ok(_) => LEAST,
            Err(failed) if !failed.refused => AWAY.mul_f64(jitter()),
            Err(failed) => state.wait(failed.wait),
        };
        state.not_before = Some(Instant::now() + wait);
        state.taken = false;
        state.error = made.as_ref().err().map(|failed| failed.error.clone());
        let Made { access, refresh } = made.map_err(|failed| failed.error)?;
        let text = access.text.clone();
        (state.access, state.refresh) = (Some(access), refresh);
        Ok(Some(text))
    }

    async fn create(&self) -> Result<Made, Failed> {
        match &self.credentials {
            Credentials::Anonymous => Err(Failed::from("nobody asks by name")),
            Credentials::Service(url) => self.made(self.client.get(url.clone())).await,
            Credentials::Account { identifier, password } => {
                let password = password().map_err(|_| {
                    Failed::from("the app password can not be read; mend spec.hydration.session.passwordFrom")
                })?;
                let body = serde_json::json!({"identifier": identifier, "password": password}).to_string();
                let request = self.post("createSession").header("content-type", "application/json").body(body);
                self.made(request).await
            }
        }
    }

    fn post(&self, method: &str) -> RequestBuilder {
        let mut url = self.host.clone();
        url.set_path(&format!("{}/xrpc/com.atproto.server.{method}", self.host.path().trim_end_matches('/')));
        self.client.post(url)
    }

    async fn made(&self, request: RequestBuilder) -> Result<Made, Failed> {
        let answer = tokio::time::timeout(TIMEOUT, whole(request)).await;
        let body = answer.map_err(|_| Failed::from("none came in time"))??;
        let told: Told = serde_json::from_slice(&body).map_err(|_| Failed::from("the answer has no accessJwt"))?;
        Ok(Made { access: Token::new(&told.access_jwt), refresh: told.refresh_jwt.as_deref().map(Token::new) })
    }
}

impl State {
    fn has(&self, token: &str) -> bool {
        self.access.as_ref().is_some_and(|access| *access.text == *token)
    }

    /// How long to wait after one more failure; the host may have said how long.
    fn wait(&mut self, said: Option<Duration>) -> Duration {
        let wait = LEAST + self.backoff.next(jitter());
        wait.max(said.unwrap_or_default())
    }
}

/// Why there is no token, and for how long the host wants to be left alone.
struct Failed {
    error: Error,
    wait: Option<Duration>,
    /// Whether it was refused: to ask again and again makes it worse.
    refused: bool,
}

impl From<&'static str> for Failed {
    fn from(why: &'static str) -> Self {
        Self { error: Error::NoToken(why), wait: None, refused: false }
    }
}

/// A part of a wait: not all workers come again at once.
fn jitter() -> f64 {
    0.5 + rand::random::<f64>() / 2.0
}

struct Made {
    access: Token,
    refresh: Option<Token>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    access_jwt: String,
    refresh_jwt: Option<String>,
}

async fn whole(request: RequestBuilder) -> Result<Vec<u8>, Failed> {
    let mut response = request.send().await.map_err(|error| Failed::from(why(&error)))?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::TOO_MANY_REQUESTS => {
            let limits = Limits::of(response.headers());
            let wait = Some(Limits::wait(response.headers(), limits.as_ref()));
            return Err(Failed { wait, refused: true, ..Failed::from("too many were asked for (status 429)") });
        }
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
            let why = "the account or its app password is refused; mend spec.hydration.session: it is read anew at each attempt";
            return Err(Failed { refused: true, ..Failed::from(why) });
        }
        _ => return Err(Failed::from("who gives them fails")),
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Failed::from("the connection broke"))? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(Failed::from("the answer is too large for a token"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Token {
    fn new(text: &str) -> Self {
        let left = left(text).unwrap_or(UNSAID);
        Self { text: text.into(), ends: Instant::now() + left.saturating_sub(MARGIN.min(left / 4)) }
    }

    fn counts(&self) -> bool {
        Instant::now() < self.ends
    }
}

/// How long a token counts, as it says itself.
fn left(text: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let claims = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Duration::from_secs(exp).saturating_sub(now))
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Account { .. } => "an account",
            Self::Service(_) => "a credentials service",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn a_token_ends_when_it_says() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let token = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let left = |claims: &str| left(&token(claims)).map(|left| left.as_secs());
        assert!((7198..=7200).contains(&left(&format!(r#"{{"exp":{}}}"#, now + 7200)).unwrap()));
        assert_eq!(left(r#"{"exp":1}"#), Some(0));
        for none in ["{}", r#"{"exp":"x"}"#, "x"] {
            assert_eq!(left(none), None);
        }
        assert_eq!(super::left("no token"), None);
        assert!(!Token::new(&token(r#"{"exp":1}"#)).counts());
    }

    #[test]
    fn nobody_sees_a_secret() {
        let password: Secret = Arc::new(|| Ok("hunter2".to_owned()));
        let shown = format!("{:?}", Credentials::Account { identifier: "me".into(), password });
        assert_eq!(shown, "an account");
    }

    /// What becomes of a request that is answered with this status.
    async fn answered(status: &str) -> Failed {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
        };
        let (failed, ()) = tokio::join!(whole(Client::new().get(url)), server);
        failed.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn what_fails_is_told_apart_from_what_is_refused() {
        for (status, refused) in [("502 Bad Gateway", false), ("500 E", false), ("401 No", true), ("400 No", true)] {
            assert_eq!(answered(status).await.refused, refused, "{status}");
        }
        let busy = answered("429 Too Many").await;
        assert!(busy.refused && busy.wait.is_some());
        let gone = whole(Client::new().get("http://127.0.0.1:1/")).await.map(drop).unwrap_err();
        assert!(!gone.refused && gone.error.to_string().contains("refused; give the address"), "{}", gone.error);
    }
}
