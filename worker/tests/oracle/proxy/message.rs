//! One HTTP/1.1 message, byte for byte: what S3 signs is not touched.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

const MAX_HEAD: usize = 64 << 10;
/// The largest message: far above what a segment of a test has.
const MAX: usize = 256 << 20;

/// A whole message.
pub struct Message {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Where the body begins.
    pub body: usize,
    /// Of a request: whether it asks for the head only.
    pub is_head: bool,
}

/// How long a body is.
enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

/// Reads from one side of a connection, a message at a time.
pub struct Reader<R> {
    from: R,
    /// What was read and belongs to the next message.
    rest: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(from: R) -> Self {
        Self { from, rest: Vec::new() }
    }

    /// The head of the next request, `None` at the end; the body is to be read next. `true` where the client waits for
    /// a word before it sends the body.
    pub async fn request(&mut self) -> io::Result<Option<(Message, bool)>> {
        let Some(body) = self.head().await? else { return Ok(None) };
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&self.rest[..body]).map_err(io::Error::other)?;
        let is_head = parsed.method == Some("HEAD");
        let waits = value(parsed.headers, "expect").is_some();
        let bytes = self.rest.drain(..body).collect();
        Ok(Some((Message { bytes, body, is_head }, waits)))
    }

    /// The body of a request.
    pub async fn body_of(&mut self, request: &mut Message) -> io::Result<()> {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&request.bytes).map_err(io::Error::other)?;
        let length = length(parsed.headers, Length::Known(0))?;
        let body = self.body(length).await?;
        request.bytes.extend(body);
        Ok(())
    }

    /// The whole answer to a request; interim answers are passed over.
    pub async fn response(&mut self, to_head: bool) -> io::Result<Message> {
        loop {
            let body = self.head().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let (status, length) = {
                let mut headers = [httparse::EMPTY_HEADER; 100];
                let mut parsed = httparse::Response::new(&mut headers);
                parsed.parse(&self.rest[..body]).map_err(io::Error::other)?;
                (parsed.code.unwrap_or_default(), length(parsed.headers, Length::ToTheEnd)?)
            };
            let mut bytes: Vec<u8> = self.rest.drain(..body).collect();
            if (100..200).contains(&status) {
                continue;
            }
            if !to_head && status != 204 && status != 304 {
                bytes.extend(self.body(length).await?);
            }
            return Ok(Message { bytes, body, is_head: false });
        }
    }

    /// Where the head ends.
    async fn head(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(at) = self.rest.windows(4).position(|end| end == b"\r\n\r\n") {
                return Ok(Some(at + 4));
            }
            if self.rest.len() > MAX_HEAD {
                return Err(io::Error::other("the head is too long"));
            }
            if !self.more().await? {
                return if self.rest.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    async fn body(&mut self, length: Length) -> io::Result<Vec<u8>> {
        let end = match length {
            Length::Known(length) => {
                self.have(length).await?;
                length
            }
            Length::Chunked => self.chunks().await?,
            Length::ToTheEnd => {
                while self.more().await? {}
                self.rest.len()
            }
        };
        Ok(self.rest.drain(..end).collect())
    }

    /// Where the last chunk and its trailers end.
    async fn chunks(&mut self) -> io::Result<usize> {
        let mut at = 0;
        loop {
            let end = self.line(at).await?;
            let text = String::from_utf8_lossy(&self.rest[at..end]).into_owned();
            let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(io::Error::other)?;
            at = end + 2;
            if size == 0 {
                break;
            }
            at = at.saturating_add(size).saturating_add(2);
            self.have(at).await?;
        }
        loop {
            let end = self.line(at).await?;
            let empty = end == at;
            at = end + 2;
            if empty {
                return Ok(at);
            }
        }
    }

    /// Where the line that begins here ends.
    async fn line(&mut self, from: usize) -> io::Result<usize> {
        loop {
            if let Some(at) = self.rest.get(from..).and_then(|rest| rest.windows(2).position(|end| end == b"\r\n")) {
                return Ok(from + at);
            }
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn have(&mut self, length: usize) -> io::Result<()> {
        if length > MAX {
            return Err(io::Error::other("the message is too long"));
        }
        while self.rest.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads something; false at the end.
    async fn more(&mut self) -> io::Result<bool> {
        if self.rest.len() > MAX {
            return Err(io::Error::other("the message is too long"));
        }
        Ok(self.from.read_buf(&mut self.rest).await? > 0)
    }
}

fn length(headers: &[httparse::Header<'_>], otherwise: Length) -> io::Result<Length> {
    if value(headers, "transfer-encoding").is_some() {
        return Ok(Length::Chunked);
    }
    let Some(text) = value(headers, "content-length") else { return Ok(otherwise) };
    text.trim().parse().map(Length::Known).map_err(io::Error::other)
}

fn value<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}
