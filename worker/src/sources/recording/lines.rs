//! Lines of a file: numbered from 1, bounded, without their ends, and the first without a byte order mark. Lines of white
//! space are passed over.

use super::Options;
use bytes::Bytes;
use std::io::{BufRead, Read};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Lines on their way from the file to the reader, and their bytes; a longer line goes alone.
const AHEAD: usize = 256;
const AHEAD_BYTES: usize = 4 << 20;
/// What some editors write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What is kept of a line that is too long, in bytes.
const KEPT: usize = 1 << 20;

/// What is read of a recording.
pub(super) enum Line {
    /// Its number, its bytes.
    Text(u64, Bytes),
    /// The last one, which has no end: the file may still be written.
    Unended(u64, Bytes),
    /// One above the limit: its number, its first bytes, its length.
    TooLong(u64, Bytes, u64),
    /// The file can not be read on.
    Broken(String),
}

/// Where lines go.
pub(super) struct Sender {
    to: mpsc::Sender<(Line, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// Where they come from; a line's bytes count until it is taken.
pub(super) struct Receiver(mpsc::Receiver<(Line, OwnedSemaphorePermit)>);

/// A channel that is bounded by lines and by bytes.
pub(super) fn channel() -> (Sender, Receiver) {
    let (to, from) = mpsc::channel(AHEAD);
    (Sender { to, room: Arc::new(Semaphore::new(AHEAD_BYTES)) }, Receiver(from))
}

impl Sender {
    /// Waits for room. False where nobody listens.
    fn send(&self, line: Line) -> bool {
        let bytes = line.len().min(AHEAD_BYTES) as u32;
        let room = match self.room.clone().try_acquire_many_owned(bytes) {
            Ok(room) => Ok(room),
            // The other side gives back what it has not taken when it goes.
            Err(_) => Handle::current().block_on(self.room.clone().acquire_many_owned(bytes)),
        };
        room.is_ok_and(|room| self.to.blocking_send((line, room)).is_ok())
    }
}

impl Receiver {
    /// The next line; `None` at the end. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Line> {
        self.0.recv().await.map(|(line, _)| line)
    }
}

impl Line {
    fn len(&self) -> usize {
        match self {
            Self::Text(_, bytes) | Self::Unended(_, bytes) | Self::TooLong(_, bytes, _) => bytes.len(),
            Self::Broken(reason) => reason.len(),
        }
    }
}

/// Sends the lines from number `from` on, until the end or until nobody listens.
pub(super) fn read_lines(mut file: Box<dyn BufRead + Send>, from: u64, options: &Options, to: &Sender) {
    let mut number = 0;
    loop {
        number += 1;
        let line = match read_line(&mut file, number, options.max_frame) {
            Ok(None) => return,
            Ok(Some(Line::Text(_, line) | Line::Unended(_, line))) if number < from || line.trim_ascii().is_empty() => {
                continue;
            }
            Ok(Some(Line::TooLong(..))) if number < from => continue,
            Ok(Some(line)) => line,
            Err(error) => Line::Broken(format!(
                "spec.source.recording.path: {}: line {number}: {error}; what is before it is committed: give the whole \
                 file, and it goes on there",
                options.path.display()
            )),
        };
        let broken = matches!(line, Line::Broken(_));
        if !to.send(line) || broken {
            return;
        }
    }
}

/// The next line, without its end; `None` where there is none.
fn read_line(file: &mut impl BufRead, number: u64, max: usize) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    if file.by_ref().take(max as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let ended = line.pop_if(|last| *last == b'\n').is_some();
    if !ended && line.len() > max {
        let rest = skip_line(file)?;
        let length = line.len() as u64 + rest;
        line.truncate(KEPT);
        line.shrink_to_fit();
        return Ok(Some(Line::TooLong(number, line.into(), length)));
    }
    line.pop_if(|last| *last == b'\r');
    if number == 1 && line.starts_with(BYTE_ORDER_MARK) {
        line.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(Some(if ended { Line::Text(number, line.into()) } else { Line::Unended(number, line.into()) }))
}

/// Reads to the end of the line, and counts its bytes.
fn skip_line(file: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = file.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (used, ended) = (end.map_or(buffer.len(), |end| end + 1), end.is_some() || buffer.is_empty());
        skipped += end.unwrap_or(used) as u64;
        file.consume(used);
        if ended {
            return Ok(skipped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], max: usize) -> Vec<(u64, usize, Option<u64>)> {
        let mut file = std::io::BufReader::with_capacity(3, text);
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut file, lines.len() as u64 + 1, max).unwrap() {
            lines.push(match line {
                Line::Text(number, bytes) => (number, bytes.len(), None),
                Line::Unended(number, bytes) => (number, 100 + bytes.len(), None),
                Line::TooLong(number, bytes, length) => (number, bytes.len(), Some(length)),
                Line::Broken(why) => panic!("{why}"),
            });
        }
        lines
    }

    #[test]
    fn a_line_above_the_limit_is_told_and_the_next_is_read() {
        let text = b"12345\n123456\n\n1234\r\n1234567890\n12345";
        let long = |number, length| (number, 6, Some(length));
        let whole = |number, length| (number, length, None);
        let expected = [whole(1, 5), long(2, 6), whole(3, 0), whole(4, 4), long(5, 10), whole(6, 105)];
        assert_eq!(all(text, 5), expected);
        assert_eq!(all(b"1234567", 5), [long(1, 7)]);
        assert_eq!(all(b"", 5), []);
        assert_eq!(all(b"\xef\xbb\xbf{}\n\xef\xbb\xbf", 5), [whole(1, 2), whole(2, 103)]);
    }

    #[tokio::test]
    async fn the_bytes_on_their_way_are_bounded_also_where_lines_are_large() {
        const LINES: usize = 20;
        let text = vec![b'x'; 1 << 20];
        let file = std::io::Cursor::new([text, b"\n".to_vec()].concat().repeat(LINES));
        let (send, mut lines) = channel();
        let room = send.room.clone();
        let options = Options { path: "x".into(), recorded_pace: false, max_frame: 2 << 20 };
        let reading = tokio::task::spawn_blocking(move || read_lines(Box::new(file), 1, &options, &send));
        // The room of a line is taken before the line is sent.
        let full = AHEAD_BYTES >> 20;
        while (room.available_permits() > 0 || lines.0.len() < full) && !reading.is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(lines.0.len(), full, "and no more is on its way");
        assert!(!reading.is_finished());
        let mut read = 0;
        while let Some(line) = lines.next().await {
            read += 1;
            assert_eq!(line.len(), 1 << 20);
        }
        assert_eq!(read, LINES);
        reading.await.unwrap();
    }

    #[tokio::test]
    async fn lines_of_white_space_are_passed_over_and_counted() {
        let file = std::io::Cursor::new(b"a\n\n \t\r\nb\n  ");
        let (send, mut lines) = channel();
        let options = Options { path: "x".into(), recorded_pace: false, max_frame: 100 };
        let reading = tokio::task::spawn_blocking(move || read_lines(Box::new(file), 1, &options, &send));
        let mut read = Vec::new();
        while let Some(Line::Text(number, bytes)) = lines.next().await {
            read.push((number, bytes));
        }
        assert_eq!(read, [(1, Bytes::from_static(b"a")), (4, Bytes::from_static(b"b"))]);
        reading.await.unwrap();
    }

    #[tokio::test]
    async fn the_reading_ends_when_nobody_listens() {
        let file = std::io::Cursor::new([vec![b'x'; 3 << 20], b"\n".to_vec()].concat().repeat(9));
        let (send, mut lines) = channel();
        let options = Options { path: "x".into(), recorded_pace: false, max_frame: 4 << 20 };
        let reading = tokio::task::spawn_blocking(move || read_lines(Box::new(file), 1, &options, &send));
        assert!(lines.next().await.is_some());
        drop(lines);
        reading.await.unwrap();
    }

    #[test]
    fn little_is_kept_of_a_line_that_is_too_long() {
        let text = vec![b'x'; 3 * KEPT];
        assert_eq!(all(&text, 2 * KEPT), [(1, KEPT, Some(3 * KEPT as u64))]);
    }
}
