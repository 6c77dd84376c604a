//! Sessions, as `com.atproto.server.createSession` and `refreshSession` make them: tokens that end, and are told apart by
//! their number.

use super::manners::Account;
use crate::serve::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CREATE: &str = "/xrpc/com.atproto.server.createSession";
const REFRESH: &str = "/xrpc/com.atproto.server.refreshSession";
/// A credentials service gives tokens without asking for anything.
const SERVICE: &str = "/tokens";

/// The sessions of an AppView.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Sessions made by password.
    pub(crate) made: u64,
    /// Sessions refreshed.
    pub(crate) refreshed: u64,
    /// Tokens up to this number count no more.
    forgotten: u64,
    number: u64,
}

impl Sessions {
    /// What is said to a request that is about sessions, or that has no token that counts.
    pub(crate) fn answer(&mut self, account: &Account, request: &Request, body: &[u8]) -> Option<Response> {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", CREATE) => Some(self.create(account, body)),
            ("POST", REFRESH) => Some(match self.counts(request, "refresh") {
                Ok(()) => {
                    self.refreshed += 1;
                    self.tokens(account)
                }
                Err(refused) => refused,
            }),
            ("GET", SERVICE) => Some(self.tokens(account)),
            _ => self.counts(request, "access").err(),
        }
    }

    /// All tokens that were given count no more.
    pub(crate) fn forget(&mut self) {
        self.forgotten = self.number;
    }

    fn create(&mut self, account: &Account, body: &[u8]) -> Response {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        if said["identifier"] != account.identifier || said["password"] != account.password {
            return Response::xrpc(401, "AuthenticationRequired", "Invalid identifier or password");
        }
        self.made += 1;
        self.tokens(account)
    }

    fn tokens(&mut self, account: &Account) -> Response {
        self.number += 1;
        let ends = now().saturating_add(account.lasts);
        let (access, refresh) = (self.token("access", ends), self.token("refresh", ends.saturating_add(account.lasts)));
        let body = format!(
            r#"{{"accessJwt":"{access}","refreshJwt":"{refresh}","handle":"me.sim.example","did":"did:plc:me"}}"#
        );
        Response::new(200, "application/json", body)
    }

    /// The form of a JWT; only its claims say anything.
    fn token(&self, kind: &str, ends: Duration) -> String {
        let claims = format!(r#"{{"scope":"{kind}","exp":{},"jti":{}}}"#, ends.as_secs(), self.number);
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn counts(&self, request: &Request, kind: &str) -> Result<(), Response> {
        let header = request.header("authorization");
        let Some(token) = header.strip_prefix("Bearer ") else {
            return Err(Response::xrpc(401, "AuthMissing", "Authentication Required"));
        };
        let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
        let (ends, number) = (claims["exp"].as_u64().unwrap_or(0), claims["jti"].as_u64().unwrap_or(0));
        if claims["scope"] != kind || number <= self.forgotten {
            return Err(Response::xrpc(400, "InvalidToken", "Token could not be verified"));
        }
        if ends <= now().as_secs() {
            return Err(Response::xrpc(400, "ExpiredToken", "Token has expired"));
        }
        Ok(())
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
