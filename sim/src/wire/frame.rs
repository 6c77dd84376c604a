//! WebSocket frames (RFC 6455 §5.2) as a server sends them: whole messages, unmasked.

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const BINARY: OpCode = OpCode::Data(Data::Binary);
const PING: OpCode = OpCode::Control(Control::Ping);
const PONG: OpCode = OpCode::Control(Control::Pong);
const CLOSE: OpCode = OpCode::Control(Control::Close);

/// Appends a frame.
pub(crate) fn append(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader { is_final: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask: None };
    // Writing to a vector does not fail.
    let _ = header.format(payload.len() as u64, out);
    out.extend_from_slice(payload);
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    append(&mut out, opcode, payload);
    out
}

/// A message frame: text, or bytes.
pub(crate) fn message(binary: bool, payload: &[u8]) -> Vec<u8> {
    frame(if binary { BINARY } else { TEXT }, payload)
}

pub(crate) fn ping(payload: &[u8]) -> Vec<u8> {
    frame(PING, payload)
}

pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// A close frame. The reason is cut to the 123 bytes that fit, at a letter's end.
pub(crate) fn close(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    match reason.len() {
        0..=123 => payload.extend_from_slice(reason.as_bytes()),
        _ => {
            payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(120)]);
            payload.extend_from_slice(b"...");
        }
    }
    frame(CLOSE, &payload)
}
