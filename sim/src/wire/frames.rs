//! Many events as WebSocket frames in one stretch of bytes, ready to be sent.

use super::dictionary::{Dictionary, Squeeze};
use super::{Dialect, Row, Wire, frame, v1, v2};
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// The frames of consecutive rows. A row that the wire does not tell has an empty one.
#[derive(Debug)]
pub(crate) struct Frames {
    bytes: Bytes,
    ends: Box<[u32]>,
    /// Bytes of the event before compression.
    plain: Box<[u32]>,
    /// Number of the dictionary that they were compressed with.
    dictionary: Option<u32>,
}

impl Frames {
    /// Encodes rows; `dictionary` is for the compressed wires.
    pub(crate) fn encode(
        rows: &[Row],
        wire: Wire,
        dialect: Dialect,
        dictionary: Option<&Dictionary>,
    ) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(rows.len() * if wire.is_zstd() { 256 } else { 700 });
        let (mut ends, mut plain) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        let mut squeeze = dictionary.filter(|_| wire.is_zstd()).map(Squeeze::new).transpose()?;
        let mut text = String::new();
        for row in rows {
            text.clear();
            if wire.is_v2() {
                v2::event(&mut text, row, dialect);
            } else {
                v1::event(&mut text, row, dialect);
            }
            match &mut squeeze {
                _ if text.is_empty() => {}
                None => frame::append(&mut bytes, frame::TEXT, text.as_bytes()),
                Some(squeeze) => frame::append(&mut bytes, frame::BINARY, &squeeze.squeeze(text.as_bytes())?),
            }
            plain.push(text.len() as u32);
            ends.push(bytes.len() as u32);
        }
        Ok(Self {
            bytes: bytes.into(),
            ends: ends.into(),
            plain: plain.into(),
            dictionary: dictionary.map(|dictionary| dictionary.id),
        })
    }

    /// Whether they were made with this dictionary.
    pub(crate) fn is_of(&self, dictionary: Option<&Dictionary>) -> bool {
        self.dictionary == dictionary.map(|dictionary| dictionary.id)
    }

    /// The bytes of these rows' frames.
    pub(crate) fn of(&self, rows: Range<usize>) -> Bytes {
        self.bytes.slice(self.start(rows.start)..self.start(rows.end))
    }

    /// The end of the rows from `from` on whose frames have about so many bytes; one row at least.
    pub(crate) fn fit(&self, from: usize, bytes: usize) -> usize {
        let limit = self.start(from) + bytes;
        let end = from + self.ends[from..].partition_point(|end| *end as usize <= limit);
        end.max(from + 1).min(self.ends.len())
    }

    /// How many bytes the event of a row has before compression; 0 where the wire does not tell it.
    pub(crate) fn plain_len(&self, row: usize) -> u32 {
        self.plain[row]
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.ends[before] as usize)
    }
}
