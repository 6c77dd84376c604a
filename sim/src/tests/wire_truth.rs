//! What is sent is what the truth was made from.

use super::client::{Client, payload};
use super::{V1, V2, full};
use crate::{Flavour, HostConfig, Truth, View};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The last change of each record as sent, with syncs and deletions applied as a plain reader would.
#[derive(Default)]
struct Reader(BTreeMap<(String, String), (String, Option<String>)>);

#[derive(serde::Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

impl Reader {
    fn take(&mut self, did: &str, kind: &str, event: &Value, raw: &str) {
        let of = |(theirs, _): &(String, String)| theirs == did;
        match kind {
            "commit" => {
                let path = format!("{}/{}", event["collection"].as_str().unwrap(), event["rkey"].as_str().unwrap());
                let record = serde_json::from_str::<Raw<'_>>(raw).unwrap().record.map(|record| record.get().to_owned());
                self.0.insert((did.into(), path), (event["rev"].as_str().unwrap().into(), record));
            }
            "sync" => {
                let rev = event["sync"]["rev"].as_str().unwrap();
                self.0.retain(|key, (theirs, _)| !of(key) || theirs.as_str() > rev);
            }
            "account" if event["account"]["status"] == "deleted" => self.0.retain(|key, _| !of(key)),
            _ => {}
        }
    }

    fn agrees_with(&self, view: &View) {
        let mine = self
            .0
            .iter()
            .filter_map(|((did, path), (rev, record))| Some((did.clone(), path.clone(), rev.clone(), record.clone()?)));
        let truth = view.records().map(|(did, record)| {
            let path = format!("{}/{}", record.collection, record.rkey);
            (did.to_owned(), path, record.rev.to_owned(), record.json.to_owned())
        });
        let (mut mine, mut truth): (Vec<_>, Vec<_>) = (mine.collect(), truth.collect());
        mine.sort();
        truth.sort();
        assert!(!mine.is_empty() && mine == truth);
    }
}

fn part<'a>(text: &'a str, key: &str) -> &'a str {
    let parts: BTreeMap<&str, &RawValue> = serde_json::from_str(text).unwrap();
    parts[key].get()
}

#[tokio::test]
async fn a_reader_of_v2_ends_with_the_truth() {
    let network = full(6_000, HostConfig::default());
    let mut client = Client::to(&network, &format!("{V2}?cursor=1")).await;
    let mut reader = Reader::default();
    for text in client.texts(6_000).await {
        let event = payload(&text);
        let kind = event["$type"].as_str().unwrap().split('#').nth(1).unwrap();
        reader.take(event["did"].as_str().unwrap(), kind, &event, part(&text, "payload"));
    }
    reader.agrees_with(&network.truth().v2);
}

#[tokio::test]
async fn a_reader_of_v1_ends_with_what_v1_can_know() {
    let network = full(6_000, HostConfig { flavour: Flavour::Old, ..HostConfig::default() });
    let truth = network.truth();
    let mut client = Client::to(&network, &format!("{V1}?cursor=1")).await;
    let mut reader = Reader::default();
    for text in client.texts(truth.v1.events as usize).await {
        let event: Value = serde_json::from_str(&text).unwrap();
        let kind = event["kind"].as_str().unwrap();
        let raw = if kind == "commit" { part(&text, "commit") } else { "{}" };
        let inner = if kind == "commit" { &event["commit"] } else { &event };
        reader.take(event["did"].as_str().unwrap(), kind, inner, raw);
    }
    reader.agrees_with(&truth.v1);
    let unknowable = truth.unknowable();
    assert!(
        unknowable.missing > 0 && unknowable.surplus > 0 && unknowable.different > 0 && unknowable.other_rev > 0,
        "{unknowable:?}"
    );
    assert_eq!(Truth::of_world(&super::world(1), 6_000).unknowable(), unknowable);
}

#[tokio::test]
async fn the_same_seed_sends_the_same_bytes() {
    let mut sent = Vec::new();
    for _ in 0..2 {
        let world = crate::WorldConfig { nasty: 0.05, ..super::world(6) };
        let pace = crate::Pace::Full { events: 2_000 };
        let config = crate::NetworkConfig { world, pace, ..crate::NetworkConfig::default() };
        let network = crate::Network::start(config).unwrap();
        let texts = Client::to(&network, &format!("{V2}?cursor=1")).await.texts(2_000).await;
        sent.push((texts, network.v1_dictionary().unwrap(), network.v2_dictionary(0).unwrap()));
    }
    assert!(sent[0] == sent[1]);
}
