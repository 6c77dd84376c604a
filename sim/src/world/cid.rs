//! Content identifiers: CIDv1 as text, of records and of blobs.
//!
//! They have the form of the network's (base32 of version, codec, sha2-256 tag and 32 bytes), but the 32 bytes are
//! another hash of the same content: still a function of it alone, and much cheaper.

use xxhash_rust::xxh3::xxh3_128_with_seed;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const DAG_CBOR: u8 = 0x71;
const RAW: u8 = 0x55;

/// The CID of a record's JSON: `bafyrei…`, 59 characters.
pub(crate) fn of_record(json: &str) -> String {
    text(DAG_CBOR, json.as_bytes())
}

/// The CID of a blob that is known by a number only: `bafkrei…`, 59 characters.
pub(crate) fn of_blob(number: u64) -> String {
    text(RAW, &number.to_le_bytes())
}

fn text(codec: u8, content: &[u8]) -> String {
    let mut bytes = [0; 36];
    bytes[..4].copy_from_slice(&[1, codec, 0x12, 0x20]);
    bytes[4..20].copy_from_slice(&xxh3_128_with_seed(content, 1).to_be_bytes());
    bytes[20..].copy_from_slice(&xxh3_128_with_seed(content, 2).to_be_bytes());
    let mut out = String::with_capacity(59);
    out.push('b');
    base32(&bytes, &mut out);
    out
}

/// RFC 4648 base32 in small letters without padding, as DIDs and CIDs use it.
pub(crate) fn base32(bytes: &[u8], out: &mut String) {
    let (mut buffer, mut held) = (0u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[(buffer >> held & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[(buffer << (5 - held) & 31) as usize]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cids_look_like_cids_and_follow_their_content() {
        let cid = of_record(r#"{"a":1}"#);
        assert!(cid.starts_with("bafyrei") && cid.len() == 59, "{cid}");
        assert_eq!(cid, of_record(r#"{"a":1}"#));
        assert_ne!(cid, of_record(r#"{"a":2}"#));
        assert!(of_blob(7).starts_with("bafkrei"));
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        let mut out = String::new();
        base32(b"foobar", &mut out);
        assert_eq!(out, "mzxw6ytboi");
    }
}
