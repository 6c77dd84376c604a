use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write as _;

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn event_of(text: impl Into<String>) -> Event {
    match decode(&bytes(text)).unwrap() {
        Frame::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn shared(file: &str) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/jetstream/");
    let text = std::fs::read_to_string(format!("{path}{file}")).ok();
    if text.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: {path}{file} is not there");
    }
    text
}

#[test]
fn every_captured_event_is_read_with_its_record_as_it_came() {
    for file in ["captured_v1.jsonl", "golden_v1.jsonl"] {
        let Some(text) = shared(file) else { return };
        for line in text.lines() {
            let event = event_of(line);
            let full: Value = serde_json::from_str(line).unwrap();
            assert_eq!(&*event.key, full["did"]);
            assert_eq!(event.time_us, full["time_us"]);
            assert_eq!(event.kind().as_str(), full["kind"]);
            let Body::Commit(commit) = &event.body else { continue };
            assert_eq!(commit.operation.as_str(), full["commit"]["operation"]);
            assert_eq!(&*commit.rkey, full["commit"]["rkey"]);
            assert_eq!(commit.cid.as_deref(), full["commit"]["cid"].as_str());
            let record = commit.record.as_ref().map(|r| std::str::from_utf8(r).unwrap());
            assert!(record.is_none_or(|r| line.contains(&format!("\"record\":{r}"))), "{line}");
            assert_eq!(record.is_some(), full["commit"].get("record").is_some());
        }
    }
}

