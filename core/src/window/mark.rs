//! What is stored of the dedup window.

use crate::id::EventId;

/// The size of a stored [`Mark`].
pub(super) const LEN: usize = 40;

/// What the window remembers of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event's id, salted where a sync was before it.
    pub id: EventId,
    /// Hash of the event's key.
    pub key: u64,
    /// The bits of a commit's revision (a TID), [`Mark::SYNC`] for a sync, zero for other kinds.
    pub rev: u64,
    /// Window time in microseconds.
    pub time_us: i64,
}

impl Mark {
    /// Stands in place of a revision for a sync; no TID has these bits.
    pub const SYNC: u64 = u64::MAX;

    /// Key and revision; what has no revision is one of its own.
    pub(super) fn revision(&self) -> (u64, u64) {
        (self.key, if self.rev == 0 { self.id.0 as u64 } else { self.rev })
    }

    /// Appends the mark's 40 bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.id.0.to_le_bytes());
        to.extend_from_slice(&self.key.to_le_bytes());
        to.extend_from_slice(&self.rev.to_le_bytes());
        to.extend_from_slice(&self.time_us.to_le_bytes());
    }

    /// Reads marks back, `None` where the length is not a whole number of marks.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Vec<Self>> {
        let (marks, rest) = bytes.as_chunks::<LEN>();
        rest.is_empty().then(|| marks.iter().map(Self::of_bytes).collect())
    }

    fn of_bytes(bytes: &[u8; LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            id: EventId(u128::from(word(0)) | u128::from(word(8)) << 64),
            key: word(16),
            rev: word(24),
            time_us: word(32) as i64,
        }
    }
}
