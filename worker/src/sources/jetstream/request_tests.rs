use super::*;
use std::time::Duration;
use turbo_core::id::EventId;

fn options(version: Version, filters: Filters) -> Options {
    let second = Duration::from_secs(1);
    Options { version, endpoints: Vec::new(), filters, max_frame: 1 << 20, quiet: second, silent: second }
}

fn url(version: Version, endpoint: &str, filters: Filters, ask: Ask) -> (String, Opening) {
    let (at_most, endpoint) = (filters.max_message_size, endpoint.parse().unwrap());
    let opening = build(&options(version, filters), &endpoint, ask, None, at_most).unwrap();
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

#[test]
fn filters_that_no_url_bears_are_refused_before_any_request() {
    let endpoint: Url = "wss://h".parse().unwrap();
    let of = |version, dids: u64| {
        let dids = (0..dids).map(|n| format!("did:plc:{n:024}")).collect();
        options(version, Filters { dids, ..Filters::default() })
    };
    let most = (1..2000).take_while(|dids| check(&of(Version::V2, *dids), &endpoint).is_ok()).last().unwrap();
    assert!(most > 1500, "{most}");
    // What just fits can be asked for with all that a connection adds, and what is refused could not.
    let dictionary = [&[0x37, 0xa4, 0x30, 0xec][..], &[0xff; 8]].concat();
    let ask = Ask::Given(u64::MAX);
    let built = |dids| build(&of(Version::V2, dids), &endpoint, ask, Some(&dictionary), Some(u64::MAX));
    assert!(built(most).unwrap().upgrade.uri().to_string().contains("&zstdDictionary=4294967295"));
    assert!(built(most + 20).is_err());
    let refused = check(&of(Version::V2, most + 1), &endpoint).unwrap_err().to_string();
    assert!(refused.starts_with("spec.source.jetstream.dids: with the collections they make a URL of 65"), "{refused}");
    assert!(check(&of(Version::V1, 10_000), &endpoint).is_ok(), "they go in a message");
}
