use super::*;
use std::time::Duration;
use turbo_core::id::EventId;

fn options(version: Version, filters: Filters) -> Options {
    let second = Duration::from_secs(1);
    Options { version, endpoints: Vec::new(), filters, max_frame: 1 << 20, quiet: second, silent: second }
}

fn url(version: Version, endpoint: &str, filters: Filters, ask: Ask) -> (String, Opening) {
    let opening = build(&options(version, filters), &endpoint.parse().unwrap(), ask, None).unwrap();
    (opening.upgrade.uri().to_string(), opening)
}

#[test]
fn each_version_has_its_own_names() {
    let filters = || Filters {
        collections: vec!["app.bsky.feed.*".into(), "a.b.c".into()],
        dids: vec!["did:plc:a".into()],
        max_message_size: Some(1000),
    };
    let (v1, opening) = url(Version::V1, "ws://h:1", filters(), Ask::Time { from_us: 5, last: false });
    assert_eq!(
        v1,
        "ws://h:1/subscribe?wantedCollections=app.bsky.feed.*&wantedCollections=a.b.c\
         &wantedDids=did%3Aplc%3Aa&maxMessageSizeBytes=1000&cursor=5"
    );
    assert!(opening.hello.is_none() && opening.upgrade.headers().get("sec-websocket-protocol").is_none());
    let (v2, opening) = url(Version::V2, "wss://h/base/", filters(), Ask::Sequence(9, EventId(1)));
    assert_eq!(
        v2,
        "wss://h/base/xrpc/network.bsky.jetstream.subscribeEvents?collections=app.bsky.feed.*&collections=a.b.c\
         &dids=did%3Aplc%3Aa&maxMessageSizeBytes=1000&cursor=9"
    );
    assert_eq!(opening.upgrade.headers()["sec-websocket-protocol"], "xrpc.v1.json");
    assert!(!url(Version::V2, "ws://h", Filters::default(), Ask::Tip).0.contains("cursor"));
}

#[test]
fn filters_too_long_for_a_url_go_by_options_update() {
    let dids: Vec<String> = (0..1000).map(|n| format!("did:plc:{n:024}")).collect();
    let filters = || Filters { dids: dids.clone(), ..Filters::default() };
    let (v1, opening) = url(Version::V1, "ws://h", filters(), Ask::Given(7));
    assert_eq!(v1, "ws://h/subscribe?requireHello=true&cursor=7");
    let hello: serde_json::Value = serde_json::from_str(&opening.hello.unwrap()).unwrap();
    assert_eq!(hello["type"], "options_update");
    assert_eq!(hello["payload"]["wantedDids"].as_array().unwrap().len(), 1000);
    assert_eq!(hello["payload"]["wantedCollections"].as_array().unwrap().len(), 0);
    // v2 takes no message from a client: there the URL has to bear it.
    let (v2, opening) = url(Version::V2, "ws://h", filters(), Ask::Given(7));
    assert!(v2.len() > 30_000 && opening.hello.is_none());
}
