//! What is refused of `spec.sinks`.

use serde_json::{Value, json};

pub(super) fn sinks() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"spec.sinks.archive": {}}), "spec.sinks.archive: names none of directory, s3; give one of them"),
        (json!({"spec.sinks": {}}), "spec.sinks: names none of sqlite, postgres; give one of them"),
        (
            json!({"spec.sinks.sqlite": {}}),
            "spec.sinks.sqlite.path: required, but missing; \
             add it: the path of the file, relative to the directory that the process starts in",
        ),
        (
            json!({"spec.sinks.sqlite.path": ":memory:"}),
            "spec.sinks.sqlite.path: \":memory:\" is no path to SQLite; give one like data/bluesky.sqlite, and ./ before a \
             name that begins so",
        ),
        (
            json!({"spec.sinks.sqlite.path": "file:x.sqlite"}),
            "spec.sinks.sqlite.path: \"file:x.sqlite\" is no path to SQLite; give one like data/bluesky.sqlite, and \
             ./ before a name that begins so",
        ),
        (
            json!({"spec.sinks.sqlite.rotate": {"keep": 3}}),
            "spec.sinks.sqlite.rotate: names neither size nor age; give at least one of them",
        ),
        (
            json!({"spec.sinks.sqlite.rotate": {"age": "1h", "s3": {"bucket": "windows", "accessKeyIdFrom": {"env": "A"}}}}),
            "spec.sinks.sqlite.rotate.s3: names one of accessKeyIdFrom and secretAccessKeyFrom; give both, or none",
        ),
        (
            json!({"spec.sinks.sqlite.rotate": {"size": "1023Ki", "age": "59s", "keep": 24}}),
            "spec.sinks.sqlite.rotate.age: \"59s\" is out of range; give 1m or more\n\
             spec.sinks.sqlite.rotate.size: \"1023Ki\" is out of range; give 1Mi or more",
        ),
        (
            json!({"spec.sinks.sqlite.rotate": {"size": "1.5Gi", "age": "daily", "keep": 0}}),
            "spec.sinks.sqlite.rotate.age: \"daily\" is not a length of time; \
             write it like 500ms, 30s, 10m, 1h30m or 1d\n\
             spec.sinks.sqlite.rotate.keep: 0 is below 1; give 1 to 10000\n\
             spec.sinks.sqlite.rotate.size: \"1.5Gi\" is not a size; \
             write whole bytes (1048576) or a whole number with k, M, G, T, Ki, Mi, Gi or Ti (128Mi)",
        ),
        (
            json!({"spec.sinks": {"sqlite": {"path": "./data"}, "archive": {"directory": "./data"}}}),
            "spec.sinks.archive.directory: \"./data\" is the path of the SQLite file too; give a directory of its own",
        ),
        (
            json!({"spec.sinks.archive": {"format": "csv"}}),
            "spec.sinks.archive.format: \"csv\" is not a choice here; give parquet or jsonl",
        ),
        (
            json!({"spec.sinks.archive": {"directory": "d", "roll": {"size": "2Gi", "age": "25h"}}}),
            "spec.sinks.archive.roll.age: \"25h\" is out of range; give 1s to 24h\n\
             spec.sinks.archive.roll.size: \"2Gi\" is out of range; give 64Ki to 1Gi",
        ),
        (
            json!({"spec.sinks.archive": {"directory": "d", "roll": {"size": -1, "age": "2d"}}}),
            "spec.sinks.archive.roll.size: -1 is not a size; \
             write whole bytes (1048576) or a whole number with k, M, G, T, Ki, Mi, Gi or Ti (128Mi)",
        ),
    ]
}
