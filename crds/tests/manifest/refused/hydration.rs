//! What is refused of `spec.hydration` and `spec.slices[].hydrate`.

use serde_json::{Value, json};

pub(super) fn hydration() -> Vec<(Value, &'static str)> {
    let password = json!({"identifier": "a.example", "passwordFrom": {"env": "PASSWORD"}});
    let both = json!({"session": password, "tokens": {"url": "http://tokens:80"}});
    let hydrate = |hydrate: Value| json!({"spec.slices": [{"name": "rest", "hydrate": hydrate}]});
    vec![
        (json!({"spec.hydration": both}), "spec.hydration: names both session and tokens; give one of them"),
        (
            hydrate(json!({})),
            "spec.slices[0].hydrate: names nothing to look up; \
             give one of author, mentions, reply, quote, subject, or leave it out",
        ),
        (hydrate(json!({"author": "2d"})), "spec.slices[0].hydrate.author: \"2d\" is out of range; give 1s to 24h"),
        (
            hydrate(json!({"author": false})),
            "spec.slices[0].hydrate.author: false is a boolean; leave it out, to have none",
        ),
        (
            json!({"spec.hydration": {"requestsPerSecond": "10"}}),
            "spec.hydration.requestsPerSecond: \"10\" is a text; leave out the quotes",
        ),
        (
            json!({"spec.hydration": {"requestsPerSecond": "ten"}}),
            "spec.hydration.requestsPerSecond: \"ten\" is a text; give a number, 0.1 to 1000",
        ),
        (json!({"spec.hydration": {"hosts": []}}), "spec.hydration.hosts: has 0 entries; give at least 1"),
        (
            json!({"spec.hydration": {"cache": "1Ki"}}),
            "spec.hydration.cache: \"1Ki\" is out of range; give 1Mi to 64Gi",
        ),
        (
            json!({"spec.hydration": {"queue": {"age": "1s"}}}),
            "spec.hydration.queue.age: \"1s\" is out of range; give 1m to 24h",
        ),
        (
            json!({"spec.hydration": {"sharedCache": "64Mi"}}),
            "spec: names hydration.sharedCache, which is in NATS, without log.nats; \
             give log.nats and sinks.postgres, or leave it out",
        ),
    ]
}
