//! The truth as JSON lines: for each version one line per record, account and event, and a summary at the end.

use super::{AccountState, EventId, RecordState, Truth, Unknowable, View};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Record {
        version: &'a str,
        did: &'a str,
        collection: &'a str,
        rkey: &'a str,
        rev: &'a str,
        cid: &'a str,
        /// A string, not a value: some records are JSON that many readers refuse.
        record: &'a str,
    },
    Account {
        version: &'a str,
        did: &'a str,
        #[serde(flatten)]
        state: &'a AccountState,
    },
    Event {
        version: &'a str,
        did: &'a str,
        number: usize,
        #[serde(flatten)]
        id: &'a EventId,
    },
    Summary {
        happenings: u64,
        v1_events: u64,
        v2_events: u64,
        unknowable: Unknowable,
    },
}

impl Truth {
    /// Writes all of it.
    ///
    /// # Errors
    /// Where the output fails.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.v2.write("v2", out)?;
        self.v1.write("v1", out)?;
        let (v1_events, v2_events) = (self.v1.events, self.v2.events);
        let unknowable = self.unknowable();
        line(out, &Line::Summary { happenings: self.happenings, v1_events, v2_events, unknowable })
    }
}

impl View {
    fn write(&self, version: &str, out: &mut impl Write) -> io::Result<()> {
        for (did, record) in self.records() {
            let RecordState { collection, rkey, rev, cid, json } = record;
            line(out, &Line::Record { version, did, collection, rkey, rev, cid, record: json })?;
        }
        for (did, repo) in &self.repos {
            line(out, &Line::Account { version, did, state: &repo.account })?;
            for (number, id) in repo.events.iter().enumerate() {
                line(out, &Line::Event { version, did, number, id })?;
            }
        }
        Ok(())
    }
}

fn line(out: &mut impl Write, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
