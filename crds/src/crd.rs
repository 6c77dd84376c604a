//! The CustomResourceDefinition, made from the types.

use crate::TurboPipeline;
use kube::CustomResourceExt;
use serde_json::{Map, Value};

/// Why the CRD could not be written; none of it can come from a manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CRD is not JSON.
    #[error("the CRD could not be made into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The CRD is not YAML.
    #[error("the CRD could not be written as YAML: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// The CRD as JSON, with its keys in order and whole numbers as such.
///
/// # Errors
/// None that are known; see [`Error`].
pub fn crd() -> Result<Value, Error> {
    Ok(canonical(serde_json::to_value(TurboPipeline::crd())?))
}

/// The CRD as YAML, byte for byte the same wherever it is made.
///
/// # Errors
/// None that are known; see [`Error`].
pub fn crd_yaml() -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { compact_list_indent: false };
    let text = serde_saphyr::to_string_with_options(&crd()?, options)?;
    Ok(format!("# Made from the types in crds/src by `turbo schema`. Do not edit.\n{text}"))
}

/// Keys in order (a feature of serde_json that some crate in the build may turn on would keep the order of insertion),
/// and whole numbers as such (the types of Kubernetes hold every bound as a float).
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut pairs: Vec<(String, Value)> = object.into_iter().collect();
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(pairs.into_iter().map(|(key, value)| (key, canonical(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(canonical).collect(),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// A float that is a whole number, as an integer.
pub(crate) fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 9.1e15)?;
    Some(float as i64)
}
