//! The very bytes of events.

use crate::wire::{Dialect, Row, v1, v2};
use crate::world::{Commit, Happening, Operation, Record, Upstream, What};
use std::sync::Arc;

const NEW: Dialect = Dialect { v1_cursor: true, witnessed_at: false };
const OLD: Dialect = Dialect { v1_cursor: false, witnessed_at: false };

fn row(what: What) -> Row {
    let happening = Happening { index: 0, at_us: 0, did: "did:plc:a".into(), what, verbatim: None };
    Row { seq: 77, time_us: 1_700_000_000_000_000, happening: Arc::new(happening) }
}

fn told(what: What, dialect: Dialect) -> (String, String) {
    let (row, mut one, mut two) = (row(what), String::new(), String::new());
    v1::event(&mut one, &row, dialect);
    v2::event(&mut two, &row, dialect);
    (one, two)
}

fn upstream() -> Upstream {
    Upstream { seq: 99, time: "2026-05-25T00:00:00.000Z".into() }
}

fn commit(record: bool) -> What {
    let json = r#"{"$type":"app.bsky.graph.follow","subject":"did:plc:b"}"#;
    What::Commit(Commit {
        rev: "3mssnqijiys2w".into(),
        operation: if record { Operation::Create } else { Operation::Delete },
        collection: "app.bsky.graph.follow".into(),
        rkey: "3mssnqhpfzp2c".into(),
        record: record.then(|| Arc::new(Record { json: json.into(), cid: "bafyreia".into() })),
        resync: false,
    })
}

#[test]
fn commits() {
    let (one, two) = told(commit(true), NEW);
    assert_eq!(
        one,
        r#"{"did":"did:plc:a","time_us":1700000000000000,"cursor":77,"kind":"commit","commit":{"rev":"3mssnqijiys2w","operation":"create","collection":"app.bsky.graph.follow","rkey":"3mssnqhpfzp2c","record":{"$type":"app.bsky.graph.follow","subject":"did:plc:b"},"cid":"bafyreia"}}"#
    );
    assert_eq!(
        two,
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#commit","cid":"bafyreia","collection":"app.bsky.graph.follow","did":"did:plc:a","operation":"create","record":{"$type":"app.bsky.graph.follow","subject":"did:plc:b"},"rev":"3mssnqijiys2w","rkey":"3mssnqhpfzp2c","seq":77,"time":"2023-11-14T22:13:20.000000Z"}}"#
    );
    let (one, two) = told(commit(false), OLD);
    assert_eq!(
        one,
        r#"{"did":"did:plc:a","time_us":1700000000000000,"kind":"commit","commit":{"rev":"3mssnqijiys2w","operation":"delete","collection":"app.bsky.graph.follow","rkey":"3mssnqhpfzp2c"}}"#
    );
    assert_eq!(
        two,
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#commit","collection":"app.bsky.graph.follow","did":"did:plc:a","operation":"delete","rev":"3mssnqijiys2w","rkey":"3mssnqhpfzp2c","seq":77,"time":"2023-11-14T22:13:20.000000Z"}}"#
    );
}

#[test]
fn identities() {
    let (one, two) = told(What::Identity { handle: Some("h.example".into()), upstream: upstream() }, OLD);
    assert_eq!(
        one,
        r#"{"did":"did:plc:a","time_us":1700000000000000,"kind":"identity","identity":{"did":"did:plc:a","handle":"h.example","seq":99,"time":"2026-05-25T00:00:00.000Z"}}"#
    );
    assert_eq!(
        two,
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#identity","did":"did:plc:a","identity":{"did":"did:plc:a","handle":"h.example","seq":99,"time":"2026-05-25T00:00:00.000Z"},"seq":77,"time":"2023-11-14T22:13:20.000000Z"}}"#
    );
    let (one, two) = told(What::Identity { handle: None, upstream: upstream() }, OLD);
    assert!(!one.contains("handle") && !two.contains("handle"));
}

#[test]
fn accounts() {
    let what = What::Account { active: false, status: Some("deleted".into()), upstream: upstream() };
    let (one, two) = told(what, OLD);
    assert_eq!(
        one,
        r#"{"did":"did:plc:a","time_us":1700000000000000,"kind":"account","account":{"active":false,"did":"did:plc:a","seq":99,"status":"deleted","time":"2026-05-25T00:00:00.000Z"}}"#
    );
    assert_eq!(
        two,
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#account","account":{"active":false,"did":"did:plc:a","seq":99,"status":"deleted","time":"2026-05-25T00:00:00.000Z"},"did":"did:plc:a","seq":77,"time":"2023-11-14T22:13:20.000000Z"}}"#
    );
}

#[test]
fn syncs_are_told_on_v2_only() {
    let what = What::Sync { rev: "rev-sync".into(), blocks: [1, 2, 3].into(), upstream: upstream() };
    let (one, two) = told(what, Dialect { v1_cursor: true, witnessed_at: true });
    assert_eq!(one, "");
    assert_eq!(
        two,
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#sync","did":"did:plc:a","seq":77,"sync":{"blocks":{"$bytes":"AQID"},"did":"did:plc:a","rev":"rev-sync","seq":99,"time":"2026-05-25T00:00:00.000Z"},"time":"2023-11-14T22:13:20.000000Z","witnessedAt":"2023-11-14T22:13:20.000000Z"}}"#
    );
    let upstream = Upstream { seq: 0, time: "".into() };
    let (_, two) = told(What::Sync { rev: "r".into(), blocks: [].into(), upstream }, NEW);
    assert!(two.contains(r#""sync":{"blocks":{"$bytes":""},"did":"did:plc:a","rev":"r","seq":0,"time":""}"#), "{two}");
}

#[test]
fn control_frames() {
    assert_eq!(
        v2::info("OutdatedCursor", "starting at seq 5"),
        r#"{"$type":"message","payload":{"$type":"network.bsky.jetstream.subscribeEvents#info","message":"starting at seq 5","name":"OutdatedCursor"}}"#
    );
    assert_eq!(
        v2::error("ConsumerTooSlow", "reconnect with cursor=42"),
        r#"{"$type":"error","error":"ConsumerTooSlow","message":"reconnect with cursor=42"}"#
    );
}

#[test]
fn sizes_are_those_of_the_network() {
    let mut world = crate::World::new(crate::WorldConfig { nasty: 0.0, ..crate::WorldConfig::seeded(11) });
    let mut sizes: Vec<usize> = Vec::new();
    let mut text = String::new();
    while sizes.len() < 100_000 {
        let row = Row { seq: 1, time_us: 1_700_000_000_000_000, happening: Arc::new(world.next()) };
        text.clear();
        v1::event(&mut text, &row, OLD);
        if !text.is_empty() {
            sizes.push(text.len());
        }
    }
    sizes.sort_unstable();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    let (p50, p99, max) = (sizes[sizes.len() / 2], sizes[sizes.len() / 100 * 99], sizes[sizes.len() - 1]);
    println!("mean {mean}, median {p50}, 99 % {p99}, max {max}");
    assert!((530..575).contains(&mean), "{mean}");
    assert!((1_250..1_550).contains(&p99), "{p99}");
    assert!((9_000..13_000).contains(&max), "{max}");
}
