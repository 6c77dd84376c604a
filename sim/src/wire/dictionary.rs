//! zstd with a dictionary, one frame for each event.

use std::io;
use zstd::bulk::Compressor;
use zstd::dict::EncoderDictionary;
use zstd::zstd_safe::CParameter;

/// Magic number of a zstd dictionary (RFC 8878 §5).
const MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];
const SIZE: usize = 32 << 10;
/// Frames below this tell no content size, as the servers' encoder leaves it out (klauspost/compress).
const SMALL: usize = 256;

/// A dictionary with its number.
pub(crate) struct Dictionary {
    pub(crate) id: u32,
    pub(crate) bytes: Vec<u8>,
    prepared: EncoderDictionary<'static>,
}

impl Dictionary {
    /// A dictionary trained from samples. The same samples give the same dictionary.
    pub(crate) fn train(samples: &[Vec<u8>], id: u32, level: i32) -> io::Result<Self> {
        let mut bytes = zstd::dict::from_samples(samples, SIZE)?;
        if let Some(number) = bytes.get_mut(4..8) {
            number.copy_from_slice(&id.to_le_bytes());
        }
        Self::new(bytes, level)
    }

    /// A dictionary that is given.
    pub(crate) fn new(bytes: Vec<u8>, level: i32) -> io::Result<Self> {
        let id = match bytes.first_chunk::<8>() {
            Some([a, b, c, d, id @ ..]) if [*a, *b, *c, *d] == MAGIC => u32::from_le_bytes(*id),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no zstd dictionary")),
        };
        let prepared = EncoderDictionary::try_copy(&bytes, level)?;
        Ok(Self { id, bytes, prepared })
    }

    /// The same content under another number.
    pub(crate) fn renumbered(&self, id: u32, level: i32) -> io::Result<Self> {
        let mut bytes = self.bytes.clone();
        if let Some(number) = bytes.get_mut(4..8) {
            number.copy_from_slice(&id.to_le_bytes());
        }
        Self::new(bytes, level)
    }
}

/// Compresses many events.
pub(crate) struct Squeeze<'a> {
    sized: Compressor<'a>,
    unsized_: Compressor<'a>,
}

impl<'a> Squeeze<'a> {
    pub(crate) fn new(dictionary: &'a Dictionary) -> io::Result<Self> {
        let compressor = |sized: bool| {
            let mut compressor = Compressor::with_prepared_dictionary(&dictionary.prepared)?;
            compressor.set_parameter(CParameter::ChecksumFlag(true))?;
            compressor.set_parameter(CParameter::ContentSizeFlag(sized))?;
            io::Result::Ok(compressor)
        };
        Ok(Self { sized: compressor(true)?, unsized_: compressor(false)? })
    }

    /// One standalone zstd frame.
    pub(crate) fn squeeze(&mut self, payload: &[u8]) -> io::Result<Vec<u8>> {
        if payload.len() < SMALL { self.unsized_.compress(payload) } else { self.sized.compress(payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_tell_no_size_and_all_can_be_read() {
        let samples: Vec<Vec<u8>> = (0..500).map(|n| format!("{{\"did\":\"did:plc:{n}\",\"n\":{n}}}").into()).collect();
        let dictionary = Dictionary::train(&samples, 77, 1).unwrap();
        assert_eq!(dictionary.bytes, Dictionary::train(&samples, 77, 1).unwrap().bytes);
        let mut squeeze = Squeeze::new(&dictionary).unwrap();
        let mut reader = zstd::bulk::Decompressor::with_dictionary(&dictionary.bytes).unwrap();
        for size in [0, 20, 255, 256, 5000] {
            let payload = vec![b'x'; size];
            let frame = squeeze.squeeze(&payload).unwrap();
            assert_eq!(zstd::zstd_safe::get_dict_id_from_frame(&frame).map(u32::from), Some(77));
            let told = zstd::zstd_safe::get_frame_content_size(&frame).ok().flatten();
            assert_eq!(told.is_some(), size >= SMALL, "{size}");
            assert_eq!(reader.decompress(&frame, 10_000).unwrap(), payload);
        }
    }
}
