use super::*;
use crate::wire::{Frame, decode};
use bytes::Bytes;

fn id(kind: &str, content: &str) -> EventId {
    let line = format!(r#"{{"did":"did:plc:a","time_us":1,"kind":"{kind}","{kind}":{{"time":"T",{content}}}}}"#);
    match decode(&Bytes::from(line)) {
        Ok(Frame::Event(event)) => EventId::of(&event),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_changes_of_one_time_are_two_and_their_sequences_do_not_count() {
    let accounts = [
        r#""active":true"#,
        r#""active":false"#,
        r#""active":false,"status":"""#,
        r#""active":false,"status":"deleted""#,
    ];
    let identities = [r#""seq":1"#, r#""handle":"""#, r#""handle":"a.example""#, r#""handle":"b.example""#];
    for (kind, contents) in [("account", accounts), ("identity", identities)] {
        let ids: std::collections::BTreeSet<_> = contents.iter().map(|content| id(kind, content)).collect();
        assert_eq!(ids.len(), contents.len(), "{kind}");
    }
    assert_eq!(id("account", r#""active":true,"seq":1"#), id("account", r#""seq":2,"active":true"#));
}
