//! The fields of the API that are known by name and do not work in this version. They are refused, never ignored; a
//! field leaves this table in the change that makes it work.

use crate::problem::Problem;
use serde_json::Value;

/// Path and what it would do. `[]` stands for every entry of a list.
const FIELDS: [(&str, &str); 4] = [
    ("spec.scaling", "scaling of workers"),
    ("spec.deletionPolicy", "deletion by the operator"),
    ("spec.source.relay", "a relay as the source"),
    ("spec.source.simulator", "a simulator inside the process"),
];

/// Takes the fields of the table out of the manifest, and says so for each.
pub(crate) fn take(manifest: &mut Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, what) in FIELDS {
        walk(manifest, path, String::new(), &mut |path| {
            let message = format!("not yet: {what} is not in this version");
            problems.push(Problem::at(path, message, "remove the field"));
        });
    }
    problems
}

/// Follows `path` below `value`, which stands at `here`, and removes its last field wherever it is found.
fn walk(value: &mut Value, path: &str, here: String, found: &mut impl FnMut(String)) {
    let (field, rest) = path.split_once('.').map_or((path, None), |(field, rest)| (field, Some(rest)));
    let (name, list) = field.strip_suffix("[]").map_or((field, false), |name| (name, true));
    let there = if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") };
    let Some(object) = value.as_object_mut() else { return };
    match (rest, object.get_mut(name)) {
        (None, Some(_)) => {
            object.remove(name);
            found(there);
        }
        (Some(rest), Some(Value::Array(entries))) if list => {
            for (index, entry) in entries.iter_mut().enumerate() {
                walk(entry, rest, format!("{there}[{index}]"), found);
            }
        }
        (Some(rest), Some(child)) if !list => walk(child, rest, there, found),
        (_, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A manifest with `null` at the path.
    fn with(path: &str) -> Value {
        path.rsplit('.').fold(Value::Null, |value, field| match field.strip_suffix("[]") {
            Some(name) => json!({ name: [{}, value] }),
            None => json!({ field: value }),
        })
    }

    #[test]
    fn every_field_is_refused_by_name_and_taken_out() {
        for (path, what) in FIELDS {
            let mut manifest = with(path);
            let problems = take(&mut manifest);
            let path = path.replace("[]", "[1]");
            let text = format!("{path}: not yet: {what} is not in this version; remove the field");
            assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
            assert_eq!(take(&mut manifest), []);
        }
    }

    #[test]
    fn what_is_not_shaped_like_the_path_is_left_alone() {
        for manifest in [json!(null), json!([]), json!({"spec": 1}), json!({"spec": {"slices": {"hydrate": 1}}})] {
            let mut left = manifest.clone();
            assert_eq!(take(&mut left), []);
            assert_eq!(left, manifest);
        }
    }
}
