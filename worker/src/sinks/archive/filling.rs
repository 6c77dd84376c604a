//! Fills an object with events, whatever portions they come in.

use super::chunk::Waited;
use super::object::{ArchiveRow, Error, Format, Object};
use std::fs::File;
use turbo_core::hydrated::Hydrated;

/// Rows handed to the object at once, or so many bytes of events.
const ROWS: usize = 1024;
const BYTES: usize = 8 << 20;

/// An object of one segment, while it is filled.
pub(super) struct Filling<'a> {
    object: Object,
    slice: &'a str,
    partition: u16,
    pending: Vec<Waited>,
    bytes: usize,
    rows: u64,
}

impl<'a> Filling<'a> {
    pub(super) fn begin(format: Format, file: File, slice: &'a str, partition: u16) -> Result<Self, Error> {
        Ok(Self { object: Object::begin(format, file)?, slice, partition, pending: Vec::new(), bytes: 0, rows: 0 })
    }

    pub(super) fn add(&mut self, events: Vec<Waited>) -> Result<(), Error> {
        for event in events {
            self.bytes += event.event.bytes.len() + Hydrated::json(event.hydrated.as_ref()).map_or(0, str::len);
            self.pending.push(event);
            if self.pending.len() >= ROWS || self.bytes >= BYTES {
                self.write()?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and gives back the file and the number of its rows.
    pub(super) fn finish(mut self) -> Result<(File, u64), Error> {
        if !self.pending.is_empty() {
            self.write()?;
        }
        Ok((self.object.finish()?, self.rows))
    }

    fn write(&mut self) -> Result<(), Error> {
        let (slice, partition) = (self.slice, self.partition);
        let rows = self.pending.iter().map(|waited| ArchiveRow { slice, partition, waited });
        self.object.write(&rows.collect::<Vec<_>>())?;
        self.rows += self.pending.len() as u64;
        self.pending.clear();
        self.bytes = 0;
        Ok(())
    }
}
