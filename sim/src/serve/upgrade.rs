//! From HTTP to WebSocket (RFC 6455 §4.2); refusals in the words of coder/websocket, which the server uses.

use super::http::Request;
use super::http::response::Response;
use crate::json::quoted;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The one subprotocol of v2; it is told apart by capital and small letters.
const SUBPROTOCOL: &str = "xrpc.v1.json";

/// The bytes that accept the upgrade.
pub(crate) fn accept(request: &Request, is_v2: bool) -> Result<Vec<u8>, Response> {
    let violation = |why: String| Response::plain(426, &format!("WebSocket protocol violation: {why}"));
    let upgrade = |response: Response| response.with("Connection", "Upgrade").with("Upgrade", "websocket");
    let (connection, protocol) = (request.header("connection"), request.header("upgrade"));
    if !request.lists("connection", "upgrade") {
        let why = format!("Connection header {} does not contain Upgrade", quoted(&connection));
        return Err(upgrade(violation(why)));
    }
    if !request.lists("upgrade", "websocket") {
        let why = format!("Upgrade header {} does not contain websocket", quoted(&protocol));
        return Err(upgrade(violation(why)));
    }
    if request.method != "GET" {
        let why = format!("handshake request method is not GET but {}", quoted(&request.method));
        return Err(Response::plain(405, &format!("WebSocket protocol violation: {why}")));
    }
    let key = request.header("sec-websocket-key");
    if request.header("sec-websocket-version") != "13" || key.is_empty() {
        return Err(Response::plain(400, "WebSocket protocol violation: no key, or a version that is not 13"));
    }
    let offered = request.header("sec-websocket-protocol");
    let chosen = is_v2 && offered.split(',').any(|item| item.trim() == SUBPROTOCOL);
    let protocol = if chosen { format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n") } else { String::new() };
    let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let accept = derive_accept_key(key.as_bytes());
    Ok(format!("{head}{protocol}Sec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes())
}
