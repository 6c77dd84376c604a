//! Size and checksum of an object: what tells one's own object from another's.

use std::fs::File;
use std::hash::Hasher;
use std::io::Read;
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// Size and checksum of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its size.
    pub bytes: u64,
    /// `xxh3:` and 16 hexadecimal digits.
    pub checksum: String,
}

/// A stamp of bytes that come one after the other.
#[derive(Default)]
pub(super) struct Stamping {
    hash: Xxh3,
    bytes: u64,
}

impl Stamping {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp { bytes: self.bytes, checksum: format!("xxh3:{:016x}", self.hash.finish()) }
    }
}

impl Stamp {
    /// The stamp of a file.
    ///
    /// # Errors
    /// It can not be read.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let (mut stamping, mut buffer) = (Stamping::default(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(stamping.stamp()),
                read => stamping.add(&buffer[..read]),
            }
        }
    }
}
