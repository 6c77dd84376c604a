//! Parts of other kinds that are passed through: objects whose fields the CRD leaves open, and whose types are
//! Kubernetes' own.

use crate::problem::Problem;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The schema of an object with any fields.
pub(crate) fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// The schema of a short list of such objects.
pub(crate) fn objects(generator: &mut SchemaGenerator) -> Schema {
    let items = object(generator);
    json_schema!({ "type": "array", "items": items, "maxItems": 64 })
}

/// The part in its type. `what` names the type to a person.
///
/// # Errors
/// A field that the type does not have, or a value that it does not take; the path leads to it.
pub(crate) fn typed<T: Serialize + DeserializeOwned>(path: &str, what: &str, given: &Value) -> Result<T, Problem> {
    let mend = || format!("write it as in {what}");
    let typed: T = serde_json::from_value(given.clone())
        .map_err(|error| Problem::at(path, format!("does not fit: {error}"), mend()))?;
    // The types of Kubernetes read over what they do not know.
    let read = serde_json::to_value(&typed).map_err(|error| Problem::bug(path, error))?;
    match lost(given, &read, path.to_owned()) {
        Some(field) => Err(Problem::at(field, format!("is no field of {what}"), "remove it, or mend its name")),
        None => Ok(typed),
    }
}

/// The path of a field that is in `given` and not in `read`.
fn lost(given: &Value, read: &Value, path: String) -> Option<String> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match read.get(name) {
                Some(read) => lost(value, read, path),
                None => (!value.is_null()).then_some(path),
            }
        }),
        (Value::Array(given), Value::Array(read)) => given
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(at, (given, read))| lost(given, read, format!("{path}[{at}]"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Affinity, PodTemplateSpec, Toleration};
    use serde_json::json;

    #[test]
    fn what_fits_is_read_and_what_does_not_is_named() {
        let template = json!({"spec": {"containers": [{"name": "turbo", "env": [{"name": "A", "value": "1"}]}], "hostAliases": []}});
        let read: PodTemplateSpec = typed("spec.x", "a pod", &template).unwrap();
        assert_eq!(read.spec.unwrap().containers[0].name, "turbo");
        let said = |given: Value| typed::<PodTemplateSpec>("spec.x", "a pod", &given).unwrap_err().to_string();
        assert_eq!(
            said(json!({"spec": {"containers": [{"name": "turbo", "env": []}, {"name": "b", "evn": []}]}})),
            "spec.x.spec.containers[1].evn: is no field of a pod; remove it, or mend its name"
        );
        assert!(said(json!({"spec": {"containers": 1}})).starts_with("spec.x: does not fit: "), "of the wrong type");
        let affinity =
            json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}, "podAffinity": null});
        assert!(typed::<Affinity>("spec.x", "a pod", &affinity).is_ok(), "nothing is lost of an empty list");
        typed::<Toleration>("spec.x", "a toleration", &json!({"operator": "Exists"})).unwrap();
    }
}
