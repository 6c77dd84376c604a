//! What is refused of `spec.source`.

use serde_json::{Value, json};

pub(super) fn source() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"spec.source": {}}), "spec.source: names none of jetstream, recording; give one of them"),
        (
            json!({"spec.source.recording": {"path": "x.jsonl"}}),
            "spec.source: names several of jetstream, recording; give only one of them",
        ),
        (
            json!({"spec.source": {"recording": {"path": "", "pace": "slow"}}}),
            "spec.source.recording.pace: \"slow\" is not a choice here; give full or recorded\n\
             spec.source.recording.path: \"\" is too short; give at least one character",
        ),
    ]
}

pub(super) fn jetstream() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"spec.source.jetstream.version": "v3"}),
            "spec.source.jetstream.version: \"v3\" is not a choice here; give v2 or v1",
        ),
        (
            json!({"spec.source.jetstream.version": true}),
            "spec.source.jetstream.version: true is a boolean; give v2 or v1",
        ),
        (
            json!({"spec.source.jetstream.endpoints": []}),
            "spec.source.jetstream.endpoints: has 0 entries; give at least 1",
        ),
        (
            json!({"spec.source.jetstream.endpoints": vec!["ws://a"; 9]}),
            "spec.source.jetstream.endpoints: has 9 entries; give at most 8",
        ),
        (
            json!({"spec.source.jetstream.endpoints": ["wss://a", "ws://a", "wss://a"]}),
            "spec.source.jetstream.endpoints: the same endpoint stands twice; give each endpoint once",
        ),
        (
            json!({"spec.source.jetstream.endpoints": ["https://a", "wss://me:hunter2@a"]}),
            "spec.source.jetstream.endpoints[0]: \"https://a\" is not a WebSocket address; \
             give ws:// or wss:// with host and, if need be, port and path; no user, query or fragment\n\
             spec.source.jetstream.endpoints[1]: is not a WebSocket address; \
             give ws:// or wss:// with host and, if need be, port and path; no user, query or fragment",
        ),
        (
            json!({"spec.source.jetstream.endpoints": ["ws://a:65536"]}),
            "spec.source.jetstream.endpoints[0]: \"ws://a:65536\" is not a WebSocket address; \
             give ws:// or wss:// with host and, if need be, port and path; no user, query or fragment",
        ),
        (
            json!({"spec.source.jetstream.collections": ["app.bsky.feed*"]}),
            "spec.source.jetstream.collections[0]: \"app.bsky.feed*\" is not a collection or a prefix of \
             collections; give an NSID like app.bsky.feed.post, or a prefix like app.bsky.feed.*",
        ),
        (
            json!({"spec.source.jetstream.collections": vec!["app.bsky.feed.post"; 101]}),
            "spec.source.jetstream.collections: has 101 entries; give at most 100",
        ),
        (
            json!({"spec.source.jetstream.dids": ["alice.example.org"]}),
            "spec.source.jetstream.dids[0]: \"alice.example.org\" is not a DID; \
             give e.g. did:plc:z72i7hdynmk6r22z27h6tvur or did:web:example.org",
        ),
        (
            json!({"spec.source.jetstream.dids": vec!["did:plc:a"; 10_001]}),
            "spec.source.jetstream.dids: has 10001 entries; give at most 10000",
        ),
        (
            json!({"spec.source.jetstream.cursor": -1}),
            "spec.source.jetstream.cursor: -1 is below 0; give 0 to 9007199254740991",
        ),
        (
            json!({"spec.source.jetstream.cursor": 1.5}),
            "spec.source.jetstream.cursor: 1.5 is a number; give a whole number",
        ),
        (
            json!({"spec.source.jetstream.maxMessageSize": "0"}),
            "spec.source.jetstream.maxMessageSize: \"0\" is out of range; give 1 to 64Mi",
        ),
        (
            json!({"spec.source.jetstream.compression": "gzip"}),
            "spec.source.jetstream.compression: \"gzip\" is not a choice here; give zstd or none",
        ),
        (
            json!({"spec.source.jetstream.dictionary": "zdict"}),
            "spec.source.jetstream.dictionary: \"zdict\" is given with version v2, which fetches its dictionaries \
             itself; remove it, or set version: v1",
        ),
        (
            json!({"spec.source.jetstream.version": "v1", "spec.source.jetstream.cursor": 5}),
            "spec.source.jetstream.cursor: 5 is a sequence, which v1 does not know; \
             give a time in microseconds since 1970, or version: v2",
        ),
        (
            json!({"spec.source.jetstream.cursor": 5, "spec.source.jetstream.endpoints": ["wss://a", "wss://b"]}),
            "spec.source.jetstream.cursor: 5 is a sequence, which counts on one service only, with several endpoints; \
             give one endpoint, or a time in microseconds since 1970",
        ),
        (
            json!({"spec.source.jetstream.dids": vec!["did:plc:a"; 1001]}),
            "spec.source.jetstream.dids: 1001 DIDs are above 1000, which is what the URL of v2 bears; \
             give fewer, or version: v1",
        ),
        (
            json!({"spec.source.jetstream.version": "v1", "spec.source.jetstream.dictionary": "zdict"}),
            "spec.source.jetstream.dictionary: \"zdict\" is given without compression; \
             set compression: zstd, or remove it",
        ),
        (
            json!({"spec.source.jetstream.version": "v1", "spec.source.jetstream.compression": "zstd"}),
            "spec.source.jetstream.dictionary: required with version v1 and compression zstd; \
             give the path of the zstd dictionary file, or set compression: none",
        ),
        (
            json!({"spec.source.jetstream.endpoints": ["ws://a"], "spec.source.jetstream.caFrom": {"file": "ca.pem"}}),
            "spec.source.jetstream.caFrom: is given, but no endpoint is wss://; remove it, or give a wss:// endpoint",
        ),
        (
            json!({"spec.source.jetstream.caFrom": {"env": "CA", "file": "ca.pem"}}),
            "spec.source.jetstream.caFrom: names several of secret, env, file; give only one of them",
        ),
        (
            json!({"spec.source.jetstream.caFrom": "-----BEGIN"}),
            "spec.source.jetstream.caFrom: is a text; give a mapping of fields",
        ),
        (
            json!({"spec.source.jetstream.caFrom": {"secret": {"name": "a/b", "key": ".."}}}),
            "spec.source.jetstream.caFrom.secret.key: is not a key of a Secret; use letters, digits, -, _ and .; \
             do not begin with two dots\n\
             spec.source.jetstream.caFrom.secret.name: is not the name of a Secret; use a to z, 0 to 9, - and .; \
             begin and end with a letter or digit",
        ),
        (
            json!({"spec.source.jetstream.caFrom": {"env": "MY CA"}}),
            "spec.source.jetstream.caFrom.env: is not the name of an environment variable; \
             use letters, digits and _; do not begin with a digit",
        ),
        (
            json!({"spec.source.jetstream.silence": "500ms"}),
            "spec.source.jetstream.silence: \"500ms\" is out of range; give 1s to 10m",
        ),
        (
            json!({"spec.source.jetstream.maxFrame": "32Ki"}),
            "spec.source.jetstream.maxFrame: \"32Ki\" is out of range; give 64Ki to 64Mi",
        ),
    ]
}
