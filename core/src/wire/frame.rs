//! Compressed frames: each is one zstd frame by itself, made with a dictionary that both sides have.
//!
//! Source: v1 `compress=true` and v2 `zstdDictionary=<id>` of Jetstream. Small frames bear no content size, so the size
//! that comes out is bounded by a buffer of a fixed size, not by what the frame promises.

use bytes::Bytes;
use zstd::bulk::Decompressor;
use zstd::zstd_safe;

/// Why a frame could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The dictionary is none.
    #[error("not a zstd dictionary: {0}")]
    Dictionary(String),
    /// The frame was made with another dictionary.
    #[error("the frame was made with dictionary {frame}, not with {ours}")]
    OtherDictionary {
        /// The id in the frame.
        frame: u32,
        /// The id of the dictionary in use.
        ours: u32,
    },
    /// The frame is broken, or larger than the limit when decompressed.
    #[error("not a zstd frame of this dictionary, or more than {limit} bytes when inflated: {detail}")]
    Frame {
        /// The limit in bytes.
        limit: usize,
        /// What zstd says.
        detail: String,
    },
}

/// The id that a dictionary carries: bytes 4 to 8, little-endian, behind the magic number (RFC 8878, section 5).
///
/// # Errors
/// The bytes are no dictionary.
pub fn dictionary_id(dictionary: &[u8]) -> Result<u32, Error> {
    match zstd_safe::get_dict_id_from_dict(dictionary) {
        Some(id) => Ok(id.get()),
        None => Err(Error::Dictionary("it does not begin with the magic number 37 A4 30 EC and an id".into())),
    }
}

/// Decompresses the frames of one connection.
pub struct Inflate {
    decompressor: Decompressor<'static>,
    buffer: Vec<u8>,
    id: u32,
    limit: usize,
}

impl Inflate {
    /// With a dictionary; no frame may be larger than `limit` bytes when decompressed.
    ///
    /// # Errors
    /// The bytes are no dictionary.
    pub fn new(dictionary: &[u8], limit: usize) -> Result<Self, Error> {
        let id = dictionary_id(dictionary)?;
        let decompressor = Decompressor::with_dictionary(dictionary).map_err(|e| Error::Dictionary(e.to_string()))?;
        Ok(Self { decompressor, buffer: Vec::with_capacity(limit), id, limit })
    }

    /// The text of a frame.
    ///
    /// # Errors
    /// The frame is broken, too large, or was made with another dictionary.
    pub fn inflate(&mut self, frame: &[u8]) -> Result<Bytes, Error> {
        if let Some(id) = zstd_safe::get_dict_id_from_frame(frame).map(std::num::NonZeroU32::get)
            && id != self.id
        {
            return Err(Error::OtherDictionary { frame: id, ours: self.id });
        }
        self.buffer.clear();
        self.decompressor
            .decompress_to_buffer(frame, &mut self.buffer)
            .map_err(|e| Error::Frame { limit: self.limit, detail: e.to_string() })?;
        Ok(Bytes::copy_from_slice(&self.buffer))
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
