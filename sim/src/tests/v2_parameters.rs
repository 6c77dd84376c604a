//! Filters, refusals and manners of `subscribeEvents`.

use super::client::{Client, End, get, refusal};
use super::{V2, full, stepped};
use crate::{Fault, HostConfig, Manners, Slow};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

/// How many events of each kind come, and the collections of the commits.
async fn counted(query: &str) -> BTreeMap<String, usize> {
    let network = full(4_000, HostConfig::default());
    let mut client = Client::to(&network, &format!("{V2}?cursor=1{query}")).await;
    let mut counts = BTreeMap::new();
    while !client.is_quiet_for_counting(&mut counts).await {}
    counts
}

impl Client {
    async fn is_quiet_for_counting(&mut self, counts: &mut BTreeMap<String, usize>) -> bool {
        let Ok(message) = tokio::time::timeout(Duration::from_millis(150), self.message()).await else { return true };
        let payload = super::client::payload(message.to_text().unwrap());
        let kind = payload["$type"].as_str().unwrap().split('#').nth(1).unwrap();
        *counts.entry(kind.into()).or_default() += 1;
        if let Some(collection) = payload["collection"].as_str() {
            *counts.entry(collection.into()).or_default() += 1;
        }
        *counts.entry(payload["did"].as_str().unwrap().into()).or_default() += 1;
        false
    }
}

#[tokio::test]
async fn filters_are_anded_and_collections_are_for_commits() {
    let all = counted("").await;
    assert!(all["sync"] > 0 && all["identity"] > 0 && all["account"] > 0 && all["commit"] > 3_000);

    let posts = counted("&collections=app.bsky.feed.post").await;
    assert_eq!(posts["commit"], all["app.bsky.feed.post"]);
    assert_eq!((posts["sync"], posts["identity"]), (all["sync"], all["identity"]));

    let graph = counted("&collections=app.bsky.graph.*&kinds=commit").await;
    assert_eq!(
        graph["commit"],
        all["app.bsky.graph.follow"]
            + all["app.bsky.graph.block"]
            + all["app.bsky.graph.list"]
            + all["app.bsky.graph.listitem"]
    );
    assert!(!graph.contains_key("sync"));

    let (did, count) =
        all.iter().filter(|(name, _)| name.starts_with("did:")).max_by_key(|(_, count)| **count).unwrap();
    let one = counted(&format!("&dids={}", did.replace(':', "%3A"))).await;
    assert_eq!(one[did], *count);
    assert_eq!(one.keys().filter(|name| name.starts_with("did:")).count(), 1);

    let kinds = counted("&kinds=sync&kinds=account").await;
    assert_eq!((kinds["sync"], kinds["account"]), (all["sync"], all["account"]));
    assert!(!kinds.contains_key("commit"));

    let small = counted("&maxMessageSizeBytes=400").await;
    assert!(small["commit"] > 0 && small["commit"] < all["commit"] / 2);
}

