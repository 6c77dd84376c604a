//! A recording: v1 events as JSON lines, plain or compressed with zstd.
//!
//! Its lines are served on v1 byte for byte, and told anew on v2. Times may go back by a little from line to line, as
//! those of the old server do; an event counts as seen when the latest time before it says.

use crate::world::{Commit, Happening, Operation, Record, Upstream, What};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first bytes of a zstd frame (RFC 8878 §3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The events of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    happenings: Vec<Happening>,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line that is no v1 event.
    #[error("line {number} is no v1 event: {why}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// Why.
        why: String,
    },
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line of it is no v1 event.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = |error| RecordingError::File { path: path.into(), error };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let compressed = file.fill_buf().map_err(failed)?.starts_with(&ZSTD);
        let mut text = String::new();
        match compressed {
            true => zstd::Decoder::with_buffer(file).and_then(|mut file| file.read_to_string(&mut text)),
            false => file.read_to_string(&mut text),
        }
        .map_err(failed)?;
        Self::read(&text)
    }

    /// Reads JSON lines.
    ///
    /// # Errors
    /// Where a line is no v1 event.
    pub fn read(text: &str) -> Result<Self, RecordingError> {
        let mut happenings: Vec<Happening> = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let wrong = |why: String| RecordingError::Line { number: at + 1, why };
            let event: Event<'_> = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            let at_us = happenings.last().map_or(event.time_us, |last| last.at_us.max(event.time_us));
            let did = event.did.as_ref().into();
            let what = event.what().ok_or_else(|| wrong(String::from("it has not what its kind should have")))?;
            let (index, verbatim) = (happenings.len() as u64, Some(line.into()));
            happenings.push(Happening { index, at_us, did, what, verbatim });
        }
        Ok(Self { happenings })
    }

    /// Its events in order.
    #[must_use]
    pub fn happenings(&self) -> &[Happening] {
        &self.happenings
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    did: Cow<'a, str>,
    time_us: i64,
    #[serde(borrow)]
    commit: Option<Change<'a>>,
    identity: Option<Identity>,
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Change<'a> {
    rev: Box<str>,
    operation: String,
    collection: String,
    rkey: Box<str>,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    cid: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Identity {
    handle: Option<Box<str>>,
    seq: i64,
    time: Box<str>,
}

#[derive(Deserialize)]
struct Account {
    active: bool,
    status: Option<Box<str>>,
    seq: i64,
    time: Box<str>,
}

impl Event<'_> {
    fn what(self) -> Option<What> {
        if let Some(Identity { handle, seq, time }) = self.identity {
            return Some(What::Identity { handle, upstream: Upstream { seq, time } });
        }
        if let Some(Account { active, status, seq, time }) = self.account {
            return Some(What::Account { active, status, upstream: Upstream { seq, time } });
        }
        let change = self.commit?;
        let operation = match change.operation.as_str() {
            "create" => Operation::Create,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let record = change.record.map(|json| {
            let cid = change.cid.unwrap_or_default();
            Arc::new(Record { json: json.get().into(), cid })
        });
        let (rev, collection, rkey) = (change.rev, change.collection.into(), change.rkey);
        Some(What::Commit(Commit { rev, operation, collection, rkey, record, resync: false }))
    }
}
