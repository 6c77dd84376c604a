use super::{many, smallest, with};
use serde_json::{Value, json};
use turbo_crds::{
    Archive, ArchiveFormat, Compression, Duration, JetstreamVersion, Pace, Quantity, SecretChoice, SourceChoice,
    TurboPipeline, load,
};

#[test]
fn a_slice_that_gets_nothing_is_warned_of() {
    let spec = |filters: Value| {
        let slices = json!([{"name": "posts", "collections": ["app.bsky.feed.post", "a.b.c"]}, {"name": "rest"}]);
        accepted(&with(&json!({"spec.source.jetstream.collections": filters, "spec.slices": slices}))).spec
    };
    for filters in [json!([]), json!(["app.bsky.feed.*", "a.b.c"]), json!(["a.b.*", "app.bsky.feed.post"])] {
        assert!(spec(filters.clone()).warnings().is_empty(), "{filters}");
    }
    let warnings: Vec<String> =
        spec(json!(["app.bsky.feed.post"])).warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["spec.slices[0].collections: a.b.c is not asked for, so the slice posts gets none of it; \
         add it to spec.source.jetstream.collections, if that is not meant"]
    );
}

#[test]
fn services_and_sizes_that_are_hardly_meant_are_warned_of() {
    let jetstream = json!({"endpoints": ["ws://a", "ws://b", "ws://a/"], "maxMessageSize": "8Mi", "maxFrame": "64Ki"});
    let spec = accepted(&with(&json!({"spec.source.jetstream": jetstream}))).spec;
    let warnings: Vec<String> = spec.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "spec.source.jetstream.endpoints[2]: ws://a/ stands twice; give each service once",
            "spec.source.jetstream.maxMessageSize: events above maxFrame are asked for, and become dead letters; \
             give maxFrame at least as much, or less here"
        ]
    );
}

#[test]
fn secrets_in_the_open_and_targets_of_nothing_are_warned_of() {
    let slices = json!([
        {"name": "posts", "collections": ["app.bsky.feed.post"], "hydrate": {"author": "1h", "quote": "1h", "subject": "1h"}},
        {"name": "rest", "hydrate": {"reply": "1h", "subject": "1h"}},
    ]);
    let hosts = ["http://a.example:80/x", "http://localhost:1", "http://127.0.0.1", "http://[::1]:2"];
    let hydration = json!({"hosts": hosts, "tokens": {"url": "http://tokens:80"}});
    let spec = accepted(&with(&json!({"spec.slices": slices, "spec.hydration": hydration}))).spec;
    let warnings: Vec<String> = spec.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "spec.hydration.hosts[0]: http://a.example:80/x is sent the app password, or tokens, without encryption; \
             give https://, if it is on another machine",
            "spec.slices[0].hydrate.subject: no collection of the slice posts has one; leave it out, or give the slice one of \
             app.bsky.feed.like, app.bsky.feed.repost, app.bsky.graph.follow, app.bsky.graph.block, app.bsky.graph.listitem",
        ]
    );
}

#[test]
fn a_time_to_live_that_ends_before_the_calls_is_warned_of() {
    let slices = json!([{"name": "rest", "hydrate": {"author": "9s", "subject": "20s"}}]);
    let warned = |hydration: Value| {
        let spec = accepted(&with(&json!({"spec.slices": slices, "spec.hydration": hydration}))).spec;
        spec.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warned(json!({})), [] as [String; 0]);
    assert_eq!(
        warned(json!({"requestsPerSecond": 0.5})),
        ["spec.slices[0].hydrate.author: 9s is as long as a few calls take, so a record may never be complete; \
          give 20s or more, or a higher spec.hydration.requestsPerSecond"]
    );
}

#[test]
fn a_log_with_a_short_window_is_warned_of() {
    let warned = |bytes: &str| {
        let log = json!({"nats": {"url": "nats://a:4222", "stream": {"maxBytes": bytes}}});
        let postgres = json!({"postgres": {"urlFrom": {"env": "URL"}}});
        let spec = accepted(&with(&json!({"spec.log": log, "spec.sinks": postgres}))).spec;
        spec.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        warned("16Mi"),
        [
            "spec.log.nats.stream.maxBytes: a quarter of it is the dedup window, 10 s of the whole network, of which the \
          first minute is no place to join: after a restart another host may not be joined, and then there is a gap; give 512Mi or more, if much is read"
        ]
    );
    assert_eq!(warned("20Gi"), [] as [String; 0]);
}

