use super::{changed, refused};
use kube::{CustomResourceExt, core::cel};
use serde_json::Value;
use turbo_crds::{TurboPipeline, crd_yaml};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/turbopipelines.yaml");

fn schema() -> Value {
    let crd = serde_json::to_value(TurboPipeline::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Every part of the schema with its path.
fn nodes() -> Vec<(String, Value)> {
    let mut nodes = vec![(String::new(), schema())];
    let mut next = 0;
    while let Some((path, node)) = nodes.get(next).cloned() {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            nodes.push((format!("{path}.{name}"), child.clone()));
        }
        if let Some(values) = node.get("additionalProperties") {
            nodes.push((format!("{path}[]"), values.clone()));
        }
        if let Some(items) = node.get("items") {
            nodes.push((format!("{path}[]"), items.clone()));
        }
        next += 1;
    }
    nodes
}

/// Every rule with the path of its part.
fn rules() -> Vec<(String, Value)> {
    let of = |(path, node): (String, Value)| {
        let rules = node["x-kubernetes-validations"].as_array().cloned().unwrap_or_default();
        rules.into_iter().map(move |rule| (path.clone(), rule)).collect::<Vec<_>>()
    };
    nodes().into_iter().flat_map(of).collect()
}

#[test]
fn the_file_is_the_one_that_the_types_make() {
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        file == crd_yaml().unwrap(),
        "crds/turbopipelines.yaml differs from the types; write it: \
         cargo run -p turbo-worker -- schema > crds/turbopipelines.yaml"
    );
}

#[test]
fn the_yaml_says_what_the_crd_says() {
    let read: Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    let read: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition =
        serde_json::from_value(read).unwrap();
    assert_eq!(read, TurboPipeline::crd());
}

#[test]
fn every_rule_compiles_and_says_what_is_wrong_and_how_to_mend_it() {
    let rules = rules();
    assert!(rules.len() >= 20, "{} rules are found", rules.len());
    let compiled = cel::compile_schema(&schema());
    assert!(!compiled.has_errors());
    for (path, rule) in rules {
        let alone = serde_json::json!({ "x-kubernetes-validations": [rule] });
        let errors = cel::compile_schema(&alone);
        assert!(!errors.has_errors(), "{path}: {:?}", errors.compilation_errors());
        let texts = texts(&rule);
        assert!(!texts.is_empty(), "{path}");
        for text in texts {
            assert_eq!(text.matches("; ").count(), 1, "{path}: {text}");
        }
    }
}

/// What a rule may say: its message, or the texts of which its expression chooses one.
fn texts(rule: &Value) -> Vec<String> {
    match rule["message"].as_str() {
        Some(message) => vec![message.to_owned()],
        None => {
            let expression = rule["messageExpression"].as_str().unwrap();
            let quoted = expression.split('\'').skip(1).step_by(2);
            quoted.filter(|text| text.contains("; ")).map(str::to_owned).collect()
        }
    }
}

#[test]
fn every_rule_has_a_refused_example() {
    let changed = changed::refused().into_iter().map(|(_, _, said)| said);
    let said: Vec<&str> = refused::cases().into_iter().map(|(_, said)| said).chain(changed).collect();
    for (path, rule) in rules() {
        for text in texts(&rule) {
            let text = text.trim_start_matches("metadata.name: ");
            let fixed = text.find('%').map_or(text, |value| &text[value + 2..]);
            assert!(said.iter().any(|said| said.contains(fixed)), "{path}: no refused example of {fixed:?}");
        }
    }
}

/// What a structural schema, the cost budget of CEL and `kubectl explain` ask for.
#[test]
fn every_field_is_explained_and_bounded() {
    for (path, node) in nodes().into_iter().skip(1) {
        let has = |key: &str| node.get(key).is_some();
        assert!(path.ends_with("[]") || has("description"), "{path} is not explained");
        for key in ["$ref", "anyOf", "oneOf", "allOf"] {
            assert!(!has(key), "{path} has {key}");
        }
        // The derive makes the status as a whole so.
        assert!(node["nullable"] != true || path == ".status", "{path} is nullable");
        assert!(!has("format") || node["format"] == "date-time", "{path} has a format");
        let is_free = node["x-kubernetes-preserve-unknown-fields"] == true;
        let bounds: &[&str] = match node["type"].as_str() {
            Some("string") if has("enum") => &[],
            Some("boolean") => &[],
            Some("string") => &["maxLength"],
            Some("integer" | "number") => &["minimum", "maximum"],
            Some("array") => &["maxItems"],
            Some("object") if is_free => &[],
            Some("object") if has("additionalProperties") => &["maxProperties"],
            Some("object") => &["properties"],
            None => &["x-kubernetes-int-or-string", "pattern", "maxLength", "minimum", "maximum"],
            Some(other) => panic!("{path} is a {other}"),
        };
        bounds.iter().for_each(|key| assert!(has(key), "{path} has no {key}"));
    }
}