#[tokio::test]
async fn parameters_that_cannot_be_are_refused() {
    let network = full(10, HostConfig::default());
    let prefix = "subscribe: invalid options: ";
    let many = |name: &str, value: &str, count: usize| vec![format!("{name}={value}"); count].join("&");
    for (query, message) in [
        ("kinds=post".into(), r#"unknown kind \"post\" (valid: commit, identity, account, sync)"#),
        ("kinds=commit,sync".into(), r#"unknown kind \"commit,sync\" (valid: commit, identity, account, sync)"#),
        ("kinds=".into(), r#"unknown kind \"\" (valid: commit, identity, account, sync)"#),
        (many("kinds", "commit", 5), "too many kinds values: 5 \\u003e 4"),
        (many("dids", "did:plc:a", 10_001), "too many dids values: 10001 \\u003e 10000"),
        (many("collections", "a.b.c", 101), "too many collections values: 101 \\u003e 100"),
        ("dids=plc:a".into(), "invalid DID: plc:a"),
        ("collections=app.bsky.fo*".into(), "invalid collection: app.bsky.fo*"),
        ("collections=*.*".into(), "invalid collection wildcard: *.*"),
        ("collections=a.b.c&kinds=sync".into(), "collections filter can never apply: kinds excludes commit"),
        ("maxMessageSizeBytes=x".into(), r#"invalid maxMessageSizeBytes \"x\""#),
        ("maxMessageSizeBytes=".into(), r#"invalid maxMessageSizeBytes \"\""#),
        (
            "maxMessageSizeBytes=1&maxMessageSizeBytes=2".into(),
            "maxMessageSizeBytes must be one unsigned 32-bit integer",
        ),
        ("wantedDids=did:plc:a".into(), "wantedDids is the legacy /subscribe parameter; use dids"),
        ("wantedCollections=a".into(), "wantedCollections is the legacy /subscribe parameter; use collections"),
        (
            "requireHello".into(),
            "requireHello is not supported on this endpoint; it is server-push only (subscriber-sourced messages were removed)",
        ),
        ("a=%zz".into(), r#"invalid URL escape \"%zz\""#),
    ] {
        let (status, body) = refusal(&network, &format!("{V2}?{query}")).await;
        assert_eq!(status, 400);
        assert_eq!(body, format!(r#"{{"error":"InvalidRequest","message":"{prefix}{message}"}}"#));
    }
    let (_, body) = refusal(&network, &format!("{V2}?compress=true")).await;
    assert!(body.contains("uses zstdDictionary=\\u003cid\\u003e with"), "{body}");
    assert!(Client::with(&network, &format!("{V2}?whatever=1"), &[]).await.is_ok(), "others are ignored");
}

#[tokio::test]
async fn without_an_upgrade_the_answer_is_426() {
    let network = full(10, HostConfig::default());
    let (status, body) = refusal(&network, V2).await;
    let message = "WebSocket protocol violation: Connection header \"\" does not contain Upgrade\n";
    assert_eq!((status, body.as_str()), (426, message));
    assert_eq!(refusal(&network, "/nothing").await.0, 404);
}

#[tokio::test]
async fn the_subprotocol_is_echoed_where_it_is_offered() {
    let network = full(10, HostConfig::default());
    let offer = |value| [("sec-websocket-protocol", value)];
    let client = Client::with(&network, V2, &offer("xrpc.v1.json")).await.unwrap();
    assert_eq!(client.protocol.as_deref(), Some("xrpc.v1.json"));
    assert_eq!(Client::to(&network, V2).await.protocol, None);
}

#[tokio::test]
async fn while_it_loads_subscriptions_meet_503_and_health_says_yes() {
    let network = full(10, HostConfig::default());
    network.set_loading(0, Duration::from_secs(60));
    let body = r#"{"error":"ServiceUnavailable","message":"service not ready: bootstrap in progress"}"#;
    assert_eq!(refusal(&network, V2).await, (503, body.into()));
    let text = "service not ready: bootstrap in progress\n";
    assert_eq!(refusal(&network, "/subscribe").await, (503, text.into()));
    let (_, head, _) = get(&network, V2, "").await;
    assert!(head.contains("Content-Type: application/json") && !head.contains("Retry-After"), "{head}");
    assert_eq!(refusal(&network, "/health").await.0, 200);
    network.set_loading(0, Duration::ZERO);
    assert_eq!(refusal(&network, V2).await.0, 426);
}

#[tokio::test]
async fn a_client_that_speaks_is_closed() {
    let network = stepped(HostConfig::default());
    for message in [Message::text("{}"), Message::binary(vec![1])] {
        let mut client = Client::to(&network, V2).await;
        client.say(message).await;
        assert_eq!(client.end().await.1, End::Closed(1008, "unexpected data message".into()));
    }
}

#[tokio::test]
async fn a_shutdown_is_told() {
    let network = stepped(HostConfig::default());
    let client = Client::to(&network, V2).await;
    let stopping = tokio::task::spawn_blocking(move || network.stop());
    assert_eq!(client.end().await.1, End::Closed(1001, "server shutting down".into()));
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_is_told_where_to_go_on() {
    let slow = Slow { lag: 1_000, window: Duration::from_millis(100), rate: 1e9 };
    let manners = Manners { slow, send_buffer: Some(16 << 10), ..Manners::default() };
    let network = full(20_000, HostConfig { manners, ..HostConfig::default() });
    let mut client = Client::to(&network, &format!("{V2}?cursor=1")).await;
    let mut last = 0;
    let error = loop {
        tokio::time::sleep(Duration::from_micros(50)).await;
        let text = client.text().await;
        match text.starts_with(r#"{"$type":"error""#) {
            true => break text,
            false => last = super::client::payload(&text)["seq"].as_u64().unwrap(),
        }
    };
    assert!(
        error.starts_with(r#"{"$type":"error","error":"ConsumerTooSlow","message":"reading below the floor rate "#)
    );
    assert!(error.ends_with(&format!("events behind the tip; reconnect with cursor={}\"}}", last + 1)), "{error}");
    assert_eq!(client.end().await.1, End::Dropped);
}

#[tokio::test]
async fn one_that_is_called_slow_is_told_too() {
    let network = stepped(HostConfig::default());
    network.step(5);
    let client = Client::to(&network, V2).await;
    while network.fault(0, &Fault::TooSlow) == 0 {}
    let (last, end) = client.end().await;
    assert!(last.ends_with("0 events behind the tip; reconnect with cursor=6\"}"), "{last}");
    assert_eq!(end, End::Dropped);
}
