//! What is refused of `spec.slices`.

use serde_json::{Value, json};

pub(super) fn slices() -> Vec<(Value, &'static str)> {
    let rest = json!({"name": "rest"});
    let mut many: Vec<Value> = (0..4)
        .map(|n| json!({"name": format!("s{n}"), "collections": [format!("a.b.c{n}")], "partitions": 256}))
        .collect();
    many.push(json!({"name": "rest"}));
    let crowd: Vec<Value> = (0..9)
        .map(|n| (n, (0..57).map(|c| format!("a.b{n}.c{c}")).collect::<Vec<_>>()))
        .map(|(n, collections)| json!({"name": format!("s{n}"), "collections": collections}))
        .chain([rest.clone()])
        .collect();
    let names: Vec<Value> =
        (0..33).map(|n| json!({"name": format!("s{n}"), "collections": [format!("a.b.c{n}")]})).collect();
    vec![
        (json!({"spec.slices": []}), "spec.slices: has 0 entries; give at least 1"),
        (json!({"spec.slices": names}), "spec.slices: has 33 entries; give at most 32"),
        (
            json!({"spec.slices": [{"name": "a", "collections": ["a.b.c"]}, {"name": "a"}]}),
            "spec.slices: the name a stands twice; give each slice a name of its own",
        ),
        (
            json!({"spec.slices": [{"name": "a"}, {"name": "b"}]}),
            "spec.slices: the slices [\"a\", \"b\"] have no collections; \
             leave them out of one only, which takes the rest",
        ),
        (
            json!({"spec.slices": [{"name": "a", "collections": ["a.b.c"]}]}),
            "spec.slices: every slice has collections; leave them out of one, which takes the rest",
        ),
        (
            json!({"spec.slices": [
                {"name": "a", "collections": ["a.b.c"]},
                {"name": "b", "collections": ["a.b.d", "a.b.c"]},
                rest,
            ]}),
            "spec.slices: the slices [\"a\", \"b\"] name the same collection; name it in one of them",
        ),
        (
            json!({"spec.slices": [{"name": "a", "collections": ["a.b.c", "a.b.d", "a.b.c"]}, rest]}),
            "spec.slices[0].collections: the collection a.b.c stands twice; give it once",
        ),
        (
            json!({"spec.slices": crowd}),
            "spec.slices: 513 collections in all slices together are above 512; \
             leave some to the slice that takes the rest",
        ),
        (
            json!({"spec.slices": many}),
            "spec.slices: 1028 partitions in all slices together are above 1024; lower the partitions of some",
        ),
        (
            json!({"spec.slices": [
                {"name": "Posts_1", "collections": []},
                {"name": "a-name-of-21-characte", "partitions": 0},
            ]}),
            "spec.slices[0].collections: has 0 entries; give at least 1\n\
             spec.slices[0].name: \"Posts_1\" is not a DNS label; \
             use a to z, 0 to 9 and -, begin with a letter and end with a letter or digit\n\
             spec.slices[1].name: \"a-name-of-21-characte\" is 21 characters long; give at most 20\n\
             spec.slices[1].partitions: 0 is below 1; give 1 to 256",
        ),
        (
            json!({"spec.slices": [{"name": "a", "collections": ["app.bsky.feed.*"]}, {"partitions": 257}]}),
            "spec.slices[0].collections[0]: \"app.bsky.feed.*\" is not a collection; \
             give a whole NSID like app.bsky.feed.post, without *\n\
             spec.slices[1].name: required, but missing; \
             add it: the name, a DNS label of at most 20 characters, unique in the pipeline\n\
             spec.slices[1].partitions: 257 is above 256; give 1 to 256",
        ),
        (
            json!({"spec.slices": [{"name": "a", "partitions": "4"}]}),
            "spec.slices[0].partitions: \"4\" is a text; leave out the quotes",
        ),
    ]
}
