//! As much of HTTP/1.1 as a server of subscriptions needs: one request on each connection.

pub(crate) mod query;
pub(crate) mod response;

use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// 10,000 DIDs in a query have about 420 kB.
const MOST: usize = 2 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// A request's head.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    /// What came after the head.
    pub(crate) rest: Vec<u8>,
}

impl Request {
    /// Reads a request; `None` where none came, or none that can be read.
    pub(crate) async fn read(socket: &mut TcpStream) -> Option<Self> {
        timeout(PATIENCE, Self::receive(socket)).await.ok()?.ok()
    }

    async fn receive(socket: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(2048);
        loop {
            if socket.read_buf(&mut bytes).await? == 0 || bytes.len() > MOST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let whole = bytes.windows(4).any(|four| four == b"\r\n\r\n");
            if let Some(request) = whole.then(|| Self::parse(&bytes)).transpose()?.flatten() {
                return Ok(request);
            }
        }
    }

    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let target = head.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).trim().to_string())
        };
        Ok(Some(Self {
            method: head.method.unwrap_or("GET").into(),
            path: path.into(),
            query: query.into(),
            headers: head.headers.iter().map(header).collect(),
            rest: bytes[length..].to_vec(),
        }))
    }

    /// Reads the body to its end, as long as the head says; `None` where it is too long, or does not come.
    pub(crate) async fn body(&self, socket: &mut TcpStream) -> Option<Vec<u8>> {
        let length: usize = self.header("content-length").parse().ok().filter(|length| *length <= MOST)?;
        let mut body = self.rest.clone();
        let read =
            async { while body.len() < length && socket.read_buf(&mut body).await.is_ok_and(|read| read > 0) {} };
        timeout(PATIENCE, read).await.ok()?;
        (body.len() >= length).then_some(body)
    }

    /// All values of a header, joined as RFC 9110 allows; empty where there is none. The name is in small letters.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(theirs, _)| theirs == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    /// Whether a header's list has this word, in capital or small letters.
    pub(crate) fn lists(&self, name: &str, word: &str) -> bool {
        self.header(name).split(',').any(|item| item.trim().eq_ignore_ascii_case(word))
    }
}
