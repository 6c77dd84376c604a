//! A recording: JSON lines, plain or zstd (`.zst`), v1 or v2, at full speed or at the recorded pace.
//!
//! Its position is a line number, counted from 1, and the identity of the file: a hash of its first line without its end,
//! so that a file that has grown is the same one. A resumed recording is read from its beginning up to the position, where the very
//! event of the position must stand; another file is refused.

mod lines;
mod pace;

use crate::sources::{ConnectError, Connection, Lost, Received, Source};
use bytes::Bytes;
use lines::{Line, channel, read_lines};
use pace::Pace;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use turbo_core::join::Ask;
use turbo_core::wire::{Frame, decode};

/// Bytes of the first line that make the file's identity, at most.
const HEAD: u64 = 64 * 1024;
/// The longest line in bytes.
pub const MAX_LINE: usize = 64 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a recording is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// At the pace at which it was recorded, by the events' times; else at full speed.
    pub recorded_pace: bool,
    /// The longest line in bytes.
    pub max_frame: usize,
}

/// A recording as a source with one host: the file.
pub struct Recording {
    options: Options,
    identity: String,
    /// What older versions called a file whose first line has an end: the end was in the hash.
    old_identity: String,
    progress: Progress,
}

/// How far a recording was read.
#[derive(Clone, Debug)]
pub struct Progress {
    read: Arc<AtomicU64>,
    size: u64,
}

impl Progress {
    /// Bytes of the file that were read.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A file whose reading is counted.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A file that can not be read as a recording.
#[derive(Debug, thiserror::Error)]
#[error("spec.source.recording.path: {path}: {source}; give a readable file of JSON lines, plain or .zst")]
pub struct OpenError {
    path: String,
    source: std::io::Error,
}

impl Recording {
    /// Opens the file and reads its head.
    ///
    /// # Errors
    /// The file is not there or can not be read.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let read_head = || {
            let mut head = Vec::new();
            text(&options.path, Arc::default())?.take(HEAD).read_until(b'\n', &mut head)?;
            Ok((head, std::fs::metadata(&options.path)?.len()))
        };
        let (head, size) =
            read_head().map_err(|source| OpenError { path: options.path.display().to_string(), source })?;
        let identity_of = |head| format!("recording:{:016x}", xxhash_rust::xxh3::xxh3_64(head));
        let line = head.strip_suffix(b"\n").unwrap_or(&head);
        let identity = identity_of(line.strip_suffix(b"\r").unwrap_or(line));
        Ok(Self {
            options,
            identity,
            old_identity: identity_of(&head),
            progress: Progress { read: Arc::default(), size },
        })
    }

    /// How far it was read, now and later.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

/// The text of a file, decompressed where it begins like a zstd frame, be it cut off in its first bytes.
fn text(path: &Path, read: Arc<AtomicU64>) -> std::io::Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::new(Counted { file: File::open(path)?, read });
    let head = file.fill_buf()?;
    let head = &head[..head.len().min(ZSTD_MAGIC.len())];
    if !head.is_empty() && ZSTD_MAGIC.starts_with(head) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(file)?)));
    }
    Ok(Box::new(file))
}

impl Source for Recording {
    type Connection = Lines;

    const MAY_GARBLE: bool = false;

    fn host(&self) -> &str {
        &self.identity
    }

    fn name(&self) -> String {
        self.options.path.display().to_string()
    }

    fn next_host(&mut self) {}

    /// The name that the position has for this file stays.
    fn begin_with(&mut self, host: &str) {
        if host == self.old_identity {
            self.identity.clone_from(&self.old_identity);
        }
    }

    async fn connect(&mut self, ask: Ask, _: Option<usize>) -> Result<Lines, ConnectError> {
        let from = match ask {
            Ask::Sequence(line, _) | Ask::Given(line) => line,
            Ask::Tip => 1,
            Ask::Time { .. } => {
                return Err(ConnectError::OtherSource(format!(
                    "spec.source.recording.path: {} is not the file that the position is of; give that file, or new sinks",
                    self.options.path.display()
                )));
            }
        };
        let (send, lines) = channel();
        let options = self.options.clone();
        self.progress.read.store(0, Ordering::Relaxed);
        let file =
            text(&options.path, self.progress.read.clone()).map_err(|e| ConnectError::Unreachable(e.to_string()))?;
        tokio::task::spawn_blocking(move || read_lines(file, from, &options, &send));
        Ok(Lines { lines, pace: self.options.recorded_pace.then(Pace::default), held: None })
    }
}

/// The lines of a recording, decoded.
pub struct Lines {
    lines: lines::Receiver,
    pace: Option<Pace>,
    held: Option<(Instant, Received)>,
}

impl Connection for Lines {
    async fn next(&mut self) -> Result<Received, Lost> {
        if self.held.is_none() {
            let received = match self.lines.next().await {
                None => Received::End,
                Some(Line::Broken(reason)) => return Err(Lost::Broken(reason)),
                Some(Line::Text(number, bytes)) => decoded(number, bytes),
                Some(Line::Unended(number, bytes)) => match decoded(number, bytes) {
                    Received::Unreadable { reason, .. } => {
                        tracing::warn!("the last line is not whole, and is left for when it is: {reason}");
                        Received::End
                    }
                    received => received,
                },
                Some(Line::TooLong(number, bytes, length)) => too_long(number, bytes, length),
            };
            match (&mut self.pace, &received) {
                (Some(pace), Received::Event(event)) => self.held = Some((pace.due(event.time_us), received)),
                _ => return Ok(received),
            }
        }
        if let Some((due, _)) = &self.held {
            tokio::time::sleep_until((*due).into()).await;
        }
        Ok(self.held.take().map_or(Received::End, |(_, received)| received))
    }
}

fn too_long(number: u64, bytes: Bytes, length: u64) -> Received {
    let reason = format!("line {number}: it has {length} bytes, which is too long; its first {} are kept", bytes.len());
    Received::Unreadable { bytes, reason }
}

fn decoded(number: u64, bytes: Bytes) -> Received {
    match decode(&bytes) {
        Ok(Frame::Event(mut event)) => {
            event.cursor = Some(number);
            Received::Event(event)
        }
        Ok(Frame::Info(name, message) | Frame::Error(name, message)) => Received::Info(name, message),
        Ok(Frame::Unknown(kind)) => Received::Unknown(kind),
        Err(error) => Received::Unreadable { bytes, reason: format!("line {number}: {error}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &[u8]) -> Recording {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Recording::open(Options { path: file.path().into(), recorded_pace: false, max_frame: 1000 }).unwrap()
    }

    #[test]
    fn a_file_is_the_same_one_however_its_first_line_ends() {
        let name = opened(b"{}").host().to_owned();
        for text in [&b"{}\n"[..], b"{}\r\n", b"{}\r", b"{}\n{}\n"] {
            assert_eq!(opened(text).host(), name);
        }
        assert_ne!(opened(b"{ }\n").host(), name);
    }

    #[test]
    fn a_position_that_bears_a_name_of_before_is_still_of_its_file() {
        for text in [&b"{}\n"[..], b"{}\r\n", b"{}\n{}\n"] {
            let end = text.iter().position(|byte| *byte == b'\n').unwrap();
            let before = format!("recording:{:016x}", xxhash_rust::xxh3::xxh3_64(&text[..=end]));
            let mut recording = opened(text);
            recording.begin_with(&before);
            assert_eq!(recording.host(), before);
            let mut another = opened(b"[]\n");
            another.begin_with(&before);
            assert_ne!(another.host(), before);
        }
    }
}
