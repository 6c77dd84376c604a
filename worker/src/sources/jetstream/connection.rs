//! One open stream: frames in, events out, and the watch over whether it is alive.
//!
//! Health is progress, not an open socket: nothing at all for a while means dead, and so does a host that answers pings
//! but sends no event where events are expected.

use super::Options;
use super::dictionary::Doubt;
use crate::sources::{ConnectError, Connection, Lost, Received};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, error::CapacityError};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use turbo_core::wire::frame::Inflate;
use turbo_core::wire::{Frame, decode};

const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// An open Jetstream.
pub struct Socket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    inflate: Option<Inflate>,
    /// To be raised where the first frame can not be inflated.
    doubt: Option<Doubt>,
    ping: Interval,
    heard: Instant,
    progress: Instant,
    silent: Duration,
    quiet: Duration,
}

impl Socket {
    /// Takes a socket over; sends the filters that did not fit the URL.
    pub(super) async fn open(
        socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
        hello: Option<String>,
        dictionary: Option<(&[u8], Doubt)>,
        options: &Options,
    ) -> Result<Self, ConnectError> {
        let broken = |error: String| ConnectError::Unreachable(error);
        let (dictionary, doubt) = dictionary.unzip();
        let inflate = dictionary.map(|bytes| Inflate::new(bytes, options.max_frame)).transpose();
        let inflate = inflate.map_err(|e| broken(e.to_string()))?;
        let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = Instant::now();
        let (silent, quiet) = (options.silent, options.quiet);
        let mut open = Self { socket, inflate, doubt, ping, heard: now, progress: now, silent, quiet };
        if let Some(hello) = hello {
            open.socket.send(Message::text(hello)).await.map_err(|e| broken(e.to_string()))?;
        }
        Ok(open)
    }

    fn received(&mut self, message: Message) -> Result<Option<Received>, Lost> {
        self.heard = Instant::now();
        let text = match message {
            Message::Text(text) => Bytes::from(text),
            Message::Binary(frame) => match &mut self.inflate {
                Some(inflate) => match inflate.inflate(&frame) {
                    Ok(text) => {
                        self.doubt = None;
                        text
                    }
                    Err(e) if self.doubt.take().inspect(Doubt::raise).is_some() => {
                        return Err(Lost::Closed(format!("the first frame can not be inflated: {e}")));
                    }
                    Err(e) => return Ok(Some(Received::Unreadable { bytes: frame, reason: e.to_string() })),
                },
                None => frame,
            },
            Message::Close(reason) => {
                return Err(Lost::Closed(
                    reason.map_or_else(|| "closed".into(), |r| format!("{} {}", r.code, r.reason)),
                ));
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Ok(None),
        };
        let received = match decode(&text) {
            Ok(Frame::Event(event)) => {
                self.progress = self.heard;
                Received::Event(event)
            }
            Ok(Frame::Info(name, message)) => Received::Info(name, message),
            Ok(Frame::Error(name, message)) if name == "ConsumerTooSlow" => return Err(Lost::TooSlow(message)),
            Ok(Frame::Error(name, message)) => return Err(Lost::Closed(format!("{name}: {message}"))),
            Ok(Frame::Unknown(kind)) => Received::Unknown(kind),
            Err(e) => Received::Unreadable { bytes: text, reason: e.to_string() },
        };
        Ok(Some(received))
    }

    /// Asks for a sign of life, and judges those that came.
    async fn check(&mut self) -> Result<(), Lost> {
        if self.heard.elapsed() > self.silent {
            return Err(Lost::Silent(self.silent.as_secs()));
        }
        if self.progress.elapsed() > self.quiet {
            return Err(Lost::Quiet(self.quiet.as_secs()));
        }
        // A full send buffer is no error: what counts is what is heard.
        match tokio::time::timeout(PING_TIMEOUT, self.socket.send(Message::Ping(Bytes::new()))).await {
            Ok(Err(error)) => Err(lost(error)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

impl Connection for Socket {
    async fn next(&mut self) -> Result<Received, Lost> {
        loop {
            let message = tokio::select! {
                biased;
                message = self.socket.next() => message,
                _ = self.ping.tick() => {
                    self.check().await?;
                    continue;
                }
            };
            let message = message.ok_or_else(|| Lost::Closed("the stream ended".into()))?.map_err(lost)?;
            if let Some(received) = self.received(message)? {
                return Ok(received);
            }
        }
    }
}

fn lost(error: WsError) -> Lost {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Lost::Oversized { size, limit: max_size }
        }
        error => Lost::Closed(error.to_string()),
    }
}
