//! A plain client.

use crate::Network;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the server chose.
    pub(super) protocol: Option<String>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed(u16, String),
    Dropped,
}

impl Client {
    pub(super) async fn to(network: &Network, path: &str) -> Self {
        Self::with(network, path, &[]).await.unwrap()
    }

    /// With headers; an error is the status.
    pub(super) async fn with(network: &Network, path: &str, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let mut request = format!("{}{path}", network.url(0)).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        match connect_async_with_config(request, Some(config), true).await {
            Ok((socket, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                Ok(Self { socket, protocol: protocol.map(|value| value.to_str().unwrap().into()) })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message that is text or binary.
    pub(super) async fn message(&mut self) -> Message {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub(super) async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub(super) async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.text().await);
        }
        texts
    }

    /// The payload of the next v2 message.
    pub(super) async fn payload(&mut self) -> Value {
        payload(&self.text().await)
    }

    /// Whether nothing comes for a while.
    pub(super) async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.message()).await.is_err()
    }

    /// The payload of the next pong; events before it are passed over.
    pub(super) async fn pong(&mut self) -> String {
        loop {
            if let Message::Pong(payload) = self.socket.next().await.unwrap().unwrap() {
                return String::from_utf8(payload.to_vec()).unwrap();
            }
        }
    }

    pub(super) async fn say(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Reads until the end; returns the last text and the end.
    pub(super) async fn end(mut self) -> (String, End) {
        let mut last = String::new();
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap() {
                Some(Ok(Message::Text(text))) => last = text.to_string(),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (last, End::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return (last, End::Dropped),
            }
        }
    }
}

pub(super) fn payload(text: &str) -> Value {
    let frame: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(frame["$type"], "message", "{text}");
    frame["payload"].clone()
}

/// A plain HTTP request: status, head and body.
pub(super) async fn get(network: &Network, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut socket = TcpStream::connect(network.addr(0)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: sim\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, bytes[end + 4..].to_vec())
}

/// Status and body of an answer that is text.
pub(super) async fn refusal(network: &Network, path: &str) -> (u16, String) {
    let (status, _, body) = get(network, path, "").await;
    (status, String::from_utf8(body).unwrap())
}
