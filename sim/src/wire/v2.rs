//! The v2 wire: `xrpc.v1.json` frames whose payloads have their keys in alphabetical order after `$type`
//! (`network.bsky.jetstream.subscribeEvents`, jetstream `api/jetstream`).

use super::{Dialect, Row};
use crate::json::string;
use crate::time;
use crate::world::{Commit, What};
use std::fmt::Write;

const NSID: &str = "network.bsky.jetstream.subscribeEvents";

/// Writes an event. Writing to a string does not fail.
pub(crate) fn event(out: &mut String, row: &Row, dialect: Dialect) {
    let (did, what) = (&*row.happening.did, &row.happening.what);
    let kind = match what {
        What::Commit(_) => "commit",
        What::Identity { .. } => "identity",
        What::Account { .. } => "account",
        What::Sync { .. } => "sync",
    };
    let _ = write!(out, r#"{{"$type":"message","payload":{{"$type":"{NSID}#{kind}","#);
    let (seq, time) = (row.seq, time::micros(row.time_us));
    match what {
        What::Commit(change) => {
            commit(out, did, change);
            let _ = write!(out, r#","rev":"{}","rkey":"{}","seq":{seq}"#, change.rev, change.rkey);
        }
        What::Identity { handle, upstream } => {
            let _ = write!(out, r#""did":"{did}","identity":{{"did":"{did}""#);
            if let Some(handle) = handle {
                out.push_str(r#","handle":"#);
                string(out, handle);
            }
            let _ = write!(out, r#","seq":{},"time":"{}"}},"seq":{seq}"#, upstream.seq, upstream.time);
        }
        What::Account { active, status, upstream } => {
            let _ = write!(out, r#""account":{{"active":{active},"did":"{did}","seq":{}"#, upstream.seq);
            if let Some(status) = status {
                out.push_str(r#","status":"#);
                string(out, status);
            }
            let _ = write!(out, r#","time":"{}"}},"did":"{did}","seq":{seq}"#, upstream.time);
        }
        What::Sync { rev, blocks, upstream } => {
            let _ = write!(out, r#""did":"{did}","seq":{seq},"sync":{{"blocks":{{"$bytes":""#);
            base64(out, blocks);
            let inner = upstream.seq;
            let _ = write!(out, r#""}},"did":"{did}","rev":"{rev}","seq":{inner},"time":"{}"}}"#, upstream.time);
        }
    }
    let _ = write!(out, r#","time":"{time}""#);
    if dialect.witnessed_at {
        let _ = write!(out, r#","witnessedAt":"{time}""#);
    }
    out.push_str("}}");
}

fn commit(out: &mut String, did: &str, commit: &Commit) {
    if let Some(record) = &commit.record {
        let _ = write!(out, r#""cid":"{}","#, record.cid);
    }
    let operation = commit.operation.as_str();
    let _ = write!(out, r#""collection":"{}","did":"{did}","operation":"{operation}""#, commit.collection);
    if let Some(record) = &commit.record {
        let _ = write!(out, r#","record":{}"#, record.json);
    }
}

/// An `#info` frame: no sequence, no time.
pub(crate) fn info(name: &str, message: &str) -> String {
    format!(
        r#"{{"$type":"message","payload":{{"$type":"{NSID}#info","message":{},"name":"{name}"}}}}"#,
        crate::json::quoted(message)
    )
}

/// An error frame, the last one of its connection.
pub(crate) fn error(name: &str, message: &str) -> String {
    format!(r#"{{"$type":"error","error":"{name}","message":{}}}"#, crate::json::quoted(message))
}

/// A message of a type that no lexicon names, of about `bytes` bytes.
pub(crate) fn padding(bytes: usize) -> String {
    format!(r##"{{"$type":"message","payload":{{"$type":"{NSID}#padding","pad":"{}"}}}}"##, "a".repeat(bytes))
}

/// RFC 4648 base64 without padding, as the data model writes bytes.
fn base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let group = three.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for letter in 0..=three.len() {
            out.push(char::from(ALPHABET[(group >> (18 - 6 * letter) & 63) as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let encoded = |bytes: &[u8]| {
            let mut out = String::new();
            base64(&mut out, bytes);
            out
        };
        assert_eq!(
            [encoded(b"foobar"), encoded(b"fooba"), encoded(b"foob"), encoded(&[1, 2, 3])].join(" "),
            "Zm9vYmFy Zm9vYmE Zm9vYg AQID"
        );
    }
}
