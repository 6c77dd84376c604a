use super::*;
use crate::log::Content;
use bytes::Bytes;
use turbo_core::id::EventId;
use turbo_core::position::GENERATION;
use turbo_core::wire::{Frame, decode};

fn at(host: &str, cursor: u64) -> SourcePosition {
    SourcePosition { host: host.into(), cursor: Some(cursor), time_us: 10 * cursor as i64, id: EventId(0) }
}

pub(crate) fn had(host: &str, cursor: u64) -> Option<Had> {
    Some(Had { host: host.into(), cursor, time_us: Some(10 * cursor as i64) })
}

/// An event with this cursor, of ten times that time.
pub(crate) fn event(cursor: Option<u64>) -> Event {
    let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"seq":3}}"#;
    let Ok(Frame::Event(event)) = decode(&Bytes::from_static(text.as_bytes())) else { panic!("no event") };
    Event { cursor, time_us: 10 * cursor.unwrap_or(0) as i64, ..*event }
}

/// What comes from this host.
fn of(host: &str) -> Item {
    let content = Content::Event(Box::new(event(None)));
    Item { content, host: host.into(), marks: Vec::new(), trace: None, rejoined: false }
}

#[test]
fn a_new_generation_brings_again_what_an_older_one_had() {
    let mut covered = Covered::claimed(100, had("a", 50), None);
    let has = |covered: &Covered, seq, host: &str, cursor| covered.has(seq, &of(host), &event(Some(cursor)));
    assert!(!has(&covered, 101, "a", 40), "of the same generation: it is new");
    let seq = GENERATION + 1;
    assert!(has(&covered, seq, "a", 50) && !has(&covered, seq, "a", 51));
    assert!(
        !has(&covered, seq, "b", 1) && !covered.has(seq, &of("a"), &event(None)),
        "of another host it is not known"
    );
    // It stays covered behind the first commits of the new one, also for whoever claims the shard then.
    covered.moved(GENERATION + 7, Some(&at("a", 53)));
    assert!(has(&covered, seq, "a", 50) && !has(&covered, seq, "a", 51));
    let claimed = Covered::claimed(GENERATION + 7, had("a", 53), had("a", 50));
    assert!(has(&claimed, seq, "a", 50) && !has(&claimed, seq, "a", 52));
    assert!(has(&claimed, 2 * GENERATION, "a", 53), "and the next one covers more");
}

#[test]
fn what_is_covered_alone_moves_the_generation_and_keeps_what_was_had() {
    let mut covered = Covered::claimed(100, had("a", 50), None);
    covered.moved(GENERATION + 1, None);
    let has = |seq, cursor| covered.has(seq, &of("a"), &event(Some(cursor)));
    assert!(has(GENERATION + 2, 50) && !has(GENERATION + 3, 51));
}

#[test]
fn a_host_that_numbers_anew_later_is_covered_by_nothing() {
    let covered = Covered::claimed(GENERATION + 7, had("a", 60), had("a", 50));
    let anew = |time_us| Event { time_us, ..event(Some(3)) };
    assert!(!covered.has(GENERATION + 8, &of("a"), &anew(501)), "a small cursor, of a later time");
    assert!(covered.has(GENERATION + 8, &of("a"), &anew(500)));
    let rejoined = Item { rejoined: true, ..of("a") };
    assert!(!covered.has(GENERATION + 8, &rejoined, &anew(500)), "another host has taken the name, whose clock lags");
    let unsaid = Covered::claimed(GENERATION + 7, None, Some(Had { host: "a".into(), cursor: 50, time_us: None }));
    assert!(
        unsaid.has(GENERATION + 8, &of("a"), &anew(501)),
        "of rows that do not say the time, the cursor alone counts"
    );
}
