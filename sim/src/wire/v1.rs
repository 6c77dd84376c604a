//! The v1 wire: the field order is that of the server's Go structs (jetstream README §5.1, `pkg/models`).

use super::{Dialect, Row};
use crate::json::string;
use crate::world::{Commit, Upstream, What};
use std::fmt::Write;

/// Writes an event to an empty string; nothing where v1 does not tell it. Writing to a string does not fail.
pub(crate) fn event(out: &mut String, row: &Row, dialect: Dialect) {
    let happening = &row.happening;
    if happening.v2_only() {
        return;
    }
    if let Some(verbatim) = &happening.verbatim {
        out.push_str(verbatim);
        return;
    }
    let _ = write!(out, r#"{{"did":"{}","time_us":{},"#, happening.did, row.time_us);
    if dialect.v1_cursor {
        let _ = write!(out, r#""cursor":{},"#, row.seq);
    }
    match &happening.what {
        What::Commit(change) => commit(out, change),
        What::Identity { handle, upstream } => {
            let _ = write!(out, r#""kind":"identity","identity":{{"did":"{}""#, happening.did);
            optional(out, "handle", handle.as_deref());
            origin(out, upstream);
        }
        What::Account { active, status, upstream } => {
            let head = r#""kind":"account","account":{"active":"#;
            let _ = write!(out, r#"{head}{active},"did":"{}","seq":{}"#, happening.did, upstream.seq);
            optional(out, "status", status.as_deref());
            let _ = write!(out, r#","time":"{}"}}}}"#, upstream.time);
        }
        // v1 has no sync (jetstream `internal/subscribe`).
        What::Sync { .. } => out.clear(),
    }
}

fn commit(out: &mut String, commit: &Commit) {
    let operation = commit.operation.as_str();
    let _ = write!(out, r#""kind":"commit","commit":{{"rev":"{}","operation":"{operation}""#, commit.rev);
    let _ = write!(out, r#","collection":"{}","rkey":"{}""#, commit.collection, commit.rkey);
    if let Some(record) = &commit.record {
        let _ = write!(out, r#","record":{},"cid":"{}""#, record.json, record.cid);
    }
    out.push_str("}}");
}

fn optional(out: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(out, r#","{key}":"#);
        string(out, value);
    }
}

fn origin(out: &mut String, upstream: &Upstream) {
    let _ = write!(out, r#","seq":{},"time":"{}"}}}}"#, upstream.seq, upstream.time);
}