#[test]
fn v2_messages_of_every_kind() {
    let wrap = |payload: Value| json!({"$type": "message", "payload": payload}).to_string();
    let ns = "network.bsky.jetstream.subscribeEvents";
    let head = |kind: &str| json!({"$type": format!("{ns}#{kind}"), "did": "did:plc:a", "seq": 7, "time": "2026-08-11T12:49:00.398794Z"});
    let with = |kind: &str, more: Value| {
        let mut payload = head(kind);
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wrap(payload)
    };
    let event =
        event_of(with("commit", json!({"operation": "delete", "collection": "a.b.c", "rkey": "k", "rev": "r"})));
    assert_eq!((event.cursor, event.time_us), (Some(7), 1_786_452_540_398_794));
    assert!(matches!(&event.body, Body::Commit(c) if c.record.is_none() && c.cid.is_none()));
    let upstream = json!({"did": "did:plc:a", "seq": 9, "time": "T", "rev": "r5", "blocks": {"$bytes": ""}});
    let event = event_of(with("sync", json!({ "sync": upstream })));
    assert_eq!(event.body, Body::Sync { rev: "r5".into(), time: "T".into() });
    let own = json!({"did": "did:plc:a", "seq": 0, "time": "", "rev": "r5"});
    assert_eq!(event_of(with("sync", json!({ "sync": own }))).body, Body::Sync { rev: "r5".into(), time: "".into() });
    let gone = json!({"active": false, "status": "deleted", "seq": 9, "time": "T"});
    let body = event_of(with("account", json!({ "account": gone }))).body;
    assert_eq!(body, Body::Account { active: false, status: Some("deleted".into()), time: "T".into() });
    let body = event_of(with("identity", json!({"identity": {"seq": 9, "time": "T"}}))).body;
    assert_eq!(body, Body::Identity { handle: None, time: "T".into() });
    let info = decode(&bytes(wrap(json!({"$type": format!("{ns}#info"), "name": "OutdatedCursor", "message": "m"}))));
    assert_eq!(info.unwrap(), Frame::Info("OutdatedCursor".into(), "m".into()));
    let error = decode(&bytes(r#"{"$type":"error","error":"ConsumerTooSlow","message":"m"}"#));
    assert_eq!(error.unwrap(), Frame::Error("ConsumerTooSlow".into(), "m".into()));
    assert_eq!(decode(&bytes(with("new", json!({})))).unwrap(), Frame::Unknown(format!("{ns}#new")));
}

#[test]
fn what_is_no_event_says_why() {
    let commit = |part: &str| format!(r#"{{"did":"d","time_us":1,"kind":"commit","commit":{{{part}}}}}"#);
    for (text, why) in [
        (String::new(), "not a Jetstream message: EOF while parsing a value at column 0"),
        ("[]".into(), "not a Jetstream message: invalid type: sequence, expected an object"),
        (
            r#"{"did":"d","time_us":1,"kind":"commit","commit":["r","create","c","k",{},"x"]}"#.into(),
            "invalid type: sequence, expected an object at column 48",
        ),
        (
            r#"{"did":"d","time_us":1,"kind":"identity","identity":[1,"T",null,null,null,null]}"#.into(),
            "invalid type: sequence, expected an object",
        ),
        (r#"{"$type":"message","payload":["x#sync",1]}"#.into(), "invalid type: sequence, expected an object"),
        ("{}".into(), "the field did is missing or empty"),
        (r#"{"did":"","time_us":1,"kind":"commit"}"#.into(), "the field did is missing or empty"),
        (r#"{"did":"a","did":"b"}"#.into(), "duplicate field"),
        (r#"{"did":"\ud800"}"#.into(), "not a Jetstream message"),
        (r#"{"did":"d","time_us":"1"}"#.into(), "invalid type: string"),
        (
            r#"{"did":"d","time_us":1,"kind":"account","account":{}}"#.into(),
            "the field account.active is missing or empty",
        ),
        (
            commit(r#""operation":"create","collection":"c","rkey":"k","rev":"r""#),
            "the field record is missing or empty",
        ),
        (
            commit(r#""operation":"create","collection":"c","rkey":"k","rev":"r","record":null"#),
            "the field record is missing or empty",
        ),
        (
            commit(r#""operation":"erase","collection":"c","rkey":"k","rev":"r""#),
            r#"the field operation has the value "erase""#,
        ),
        (
            r#"{"$type":"message","payload":{"$type":"x#commit","seq":1}}"#.into(),
            "the field operation is missing or empty",
        ),
    ] {
        let error = decode(&bytes(text.clone())).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(decode(&Bytes::from_static(b"\xff")).is_err());
    let kind = r#"{"did":"d","time_us":1,"kind":"label"}"#;
    assert_eq!(decode(&bytes(kind)).unwrap(), Frame::Unknown("label".into()));
}

#[test]
fn a_record_passes_as_it_is_however_odd() {
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for record in ["{\"a\":1,\"a\":2}", r#"{"t":"\ud800"}"#, r#"{"t":"\u0000"}"#, "1e999", "{ \"a\" : [ ] }", &deep] {
        let event = event_of(format!(
            r#"{{"did":"d","time_us":1,"kind":"commit","commit":{{"rev":"r","operation":"create","collection":"c","rkey":"k","record":{record},"cid":"x"}}}}"#
        ));
        let Body::Commit(commit) = event.body else { panic!() };
        assert_eq!(commit.record.unwrap(), record);
    }
}

/// JSON text of a string, with each character escaped or not as `choice` says.
fn escaped(text: &str, choice: u64) -> String {
    let mut out = String::from("\"");
    for (at, letter) in text.chars().enumerate() {
        if choice >> (at % 64) & 1 == 1 {
            let mut units = [0; 2];
            out.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            let quoted = serde_json::to_string(&letter).unwrap();
            out += &quoted[1..quoted.len() - 1];
        }
    }
    out + "\""
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_borrowed_envelope_equals_a_full_parse(
        fields in prop::collection::vec(".+", 6), choice: u64, record in arbitrary_json(), time_us: i64, v2: bool,
    ) {
        let text: Vec<String> = fields.iter().map(|field| escaped(field, choice)).collect();
        let inner = format!(
            r#""rev":{},"operation":"update","collection":{},"rkey":{},"record":{record},"cid":{}"#,
            text[1], text[2], text[3], text[4]
        );
        let frame = if v2 {
            format!(r##"{{"$type":"message","payload":{{"$type":"#commit","did":{},{inner},"more":{record},"seq":3,"time":"2026-01-01T00:00:00Z"}}}}"##, text[0])
        } else {
            format!(r#"{{"did":{},"time_us":{time_us},"more":{},"kind":"commit","commit":{{{inner}}}}}"#, text[0], text[5])
        };
        serde_json::from_str::<Value>(&frame).unwrap();
        let event = event_of(frame);
        prop_assert_eq!(&*event.key, &*fields[0]);
        if !v2 { prop_assert_eq!(event.time_us, time_us); }
        let Body::Commit(commit) = &event.body else { panic!() };
        prop_assert_eq!(&*commit.rev, &*fields[1]);
        prop_assert_eq!(&*commit.collection, &*fields[2]);
        prop_assert_eq!(&*commit.rkey, &*fields[3]);
        prop_assert_eq!(commit.cid.as_deref(), Some(&*fields[4]));
        prop_assert_eq!(commit.record.as_ref().unwrap(), &record.to_string());
    }

    #[test]
    fn arbitrary_bytes_never_panic(input: Vec<u8>) {
        let _ = decode(&Bytes::from(input));
    }

    #[test]
    fn a_cut_message_is_an_error(at in 0usize..200) {
        let whole = r#"{"did":"d","time_us":1,"kind":"commit","commit":{"rev":"r","operation":"create","collection":"c","rkey":"k","record":{"a":[1,2,{}]},"cid":"x"}}"#;
        prop_assume!(at < whole.len());
        prop_assert!(decode(&bytes(&whole[..at])).is_err());
    }
}

#[test]
fn names_that_are_too_long_to_be_keys_are_refused() {
    for (did, rkey, field) in [(2048, 10, None), (2049, 10, Some("did")), (10, 2049, Some("rkey"))] {
        let (did, rkey) = ("d".repeat(did), "k".repeat(rkey));
        let line = format!(
            r#"{{"did":"{did}","time_us":1,"kind":"commit","commit":{{"rev":"r","operation":"delete","collection":"a.b.c","rkey":"{rkey}"}}}}"#
        );
        match (decode(&line.into()), field) {
            (Ok(Frame::Event(_)), None) => {}
            (Err(Error::Long(which, 2049)), Some(field)) => assert_eq!(which, field),
            (other, _) => panic!("{other:?}"),
        }
    }
}