pub(super) fn accepted(manifest: &Value) -> TurboPipeline {
    load(&manifest.to_string()).unwrap_or_else(|problems| panic!("{problems}\n{manifest:#}"))
}

/// Changes of the smallest manifest, each at the edge of a rule.
pub(super) fn cases() -> Vec<Value> {
    let jetstream = |field: &str, value: Value| json!({ format!("spec.source.jetstream.{field}"): value });
    let slices = |slices: Value| json!({ "spec.slices": slices });
    let full: Vec<Value> = (0..32)
        .map(|n| {
            let collections: Vec<String> = (0..16).map(|c| format!("a.b{n}.c{c}")).collect();
            let collections = if n == 0 { Value::Null } else { json!(collections) };
            json!({"name": format!("s{n}"), "partitions": 32, "collections": collections})
        })
        .collect();
    let v1 = |changes: Value| {
        let mut jetstream = json!({"endpoints": ["ws://a"], "version": "v1"});
        jetstream.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"spec.source.jetstream": jetstream})
    };
    vec![
        json!({}),
        json!({"metadata.name": format!("a{}", "-1".repeat(19))}),
        json!({"metadata.labels": {"a.example/b": "c"}, "metadata.namespace": "social"}),
        json!({"metadata.creationTimestamp": null, "metadata.uid": "1", "metadata.generation": 2}),
        json!({"spec.source": {"recording": {"path": "events.jsonl.zst"}}}),
        json!({"spec.source": {"jetstream": null, "recording": {"path": "x", "pace": "recorded"}}}),
        jetstream("endpoints", json!(["ws://localhost:6008", "wss://[::1]:65535/base/path", "wss://a", "ws://a"])),
        jetstream("collections", json!(["app.bsky.feed.post", "app.bsky.graph.*", "m.xn--masekowski-d0b.pl"])),
        jetstream("collections", json!([])),
        jetstream("dids", json!(["did:plc:z72i7hdynmk6r22z27h6tvur", "did:web:example.org%3A8080"])),
        jetstream("dids", json!(vec!["did:plc:a"; 1000])),
        v1(json!({"dids": vec!["did:plc:a"; 10_000]})),
        jetstream("cursor", json!(0)),
        jetstream("cursor", json!(5)),
        json!({"spec.source.jetstream": {"endpoints": ["ws://a", "ws://b"], "cursor": 0}}),
        json!({"spec.source.jetstream": {"endpoints": ["ws://a", "ws://b"], "cursor": 1_783_175_888_000_000u64}}),
        jetstream("cursor", json!(9_007_199_254_740_991u64)),
        jetstream("maxMessageSize", json!(1)),
        jetstream("maxMessageSize", json!("64Mi")),
        jetstream("compression", json!("none")),
        v1(json!({})),
        v1(json!({"cursor": 1_783_175_888_000_000u64})),
        v1(json!({"compression": "none"})),
        v1(json!({"compression": "zstd", "dictionary": "legacy.zdict"})),
        json!({"spec.source.jetstream": {"endpoints": ["ws://a", "wss://b"], "caFrom": {"env": "CA_PEM"}}}),
        jetstream("caFrom", json!({"file": "ca.pem", "secret": null})),
        jetstream("caFrom", json!({"secret": {"name": "ca.example", "key": ".ca.crt"}})),
        jetstream("maxFrame", json!("64Ki")),
        jetstream("silence", json!("1s")),
        jetstream("silence", json!("10m")),
        jetstream("maxFrame", json!(67_108_864)),
        slices(json!(full)),
        slices(json!([{"name": "one", "partitions": 256}])),
        slices(json!([{"name": "a", "collections": ["a.b.c", "a.b.d"]}, {"name": "b", "collections": null}])),
        slices(json!(null)),
        json!({"spec.log": {}}),
        json!({"spec.log": {"embedded": {}}}),
        json!({"spec.log": {"embedded": {"maxBytes": "1Mi"}}}),
        json!({"spec.log": {"embedded": {"maxBytes": "4Gi"}}}),
        json!({"spec.sinks.sqlite.rotate": {"size": "1Mi"}}),
        json!({"spec.sinks.sqlite.rotate": {"age": "1m", "keep": 10_000}}),
        json!({"spec.sinks.sqlite.rotate": {"age": "1h", "s3": {"bucket": "windows", "prefix": "of/mine"}}}),
        json!({"spec.sinks.sqlite.rotate": {"age": "7d12h", "size": "1T", "keep": 1}}),
        json!({"spec.sinks.archive": {"directory": "d", "roll": {"size": "64Ki", "age": "1s"}}}),
        json!({"spec.sinks.archive": {"directory": "d", "roll": {"size": "1Gi", "age": "1d"}, "format": "jsonl"}}),
        many(json!({})),
        many(
            json!({"spec.log.nats.url": "tls://a.example:4222,nats://[::1]:1", "spec.log.nats.stream": {"replicas": 5}}),
        ),
        many(json!({"spec.log.nats.user": {"name": "turbo", "passwordFrom": {"file": "p"}}})),
        many(
            json!({"spec.log.nats.tls": {"caFrom": {"file": "ca"}, "certificateFrom": {"file": "c"}, "keyFrom": {"file": "k"}}}),
        ),
        many(json!({"spec.log.nats.stream": {"maxBytes": "10Ti", "highWater": 1_000_000_000}})),
        many(json!({"spec.sinks.postgres.connections": 64, "spec.sinks.postgres.directUrlFrom": {"env": "PG_DIRECT"}})),
        many(json!({"spec.sinks.archive": {"directory": "d"}})),
        many(json!({"spec.sinks.postgres.retention": [
            {"collections": ["app.bsky.feed.like", "app.bsky.graph.*"], "age": "30d"}, {"collections": ["*"], "age": "1h"}]})),
        json!({"spec.ingest": {"replicas": 3}, "spec.workers": {"replicas": 4, "lease": "5m"}}),
        json!({"spec.ingest": {"pods": {}}, "spec.workers": {"replicas": 0, "pods": pods()}}),
        json!({"spec.image": "registry.example.org:5000/a/turbopipeline:0.1.0", "spec.paused": true}),
        json!({"spec.mesh": {"istio": {}}, "spec.monitoring": {}, "spec.network": {}}),
        json!({"spec.mesh": {"istio": {"mode": "Ambient", "allow": ["ops/dashboard"]}}}),
        json!({"spec.mesh": {"istio": {"revision": "1-31"}}, "spec.monitoring": {"labels": {"release": "p"}, "interval": "15s"}}),
        json!({"spec.network": {
            "peers": [{"namespace": "db", "labels": {"app": "pg"}, "ports": [5432]}, {"ports": [4222]}],
            "egress": [{"cidr": "203.0.113.0/24"}, {"cidr": "2001:db8::/32", "ports": [443, 8443]}]}}),
        json!({"spec.workers": {}}),
        json!({"spec.workers": {"drain": "1h"}}),
        json!({"spec.workers": {"drain": "1s500ms"}}),
    ]
}

