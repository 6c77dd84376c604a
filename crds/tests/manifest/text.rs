use super::smallest;
use proptest::{prelude::*, sample::Index};
use turbo_crds::load;

const QUICK: &str = "\
apiVersion: turbopipeline.dev/v1alpha1
kind: TurboPipeline
metadata: { name: bluesky }
spec:
  source:
    jetstream: { endpoints: [\"wss://a.example.org\", \"wss://b.example.org\"], collections: [app.bsky.feed.*] }
  slices:
    - { name: posts, collections: [app.bsky.feed.post], partitions: 16 }
    - name: rest
  sinks:
    sqlite: { path: ./data/bluesky.sqlite, rotate: { age: 1h } }
    archive: { directory: ./data/archive, roll: { size: 128Mi, age: 5m } }
";

fn refusal(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn yaml_and_json_are_read() {
    load(QUICK).unwrap();
    load(&smallest().to_string()).unwrap();
    load(&serde_json::to_string_pretty(&smallest()).unwrap()).unwrap();
}

#[test]
fn a_text_that_is_no_manifest_is_refused_at_its_place() {
    for (text, said) in [
        ("", "the file: is empty; give a TurboPipeline manifest"),
        ("# nothing\n", "the file: is empty; give a TurboPipeline manifest"),
        ("- a\n", "the file: is not a mapping of fields; give a TurboPipeline manifest"),
        ("a: b: c\n", "line 1, column 5: is not YAML: mapping values are not allowed in this context; mend the syntax"),
        ("a:\n  - {b: 'c\n", "line 2, column 9: is not YAML: unclosed quote; mend the syntax"),
        ("a: *b\n", "line 1, column 4: is not YAML: alias references unknown anchor; mend the syntax"),
        (
            "kind: TurboPipeline\n---\nkind: TurboPipeline\n",
            "line 3, column 1: a second document begins here; give one manifest in a file",
        ),
    ] {
        assert_eq!(refusal(text), said, "{text:?}");
    }
}

#[test]
fn a_key_that_stands_twice_does_not_hide_other_problems() {
    let text = QUICK.replace("  slices:", "  sinks: {}\n  slices:").replace("partitions: 16", "partitions: 0");
    assert_eq!(
        refusal(&text),
        "line 11, column 3: the key sinks stands twice in one mapping; keep one of the two\n\
         spec.slices[0].partitions: 0 is below 1; give 1 to 256"
    );
}

#[test]
fn size_depth_and_aliases_are_bounded() {
    let long = format!("# {}\n{QUICK}", "x".repeat(1 << 20));
    assert_eq!(refusal(&long), format!("the file: is {} bytes long; give at most 1 MiB", long.len()));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    (1..12).for_each(|n| bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    let wide = format!("a: [{}]", "x, ".repeat(200_000));
    for text in [bomb, deep, wide] {
        let said = refusal(&text);
        let bounded = ": is too deep, or too large with its aliases put in; write it plainly, without aliases";
        assert!(said.ends_with(bounded), "{said}");
    }
}

#[test]
fn no_secret_is_repeated() {
    for text in [
        QUICK.replace("wss://a.example.org", "wss://me:hunter2@a.example.org"),
        QUICK.replace("wss://a.example.org", "wss://a.example.org/?token=hunter2"),
        QUICK.replace("collections: [app.bsky.feed.*]", "caFrom: hunter2"),
        QUICK.replace("collections: [app.bsky.feed.*]", "caFrom: { env: 'hunter2 ' }"),
        QUICK.replace("collections: [app.bsky.feed.*]", "caFrom: { file: [hunter2] }"),
        QUICK.replace("metadata:", "password: hunter2\nmetadata:"),
        QUICK.replace("metadata:", "password: 'hunter2\nmetadata:"),
        QUICK.replace("metadata:", "password: !!int hunter2\nmetadata:"),
    ] {
        let said = refusal(&text);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        let _ = load(&text);
    }

    /// A manifest with a few characters put in, taken out and replaced gets into all the steps.
    #[test]
    fn no_damaged_manifest_panics(damage in prop::collection::vec((any::<Index>(), 0..3u8, any::<char>()), 1..6)) {
        let mut text: Vec<char> = QUICK.chars().collect();
        for (place, how, char) in damage {
            let place = place.index(text.len());
            match how {
                0 => text.insert(place, char),
                1 => drop(text.remove(place)),
                _ => text[place] = char,
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(problems) = load(&text) {
            let said = problems.to_string();
            prop_assert!(!said.is_empty() && !said.contains("BUG"), "{said}");
        }
    }
}
