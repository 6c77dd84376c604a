//! The schema of the CRD, made strict: unknown fields are refused, and the parts that every resource has are in it.

use super::{FILE, words};
use crate::{TurboPipeline, patterns, problem::Problem};
use jsonschema::{Draft, Validator};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResourceExt;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use std::sync::LazyLock;

struct Strict {
    schema: Value,
    validator: Validator,
}

/// Compiled once; the error is a bug of ours.
static STRICT: LazyLock<Result<Strict, String>> = LazyLock::new(|| {
    let schema = strict().map_err(|error| error.to_string())?;
    // The draft that the schemas of OpenAPI 3.0 descend from. With it 4.0 is no whole number, as it is none for serde.
    let validator =
        jsonschema::options().with_draft(Draft::Draft4).build(&schema).map_err(|error| error.to_string())?;
    Ok(Strict { schema, validator })
});

/// What does not fit the schema, sorted by path, one problem for each.
pub(super) fn check(manifest: &Value) -> Vec<Problem> {
    let strict = match &*STRICT {
        Ok(strict) => strict,
        Err(error) => return vec![Problem::bug(FILE, format_args!("the schema can not be used ({error})"))],
    };
    let errors = strict.validator.iter_errors(manifest);
    let mut problems: Vec<Problem> = errors.flat_map(|error| words::problems(&error, &strict.schema)).collect();
    problems.sort_by(|one, other| one.path.cmp(&other.path));
    problems.dedup_by(|one, other| one.path == other.path);
    problems
}

/// Takes out fields that the schema knows and that are written as `null`: none is nullable, and Kubernetes drops them
/// too. Unknown ones stay, to be refused.
pub(super) fn drop_nulls(manifest: &mut Value) {
    if let Ok(strict) = &*STRICT {
        drop_nulls_of(manifest, &strict.schema);
    }
}

fn drop_nulls_of(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(fields) => {
            let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
            fields.retain(|name, value| !(value.is_null() && known.contains_key(name)));
            for (name, value) in fields {
                if let Some(schema) = known.get(name) {
                    drop_nulls_of(value, schema);
                }
            }
        }
        Value::Array(entries) => {
            if let Some(schema) = schema.get("items") {
                entries.iter_mut().for_each(|entry| drop_nulls_of(entry, schema));
            }
        }
        _ => {}
    }
}

fn strict() -> Result<Value, serde_json::Error> {
    let crd = serde_json::to_value(TurboPipeline::crd())?;
    let mut schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let generator = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut metadata = serde_json::to_value(generator.into_root_schema_for::<ObjectMeta>())?;
    metadata["required"] = json!(["name"]);
    metadata["description"] = json!("The name of the pipeline, as name");
    metadata["properties"]["name"]["description"] = json!("The name, a DNS label of at most 40 characters");
    // The server checks it for its own objects; subjects, streams and keys are made from it.
    metadata["properties"]["namespace"]["pattern"] = json!(patterns::NAMESPACE.regex);
    metadata["properties"]["namespace"]["maxLength"] = json!(63);
    schema["properties"]["metadata"] = metadata;
    schema["properties"]["spec"]["description"] = json!("What the pipeline is: source, slices, sinks");
    // Both are checked before.
    schema["properties"]["apiVersion"] = json!({});
    schema["properties"]["kind"] = json!({});
    schema["required"] = json!(["metadata", "spec"]);
    tighten(&mut schema);
    Ok(schema)
}

fn tighten(schema: &mut Value) {
    match schema {
        Value::Object(node) => {
            node.values_mut().for_each(tighten);
            if node.get("properties").is_some_and(|properties| properties.get("properties").is_none()) {
                node.entry("additionalProperties").or_insert(json!(false));
            }
            if node.get("type") == Some(&json!("integer")) {
                // Those of the metadata have no bounds, and a float beyond 64 bits counts as an integer.
                node.entry("minimum").or_insert(json!(0));
                node.entry("maximum").or_insert(json!(i64::MAX));
            }
            if node.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
                node.insert("type".into(), json!(["integer", "string"]));
            }
        }
        Value::Array(nodes) => nodes.iter_mut().for_each(tighten),
        _ => {}
    }
}
