//! Recordings, served again.

use super::client::{Client, payload};
use super::{V1, V2};
use crate::{Network, NetworkConfig, Pace, Recording, TimeCursors, Truth};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of real events, where it is to be had.
fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/jetstream").join(name);
    if !path.exists() {
        let _ = writeln!(std::io::stderr(), "skipped: no {}", path.display());
        return None;
    }
    Some(path)
}

fn serve(recording: Recording, time_cursors: TimeCursors) -> Network {
    let hosts = vec![crate::HostConfig { time_cursors, ..crate::HostConfig::default() }];
    let (recording, pace) = (Some(Arc::new(recording)), Pace::Full { events: u64::MAX });
    Network::start(NetworkConfig { recording, pace, hosts, ..NetworkConfig::default() }).unwrap()
}

#[tokio::test]
async fn real_events_are_served_byte_for_byte() {
    for name in ["captured_v1.jsonl", "golden_v1.jsonl"] {
        let Some(path) = real(name) else { return };
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let network = serve(Recording::open(&path).unwrap(), TimeCursors::Exact);
        let mut client = Client::to(&network, &format!("{V1}?cursor=1")).await;
        assert_eq!(client.texts(lines.len()).await, lines);
        assert!(client.is_quiet().await);

        // From the middle: nothing at or after that time is left out.
        let middle: serde_json::Value = serde_json::from_str(lines[lines.len() / 2]).unwrap();
        let cursor = middle["time_us"].as_i64().unwrap();
        let time = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["time_us"].as_i64().unwrap();
        let first = lines.iter().position(|line| time(line) >= cursor).unwrap();
        let mut client = Client::to(&network, &format!("{V1}?cursor={cursor}")).await;
        assert_eq!(client.texts(lines.len() - first).await, lines[first..]);

        let mut client = Client::to(&network, &format!("{V2}?cursor=1")).await;
        for (line, text) in lines.iter().zip(client.texts(lines.len()).await) {
            let (v1, v2): (serde_json::Value, _) = (serde_json::from_str(line).unwrap(), payload(&text));
            assert_eq!(v1["did"], v2["did"]);
            assert_eq!(v1["commit"]["record"], v2["record"]);
            assert_eq!(v1["identity"], v2["identity"]);
            assert_eq!(v1["account"], v2["account"]);
        }
    }
}

#[test]
fn real_events_have_a_truth() {
    let Some(path) = real("captured_v1.jsonl") else { return };
    let truth = Truth::of(Recording::open(&path).unwrap().happenings());
    assert_eq!((truth.happenings, truth.v1.events), (152, 152));
    assert_eq!(truth.unknowable(), crate::Unknowable::default());
    assert!(truth.v1.records().count() > 100);
}

#[test]
fn recordings_may_be_compressed_and_must_be_events() {
    let line = r#"{"did":"did:plc:a","time_us":1700000000000000,"kind":"identity","identity":{"did":"did:plc:a","seq":1,"time":"t"}}"#;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.jsonl.zst");
    std::fs::write(&path, zstd::encode_all(format!("{line}\n").as_bytes(), 1).unwrap()).unwrap();
    assert_eq!(Recording::open(&path).unwrap(), Recording::read(line).unwrap());
    let error = Recording::read(&format!("{line}\n{{}}")).unwrap_err();
    assert!(error.to_string().starts_with("line 2 is no v1 event"), "{error}");
    assert!(Recording::open(Path::new("/nothing")).is_err());
}
