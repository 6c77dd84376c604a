use super::*;
use proptest::prelude::*;

fn event(text: &str) -> Content {
    let line = serde_json::json!({"did": "did:plc:a", "time_us": 7, "kind": "commit", "commit": {"rev": "3mptbypluud2a",
        "operation": "create", "collection": "a.b.c", "rkey": "k", "record": {"text": text}, "cid": "c"}});
    match decode(&Bytes::from(line.to_string())) {
        Ok(Frame::Event(event)) => Content::Event(event),
        other => panic!("{other:?}"),
    }
}

fn item(mut content: Content, cursor: Option<u64>) -> Item {
    if let Content::Event(event) = &mut content {
        event.cursor = cursor;
    }
    let marks = vec![Mark { id: EventId(9), key: 1, rev: 2, time_us: 3 }];
    Item { content, host: "a:1".into(), marks, trace: None, rejoined: false }
}

proptest! {
    #[test]
    fn an_event_comes_back_byte_for_byte(text in ".{0,3000}", cursor: Option<u64>, limit in 5000usize..8000, number: u64, rejoined: bool) {
        let mut encoder = Encoder { max_payload: limit, position: None, rejoined: false };
        let sent = Item { rejoined, ..item(event(&text), cursor) };
        let (headers, payload) = encoder.item(&sent, number);
        prop_assert!(payload.len() <= limit - HEADERS);
        let message = read(5, Some(&headers), payload).unwrap();
        let came = message.item.unwrap();
        prop_assert_eq!((message.number, &came.marks, &came.host), (number, &sent.marks, &sent.host));
        prop_assert_eq!(&message.position, &encoder.position);
        prop_assert_eq!((came.rejoined, self::rejoined(&headers), self::rejoined(&encoder.marker())), (rejoined, rejoined, rejoined));
        match came.content {
            Content::Event(event) => prop_assert_eq!(&*event, sent.event().unwrap()),
            Content::Gap(_) | Content::Covered(_) => prop_assert!(false),
            Content::Unreadable { reason, bytes } => {
                prop_assert!(bytes.is_empty() && reason.contains("raise max_payload"), "{}", reason);
            }
        }
    }

    #[test]
    fn what_is_no_event_keeps_the_position(bytes: Vec<u8>, reason in ".{0,50}", first: bool) {
        let position = first.then(|| SourcePosition { host: "h".into(), cursor: None, time_us: -1, id: EventId(3) });
        let mut encoder = Encoder { max_payload: 1 << 20, position: position.clone(), rejoined: false };
        let (headers, payload) = encoder.item(&item(Content::Unreadable { bytes: bytes.clone().into(), reason }, None), 1);
        let message = read(5, Some(&headers), payload).unwrap();
        prop_assert_eq!(message.position, position);
        let Some(Content::Unreadable { bytes: came, .. }) = message.item.map(|item| item.content) else { panic!() };
        prop_assert_eq!(came, bytes);
    }
}

proptest! {
    /// Whatever stands in our headers, and in the payload: it is read or refused.
    #[test]
    fn no_message_panics(values in prop::collection::vec((0..7usize, "[0-9|,:a-z ]{0,40}"), 0..8), payload: Vec<u8>, seq: u64) {
        let names = [SOURCE, AT, NUMBER, MARK, REASON, GAP, ENCODING];
        let mut headers = HeaderMap::new();
        for (name, value) in &values {
            headers.append(names[*name], value.as_str());
        }
        let _ = marks(seq, Some(&headers));
        if let Ok(message) = read_for_shard(seq, Some(&headers), payload.clone().into()) {
            prop_assert_eq!(message.seq, seq);
        }
        headers.insert(ENCODING, "zstd");
        let _ = read(seq, Some(&headers), payload.into());
    }
}

#[test]
fn a_gap_comes_back_as_it_was() {
    for to_us in [None, Some(-3)] {
        let gap = Gap { host: "h:1".into(), from_us: -5, to_us, reason: "an outage".into() };
        let mut encoder = Encoder { max_payload: 1 << 20, position: None, rejoined: false };
        let (headers, payload) = encoder.item(&item(Content::Gap(gap.clone()), None), 2);
        let message = read(5, Some(&headers), payload).unwrap();
        let Some(Content::Gap(came)) = message.item.map(|item| item.content) else { panic!() };
        assert_eq!((came, message.number), (gap, 2));
    }
}

#[test]
fn a_marker_carries_the_position_and_no_item() {
    let position = SourcePosition { host: "a:1".into(), cursor: Some(4), time_us: 5, id: EventId(u128::MAX) };
    let encoder = Encoder { max_payload: 1 << 20, position: Some(position.clone()), rejoined: false };
    let message = read(1, Some(&encoder.marker()), Bytes::new()).unwrap();
    assert_eq!((message.position, message.item.is_none(), message.number), (Some(position), true, 0));
}

#[test]
fn a_broken_payload_is_a_dead_letter_of_its_shard() {
    let mut encoder = Encoder { max_payload: 1 << 20, position: None, rejoined: false };
    let (headers, _) = encoder.item(&item(event("x"), Some(1)), 8);
    assert!(read(3, Some(&headers), Bytes::from_static(b"{")).is_err(), "a position can not be had from it");
    let message = read_for_shard(3, Some(&headers), Bytes::from_static(b"{")).unwrap();
    let Some(Content::Unreadable { bytes, reason }) = message.item.map(|item| item.content) else { panic!() };
    assert_eq!((message.number, &bytes[..]), (8, &b"{"[..]));
    assert!(reason.starts_with("message 3 of the log: not a Jetstream message"), "{reason}");
    assert!(read_for_shard(3, None, Bytes::new()).is_err());
}

#[test]
fn what_is_not_ours_is_refused() {
    assert!(read(1, None, Bytes::new()).is_err());
    let mut headers = HeaderMap::new();
    headers.insert(NUMBER, "x");
    assert_eq!(
        read(3, Some(&headers), Bytes::new()).unwrap_err().to_string(),
        "message 3 of the log: Turbo-N is no number; if another program sent it, remove it (nats stream rmm)"
    );
}

#[test]
fn the_longest_reason_leaves_room_for_the_other_headers() {
    for character in ["a", "é", "\u{20ac}", "\u{1f980}"] {
        let reason = character.repeat(3000);
        let mut encoder = Encoder { max_payload: 1 << 20, position: None, rejoined: false };
        let content = Content::Unreadable { bytes: Bytes::new(), reason };
        let (headers, _) = encoder.item(&item(content, None), u64::MAX);
        let bytes: usize = headers
            .iter()
            .flat_map(|(name, values)| {
                values.iter().map(move |value| name.to_string().len() + value.as_str().len() + 4)
            })
            .sum();
        assert!(bytes < HEADERS / 2, "{bytes} bytes");
        assert!(headers.get(REASON).unwrap().as_str().len() > MAX_REASON - 4);
    }
}