/// Everything that can be said of pods.
fn pods() -> Value {
    json!({
        "resources": {"requests": {"cpu": 1, "memory": "512Mi"}, "limits": {"memory": "1.5Gi", "example.org/gpu": "2"}},
        "labels": {"team": "feeds"}, "annotations": {"a": "b"}, "nodeSelector": {"disk": "fast"},
        "affinity": {"nodeAffinity": {}}, "tolerations": [{"operator": "Exists"}], "priorityClassName": "high",
        "imagePullSecrets": ["pull"], "trust": {"configMap": "ca-bundle", "key": "ca.crt"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/turbo"}},
        "template": {"spec": {"containers": [{"name": "turbo", "env": [{"name": "TURBO_LOG", "value": "debug"}]}]}},
    })
}

#[test]
fn each_is_accepted_and_written_back_as_the_same() {
    for changes in cases() {
        let pipeline = accepted(&with(&changes));
        assert_eq!(accepted(&serde_json::to_value(&pipeline).unwrap()), pipeline, "{changes}");
    }
}

#[test]
fn the_status_of_another_version_says_nothing_to_a_process() {
    let pipeline = accepted(&with(&json!({"status": {"of": "another", "replicas": "many"}})));
    assert_eq!(pipeline, accepted(&smallest()));
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let spec = accepted(&smallest()).spec;
    let Some(SourceChoice::Jetstream(jetstream)) = spec.source.choice() else { panic!("not Jetstream") };
    assert_eq!((jetstream.version, jetstream.compression()), (JetstreamVersion::V2, Compression::Zstd));
    assert_eq!((jetstream.max_frame, jetstream.silence), (Quantity::from_mebibytes(4), Duration::from_secs(20)));
    assert_eq!(serde_json::to_value(&spec.slices).unwrap(), json!([{"name": "default", "partitions": 4}]));
    assert_eq!((spec.log_max_bytes(), spec.workers.drain), (Quantity::from_mebibytes(16), Duration::from_secs(60)));
    assert_eq!((spec.sinks.archive, spec.sinks.sqlite.unwrap().rotate), (None, None));
}

#[test]
fn what_is_written_wins_over_the_defaults() {
    let spec = accepted(&with(&json!({
        "spec.source.jetstream.version": "v1",
        "spec.log": {"embedded": {"maxBytes": "1Gi"}},
        "spec.workers": {"drain": "5s"},
        "spec.sinks.archive": {"directory": "d", "roll": {"age": "90s"}},
    })))
    .spec;
    let Some(SourceChoice::Jetstream(jetstream)) = spec.source.choice() else { panic!("not Jetstream") };
    assert_eq!(jetstream.compression(), Compression::None);
    assert_eq!((spec.log_max_bytes(), spec.workers.drain), (Quantity::from_mebibytes(1024), Duration::from_secs(5)));
    let Some(Archive { format: ArchiveFormat::Parquet, roll, .. }) = spec.sinks.archive else { panic!("no archive") };
    assert_eq!((roll.size, roll.age), (Quantity::from_mebibytes(128), Duration::from_secs(90)));
}

#[test]
fn a_choice_is_given_as_one() {
    let manifest = with(&json!({"spec.source": {"recording": {"path": "x.jsonl"}}}));
    let source = accepted(&manifest).spec.source;
    let Some(SourceChoice::Recording(recording)) = source.choice() else { panic!("not a recording") };
    assert_eq!(recording.pace, Pace::Full);
    let ca = json!({"secret": {"name": "ca", "key": "ca.crt"}});
    let source = accepted(&with(&json!({"spec.source.jetstream.caFrom": ca}))).spec.source;
    let secret = source.jetstream.unwrap().ca_from.unwrap();
    let Some(SecretChoice::Secret(key)) = secret.choice() else { panic!("not a Secret") };
    assert_eq!((key.name.as_str(), key.key.as_str()), ("ca", "ca.crt"));
}

#[test]
fn what_a_cluster_adds_is_a_list_of_its_own() {
    let said = |changes: Value| {
        let spec = accepted(&with(&changes)).spec;
        spec.not_for_clusters().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        said(json!({})),
        [
            "spec.log.nats: required on a cluster, but missing; give a NATS server",
            "spec.sinks.postgres: required on a cluster, but missing; give a PostgreSQL database",
        ]
    );
    let s3 = many(json!({"spec.sinks.archive": {"s3": {"bucket": "mine"}}}));
    let keys = "spec.sinks.archive.s3.accessKeyIdFrom: required on a cluster, but missing: the environment of a pod has no \
                keys; give it, and secretAccessKeyFrom";
    assert!(said(s3.clone()).contains(&keys.to_owned()), "{:?}", said(s3));
    assert_eq!(
        said(many(json!({"spec.sinks.archive": {"directory": "d"}}))),
        [
            "spec.sinks.archive.directory: a directory of a pod is gone with the pod; give spec.sinks.archive.s3",
            "spec.sinks.postgres.urlFrom: env and file are of one's own machine; give secret: {name, key}",
        ]
    );
    let secret = json!({"secret": {"name": "pg", "key": "uri"}});
    let pods = json!({"affinity": {"nodeAfinity": {}}, "template": {"spec": {"containers": [{"image": "x"}]}}});
    let with_pods =
        |pods: Value| said(many(json!({"spec.sinks.postgres.urlFrom": secret, "spec.workers": {"pods": pods}})));
    assert_eq!(with_pods(self::pods()), [""; 0]);
    assert_eq!(
        with_pods(pods),
        [
            "spec.workers.pods.affinity.nodeAfinity: is no field of affinity of a pod; remove it, or mend its name",
            "spec.workers.pods.template.spec.containers[0]: has no name, so it is merged with nothing; give turbo for the \
             container that there is, or a name of its own",
        ]
    );
}
