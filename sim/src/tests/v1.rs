//! `/subscribe`, new and old.

use super::client::{Client, End, refusal};
use super::{V1, V2, full, stepped};
use crate::{Flavour, HostConfig};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

fn old() -> HostConfig {
    HostConfig { flavour: Flavour::Old, ..HostConfig::default() }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn update(payload: &str) -> Message {
    Message::text(format!(r#"{{"type":"options_update","payload":{payload}}}"#))
}

#[tokio::test]
async fn syncs_and_their_creates_take_numbers_that_v1_does_not_show() {
    let network = full(4_000, HostConfig::default());
    let truth = network.truth();
    assert!(truth.v1.events < truth.v2.events);
    let mut client = Client::to(&network, &format!("{V1}?cursor=1")).await;
    let mut last = 0;
    for text in client.texts(truth.v1.events as usize).await {
        let event = value(&text);
        assert!(["commit", "identity", "account"].contains(&event["kind"].as_str().unwrap()));
        let cursor = event["cursor"].as_u64().unwrap();
        assert!(cursor > last);
        last = cursor;
    }
    assert!(client.is_quiet().await);
    let mut client = Client::to(&network, &format!("{V1}?cursor={last}")).await;
    assert_eq!(value(&client.text().await)["cursor"], last);
}

#[tokio::test]
async fn the_old_server_knows_times_only_and_no_second_version() {
    let network = full(2_000, old());
    let mut client = Client::to(&network, &format!("{V1}?cursor=0")).await;
    let events: Vec<Value> = client.texts(1_500).await.iter().map(|text| value(text)).collect();
    assert!(events.iter().all(|event| event.get("cursor").is_none()));
    let times: Vec<i64> = events.iter().map(|event| event["time_us"].as_i64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a < b));
    let mut client = Client::to(&network, &format!("{V1}?cursor={}", times[1_000])).await;
    assert_eq!(value(&client.text().await)["time_us"], times[1_000]);
    let mut client = Client::to(&network, &format!("{V1}?cursor=-5")).await;
    assert_eq!(value(&client.text().await)["time_us"], times[0]);
    assert_eq!(refusal(&network, &format!("{V1}?cursor=x")).await, (400, "invalid cursor: x\n".into()));
    assert_eq!(refusal(&network, V2).await.0, 404);
}

#[tokio::test]
async fn an_old_cursor_is_moved_in_silence() {
    let host = HostConfig { segment_us: 1_000_000, lookback_us: 2_000_000, ..HostConfig::default() };
    let network = full(5_000, host);
    let mut client = Client::to(&network, &format!("{V1}?cursor=1")).await;
    assert!(value(&client.text().await)["cursor"].as_u64().unwrap() > 2_000);
}

#[tokio::test]
async fn collections_hide_commits_and_dids_hide_everything() {
    let network = full(4_000, HostConfig::default());
    let query = "?cursor=1&wantedCollections=app.bsky.graph.*&wantedCollections=app.bsky.feed.post";
    let mut client = Client::to(&network, &format!("{V1}{query}")).await;
    let mut kinds = std::collections::BTreeSet::new();
    let mut did = None;
    for text in client.texts(400).await {
        let event = value(&text);
        kinds.insert(event["kind"].as_str().unwrap().to_owned());
        let collection = event["commit"]["collection"].as_str().unwrap_or("app.bsky.feed.post");
        assert!(collection == "app.bsky.feed.post" || collection.starts_with("app.bsky.graph."));
        did.get_or_insert(event["did"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    let did = did.unwrap();
    let mut client = Client::to(&network, &format!("{V1}?cursor=1&wantedDids={did}")).await;
    assert_eq!(value(&client.text().await)["did"], *did);
}

#[tokio::test]
async fn parameters_that_cannot_be_are_refused_in_plain_text() {
    let network = full(10, HostConfig::default());
    for (query, message) in [
        ("wantedCollections=app.bsky.fo*", "subscribe: invalid options: invalid collection: app.bsky.fo*"),
        ("wantedDids=x", "subscribe: invalid options: invalid DID: x"),
        ("cursor=abc", "subscribe: invalid cursor: \"abc\""),
        ("cursor=-1", "subscribe: invalid cursor: negative value -1"),
    ] {
        assert_eq!(refusal(&network, &format!("{V1}?{query}")).await, (400, format!("{message}\n")));
    }
    for query in ["maxMessageSizeBytes=x", "maxMessageSizeBytes=", "wantedCollections=.*", "kinds=nonsense"] {
        assert!(Client::with(&network, &format!("{V1}?{query}"), &[]).await.is_ok(), "{query}");
    }
    let headers = [("sec-websocket-extensions", "permessage-deflate")];
    assert_eq!(Client::with(&network, &format!("{V1}?compress=true"), &headers).await.err(), Some(400));
}

#[tokio::test]
async fn nothing_comes_before_the_hello() {
    let network = stepped(HostConfig::default());
    let mut client = Client::to(&network, &format!("{V1}?requireHello=true")).await;
    network.step(50);
    assert!(client.is_quiet().await);
    client.say(Message::text(r#"{"type":"something","payload":1}"#)).await;
    client.say(Message::binary(vec![1, 2])).await;
    assert!(client.is_quiet().await);
    client.say(update("{}")).await;
    assert!(client.is_quiet().await, "live begins with the hello");
    network.step(50);
    assert!(value(&client.text().await)["cursor"].as_u64().unwrap() > 50);

    let mut client = Client::to(&network, &format!("{V1}?requireHello=true&cursor=7")).await;
    assert!(client.is_quiet().await);
    client.say(update(r#"{"wantedCollections":null}"#)).await;
    assert!(value(&client.text().await)["cursor"].as_u64().unwrap() < 20);
}

#[tokio::test]
async fn options_replace_the_filter() {
    let network = stepped(HostConfig::default());
    let mut client = Client::to(&network, &format!("{V1}?wantedCollections=a.b.c&wantedDids=did:plc:nobody")).await;
    network.step(100);
    assert!(client.is_quiet().await);
    client.say(update(r#"{"wantedCollections":["app.bsky.feed.like"],"maxMessageSizeBytes":0}"#)).await;
    // Only the network knows when it has heard that.
    let event = loop {
        network.step(5);
        if let Ok(text) = tokio::time::timeout(std::time::Duration::from_millis(20), client.text()).await {
            break value(&text);
        }
    };
    assert!(event["kind"] != "commit" || event["commit"]["collection"] == "app.bsky.feed.like");
}

#[tokio::test]
async fn bad_messages_end_the_connection() {
    let long = format!(r#"{{"wantedDids":["{}"]}}"#, "x".repeat(200));
    let reason = format!("subscribe: invalid options: invalid DID: {}...", "x".repeat(200));
    let cut = format!("{}...", &reason[..120]);
    for (host, message, end) in [
        (HostConfig::default(), Message::text("{"), End::Closed(1007, "bad SubscriberSourcedMessage envelope".into())),
        (
            HostConfig::default(),
            update(r#"{"maxMessageSizeBytes":"1"}"#),
            End::Closed(1007, "bad options_update payload".into()),
        ),
        (
            HostConfig::default(),
            Message::text(r#"{"type":"options_update"}"#),
            End::Closed(1007, "bad options_update payload".into()),
        ),
        (HostConfig::default(), update(&long), End::Closed(1008, cut)),
        (
            HostConfig::default(),
            Message::text("x".repeat(10_000_001)),
            End::Closed(1009, "read limited at 10000000 bytes".into()),
        ),
    ] {
        let network = stepped(host);
        let mut client = Client::to(&network, V1).await;
        client.say(message).await;
        assert_eq!(client.end().await.1, end);
    }
    let network = stepped(old());
    let mut client = Client::to(&network, V1).await;
    client.say(Message::text("{")).await;
    let End::Closed(1000, reason) = client.end().await.1 else { panic!("not closed with 1000") };
    assert!(reason.starts_with("failed to unmarshal subscriber sourced message: "), "{reason}");
}
