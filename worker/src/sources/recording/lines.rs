//! Lines of a file: numbered from 1, bounded, without their ends.

use super::Options;
use bytes::Bytes;
use std::io::{BufRead, Read};
use tokio::sync::mpsc;

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

/// Sends the lines from number `from` on, until the end or until nobody listens.
pub(super) fn read_lines(mut file: Box<dyn BufRead + Send>, from: u64, options: &Options, to: &mpsc::Sender<Line>) {
    let mut number = 0;
    loop {
        number += 1;
        let line = match read_line(&mut file, number, options.max_frame) {
            Ok(None) => return,
            Ok(Some(Line::Text(_, line) | Line::Unended(_, line))) if number < from || line.is_empty() => continue,
            Ok(Some(Line::TooLong(..))) if number < from => continue,
            Ok(Some(line)) => line,
            Err(error) => Line::Broken(format!(
                "spec.source.recording.path: {}: line {number}: {error}; what is before it is committed: give the whole \
                 file, and it goes on there",
                options.path.display()
            )),
        };
        let broken = matches!(line, Line::Broken(_));
        if to.blocking_send(line).is_err() || broken {
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
    }

    #[test]
    fn little_is_kept_of_a_line_that_is_too_long() {
        let text = vec![b'x'; 3 * KEPT];
        assert_eq!(all(&text, 2 * KEPT), [(1, KEPT, Some(3 * KEPT as u64))]);
    }
}
