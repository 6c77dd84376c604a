//! Answers that are no upgrade.

use crate::json::quoted;
use std::fmt::Write;

/// A whole answer, after which the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: format!("Content-Type: {content_type}\r\n"), body: body.into() }
    }

    /// An XRPC error: JSON, no newline at its end.
    pub(crate) fn xrpc(status: u16, error: &str, message: &str) -> Self {
        let body = format!(r#"{{"error":"{error}","message":{}}}"#, quoted(message));
        Self::new(status, "application/json", body)
    }

    /// As Go's `http.Error` writes it.
    pub(crate) fn plain(status: u16, message: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", format!("{message}\n")).with("X-Content-Type-Options", "nosniff")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    /// Without its body, as HEAD and 304 want it.
    pub(crate) fn bare(mut self) -> Self {
        self.body.clear();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with(0)
    }

    /// All of it, where so many more bytes of the body come behind.
    pub(crate) fn bytes_with(&self, more: usize) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            206 => "Partial Content",
            304 => "Not Modified",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            416 => "Range Not Satisfiable",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            502 => "Bad Gateway",
            _ => "Service Unavailable",
        };
        let (status, headers, length) = (self.status, &self.headers, self.body.len() + more);
        // An upgrade is asked for with `Connection: Upgrade`, which is written with its answer.
        let close = if headers.contains("Connection:") { "" } else { "Connection: close\r\n" };
        let head = format!("HTTP/1.1 {status} {reason}\r\n{headers}{close}Content-Length: {length}\r\n\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}
