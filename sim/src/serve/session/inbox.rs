//! What the client sends: frames of RFC 6455, masked.

use std::io::{self, Cursor};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Bytes of a message at most (jetstream `internal/subscribe`).
pub(super) const MOST: usize = 10_000_000;

/// Frames are taken apart as they come.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// The message so far, and whether it is text.
    message: Option<(bool, Vec<u8>)>,
}

/// Something that the client said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close,
    Message {
        text: bool,
        bytes: Vec<u8>,
    },
    /// A message of more than the limit.
    TooBig,
    /// No WebSocket frame of a client.
    Broken,
}

impl Inbox {
    pub(super) fn new(rest: Vec<u8>) -> Self {
        Self { bytes: rest, message: None }
    }

    /// Waits for more bytes; 0 where there are no more. Nothing is lost where the wait is given up.
    pub(super) async fn receive(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        from.read_buf(&mut self.bytes).await
    }

    /// The next thing that came whole.
    pub(super) fn next(&mut self) -> Option<Heard> {
        loop {
            let mut cursor = Cursor::new(&self.bytes);
            let (header, length) = match FrameHeader::parse(&mut cursor) {
                Ok(Some(found)) => found,
                Ok(None) => return None,
                Err(_) => return Some(Heard::Broken),
            };
            let (start, length) = (cursor.position() as usize, usize::try_from(length).unwrap_or(usize::MAX));
            let before = self.message.as_ref().map_or(0, |(_, bytes)| bytes.len());
            if length.saturating_add(before) > MOST {
                return Some(Heard::TooBig);
            }
            if self.bytes.len() < start + length {
                return None;
            }
            let Some(mask) = header.mask else { return Some(Heard::Broken) };
            let mut payload = self.bytes[start..start + length].to_vec();
            self.bytes.drain(..start + length);
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            if let Some(heard) = self.take(&header, payload) {
                return Some(heard);
            }
        }
    }

    fn take(&mut self, header: &FrameHeader, payload: Vec<u8>) -> Option<Heard> {
        let text = match header.opcode {
            OpCode::Control(Control::Ping) => return Some(Heard::Ping(payload)),
            OpCode::Control(Control::Pong) => return Some(Heard::Pong(payload)),
            OpCode::Control(_) => return Some(Heard::Close),
            OpCode::Data(Data::Continue) => {
                let Some((_, bytes)) = &mut self.message else { return Some(Heard::Broken) };
                bytes.extend_from_slice(&payload);
                return if header.is_final { self.whole() } else { None };
            }
            OpCode::Data(data) => data == Data::Text,
        };
        self.message = Some((text, payload));
        if header.is_final { self.whole() } else { None }
    }

    fn whole(&mut self) -> Option<Heard> {
        self.message.take().map(|(text, bytes)| Heard::Message { text, bytes })
    }
}
