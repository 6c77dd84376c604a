//! Jetstream, v1 and v2, over WebSocket.
//!
//! Sources of the protocol: the lexicon `network.bsky.jetstream.subscribeEvents` and the README of the Jetstream server.

mod connection;
mod dictionary;
mod request;
mod tls;

pub use connection::Socket;
pub use dictionary::Dictionaries;
pub use request::{Filters, FiltersTooLong, Version};
pub use tls::client_config;

use crate::sources::{ConnectError, Source};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};
use turbo_core::join::Ask;
use url::Url;

/// How long a host may take to open the stream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How Jetstream is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// v1 or v2.
    pub version: Version,
    /// `ws://` or `wss://` URLs of hosts, in the order in which they are tried.
    pub endpoints: Vec<Url>,
    /// What is asked for.
    pub filters: Filters,
    /// Bound of one frame, on the wire and decompressed, in bytes.
    pub max_frame: usize,
    /// How long no event may come while the host still answers pings.
    pub quiet: Duration,
    /// How long nothing at all may come.
    pub silent: Duration,
}

/// A Jetstream source: its hosts, tried in turn.
pub struct Jetstream {
    options: Options,
    tls: Arc<ClientConfig>,
    dictionaries: Option<Dictionaries>,
    hosts: Vec<String>,
    at: usize,
}

impl Jetstream {
    /// A source that begins with the first endpoint. Without `dictionaries` frames are asked for as plain text.
    ///
    /// # Errors
    /// The filters are too long to be asked for.
    pub fn new(
        options: Options,
        tls: Arc<ClientConfig>,
        dictionaries: Option<Dictionaries>,
    ) -> Result<Self, FiltersTooLong> {
        options.endpoints.iter().try_for_each(|endpoint| request::check(&options, endpoint))?;
        let hosts = options.endpoints.iter().map(host_of).collect();
        Ok(Self { options, tls, dictionaries, hosts, at: 0 })
    }

    async fn open(&mut self, ask: Ask, at_most: Option<usize>) -> Result<Socket, ConnectError> {
        let endpoint = self.options.endpoints[self.at].clone();
        let dictionary = match &mut self.dictionaries {
            Some(dictionaries) => dictionaries.current(&endpoint).await,
            None => None,
        };
        let at_most = at_most.map(|bytes| bytes as u64).into_iter().chain(self.options.filters.max_message_size).min();
        let request = request::build(&self.options, &endpoint, ask, dictionary.as_deref(), at_most)
            .map_err(|e| ConnectError::Unreachable(e.to_string()))?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(self.options.max_frame))
            .max_frame_size(Some(self.options.max_frame));
        let connector = Some(Connector::Rustls(self.tls.clone()));
        let connected = connect_async_tls_with_config(request.upgrade, Some(limits), true, connector).await;
        let (socket, _) = connected.map_err(refusal)?;
        let doubt = self.dictionaries.as_ref().map(Dictionaries::doubt);
        let dictionary = dictionary.as_deref().map(Vec::as_slice).zip(doubt);
        Socket::open(socket, request.hello, dictionary, &self.options).await
    }
}

/// The name of a host in positions: with its port, where that is not the scheme's own.
fn host_of(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Source for Jetstream {
    type Connection = Socket;

    const MAY_GARBLE: bool = true;

    fn host(&self) -> &str {
        &self.hosts[self.at]
    }

    fn next_host(&mut self) {
        self.at = (self.at + 1) % self.hosts.len();
    }

    fn has_others(&self) -> bool {
        self.hosts.len() > 1
    }

    /// Begins with the first endpoint, where the host is no longer among them.
    fn begin_with(&mut self, host: &str) {
        self.at = self.hosts.iter().position(|known| known == host).unwrap_or(0);
    }

    async fn connect(&mut self, ask: Ask, at_most: Option<usize>) -> Result<Socket, ConnectError> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open(ask, at_most)).await;
        let opened = opened.unwrap_or_else(|_| {
            Err(ConnectError::Unreachable(format!("the host did not open the stream within {CONNECT_TIMEOUT:?}")))
        });
        if let (Err(ConnectError::Refused { message, .. }), Some(dictionaries)) = (&opened, &mut self.dictionaries)
            && message.contains("UnknownZstdDictionary")
        {
            dictionaries.retired();
        }
        opened
    }
}

/// What a failed upgrade says. Bodies are JSON with `error` and `message` on v2, plain text on v1.
fn refusal(error: WsError) -> ConnectError {
    let WsError::Http(response) = error else { return ConnectError::Unreachable(error.to_string()) };
    let (status, message) = (response.status().as_u16(), body_of(&response));
    match status {
        400 if message.contains("CursorTooOld") => ConnectError::CursorTooOld(message),
        503 | 429 => ConnectError::NotReady(format!("{status} {message}")),
        _ => ConnectError::Refused { status, message },
    }
}

fn body_of(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    String::from_utf8_lossy(&body[..body.len().min(1024)]).trim().to_owned()
}
