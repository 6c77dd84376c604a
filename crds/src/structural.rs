//! What schemars makes, shaped into what Kubernetes takes.

use schemars::Schema;
use serde_json::{Map, Value};

/// Makes an optional field of schemars (`type: [string, null]`) an optional field of Kubernetes, where an explicit
/// `null` of a field that is not `nullable` is dropped before defaults and rules. Takes out the formats of numbers, which
/// the server does not know and warns of (every number has its range), and the line breaks of the doc comments.
pub(crate) fn without_nulls(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object.iter_mut().for_each(|(_, value)| tidy(value));
        tidy_node(object);
    }
}

fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            object.iter_mut().filter(|(key, _)| *key != "default").for_each(|(_, value)| tidy(value));
            tidy_node(object);
        }
        _ => {}
    }
}

fn tidy_node(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get("type")
        && let [one, Value::String(null)] = types.as_slice()
        && null == "null"
    {
        let one = one.clone();
        node.insert("type".into(), one);
    }
    if let Some(Value::Array(any)) = node.get("anyOf")
        && let [Value::Object(one), null] = any.as_slice()
        && null["type"] == "null"
    {
        let one = one.clone();
        node.remove("anyOf");
        for (key, value) in one {
            node.entry(key).or_insert(value);
        }
    }
    if node.get("format").and_then(Value::as_str).is_some_and(|format| format.contains("int") || format == "double") {
        node.remove("format");
    }
    if let Some(Value::String(description)) = node.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
