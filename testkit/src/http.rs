//! As much of HTTP as a health check needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One request to `address`; the body of a 2xx, or what was wrong.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Result<String, String> {
    let said = |error: std::io::Error| format!("{method} http://{address}{path}: {error}");
    let limit = Duration::from_secs(1);
    let to: SocketAddr = address.parse().unwrap();
    let mut socket = TcpStream::connect_timeout(&to, limit).map_err(said)?;
    socket.set_read_timeout(Some(limit)).map_err(said)?;
    // Of version 1.0, so that the answer comes in one piece.
    let length = body.len();
    write!(socket, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}")
        .map_err(said)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).map_err(said)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        Some(status) if status.starts_with('2') => Ok(body.to_owned()),
        _ => Err(format!("{method} http://{address}{path}: {head} {body}")),
    }
}
