//! Tests of what a message carries.

use super::*;
use crate::log::{Content as Came, Entry, Item};
use proptest::prelude::*;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};

const SHARD: Shard = Shard { slice: 0, partition: 7 };

fn numbered(line: &str) -> Numbered {
    let Ok(Frame::Event(event)) = decode(&line.to_owned().into()) else { panic!("no event: {line}") };
    let item = Arc::new(Item {
        content: Came::Event(event),
        host: "h".into(),
        marks: Vec::new(),
        trace: None,
        rejoined: false,
    });
    Numbered { entry: Entry::new(1 << 41, SHARD, item), number: 9 }
}

fn commit(did: &str, collection: &str, record: &str) -> Numbered {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    numbered(&format!(
        r#"{{"did":{},"time_us":-5,"kind":"commit","commit":{{"rev":"r","operation":"create","collection":{},"rkey":"k","record":{record},"cid":"c"}}}}"#,
        text(did),
        text(collection)
    ))
}

fn message(numbered: &Numbered, max_payload: usize) -> Outgoing {
    let encoder = Encoder { prefix: "tpe.n.p.posts.7", slice: "posts", max_payload };
    encoder.message(numbered, numbered.entry.item.event().unwrap())
}

/// The document, decompressed where a header says so.
fn document(message: &Outgoing) -> String {
    match message.headers.get(ENCODING).map(async_nats::HeaderValue::as_str) {
        Some("zstd") => {
            let mut text = String::new();
            zstd::Decoder::new(&message.payload[..]).unwrap().read_to_string(&mut text).unwrap();
            text
        }
        None => String::from_utf8(message.payload.to_vec()).unwrap(),
        Some(other) => panic!("{other}"),
    }
}

#[test]
fn a_commit_and_an_event_of_a_repository_look_like_the_page_says() {
    let create = message(&commit("did:plc:a", "a.b.c", r#"{"x": 1.0e2, "x":2,"\u0000":"\ud800"}"#), 1 << 20);
    assert_eq!(&*create.subject, "tpe.n.p.posts.7.a.b.c");
    assert_eq!(
        document(&create),
        r#"{"v":1,"did":"did:plc:a","kind":"commit","seq":2199023255552,"time_us":-5,"slice":"posts","partition":7,"operation":"create","collection":"a.b.c","rkey":"k","rev":"r","cid":"c","hydration":"none","record":{"x": 1.0e2, "x":2,"\u0000":"\ud800"}}"#
    );
    let headers = |name: &str| create.headers.get(name).map(ToString::to_string);
    assert_eq!((headers(SEQ), headers(NUMBER)), (Some("2199023255552".into()), Some("9".into())));
    assert_eq!((headers(ENCODING), headers(OMITTED)), (None, None));
    let line =
        r#"{"did":"did:plc:a","time_us":1,"kind":"account","account":{"active":false,"status":"deleted","time":"t"}}"#;
    let account = message(&numbered(line), 1 << 20);
    assert_eq!(&*account.subject, "tpe.n.p.posts.7.account");
    assert_eq!(
        document(&account),
        format!(
            r#"{{"v":1,"did":"did:plc:a","kind":"account","seq":2199023255552,"time_us":1,"slice":"posts","partition":7,"hydration":"none","event":{line}}}"#
        )
    );
    let delete = r#"{"did":"d","time_us":1,"kind":"commit","commit":{"rev":"r","operation":"delete","collection":"a.b.c","rkey":"k"}}"#;
    assert!(document(&message(&numbered(delete), 1 << 20)).ends_with(r#""rev":"r","hydration":"none"}"#));
}

#[test]
fn what_the_server_does_not_take_is_compressed_and_then_goes_without_its_content() {
    let record = |text: String| format!(r#"{{"text":"{text}"}}"#);
    let limit = 16 << 10;
    let small = message(&commit("did:plc:a", "a.b.c", &record("x".repeat(100_000))), limit);
    assert_eq!(small.headers.get(ENCODING).unwrap().as_str(), "zstd");
    assert!(small.headers.get(OMITTED).is_none() && document(&small).contains(&"x".repeat(100_000)));
    // Not to be made smaller: text without any repetition.
    let mut dice = 1u64;
    let mut noise = |length: usize| -> String {
        (0..length)
            .map(|_| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'0' + (dice >> 33) as u8 % 64).to_string().replace('\\', "a")
            })
            .collect()
    };
    let large = message(&commit("did:plc:a", "a.b.c", &record(noise(100_000))), limit);
    let found: Value = serde_json::from_str(&document(&large)).unwrap();
    assert_eq!(large.headers.get(OMITTED).unwrap().as_str(), "content");
    assert_eq!((found["rkey"].as_str(), found.get("record"), found.get("cid")), (Some("k"), None, None));
    // Names that are as long as they may be, and can not be made smaller.
    let odd: String = (0..680).map(|n| char::from_u32(0x3400 + (n * 7919) % 27_000).unwrap()).collect();
    let bare = message(&commit(&odd, &odd, &record(noise(100_000))), HEADERS + 300);
    let found: Value = serde_json::from_str(&document(&bare)).unwrap();
    assert_eq!(bare.headers.get(OMITTED).unwrap().as_str(), "all");
    assert_eq!((found["seq"].as_u64(), found.get("did")), (Some(1 << 41), None));
}

proptest! {
    #[test]
    fn whatever_the_names_are_the_document_is_json_and_the_subject_is_one(
        did in ".{1,100}", collection in ".{1,100}", text in ".{0,100}", spaces in "[ \n\t]{0,4}",
    ) {
        let record = format!("{spaces}{{{spaces}\"text\":{}}}", serde_json::to_string(&text).unwrap());
        let sent = commit(&did, &collection, &record);
        let message = message(&sent, 1 << 20);
        let found: Value = serde_json::from_str(&document(&message)).unwrap();
        prop_assert_eq!(found["did"].as_str(), Some(&*did));
        prop_assert_eq!(found["collection"].as_str(), Some(&*collection));
        prop_assert_eq!(found["record"]["text"].as_str(), Some(&*text));
        let valid = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        prop_assert!(message.subject.split('.').all(valid), "{}", message.subject);
    }
}
