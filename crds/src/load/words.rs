//! The words for what does not fit the schema.

use super::{closest::closest, path};
use crate::{
    crd::whole,
    patterns::{self, Pattern},
    problem::Problem,
};
use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;

/// The problems of one misfit: one for each unknown field of a mapping, else one.
pub(super) fn problems(error: &ValidationError<'_>, schema: &Value) -> Vec<Problem> {
    let place = path::of(error.instance_path());
    let node = parent(schema, error.schema_path().as_str());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .map(|name| Problem::at(path::field(&place, name), "unknown field", known(name, node)))
            .collect(),
        Kind::Required { property } => vec![missing(&place, property, node)],
        kind => {
            let (message, mend) = misfit(kind, error.instance(), node);
            vec![Problem::at(place, message, mend).with_value(error.instance())]
        }
    }
}

/// The part of the schema that holds the keyword at the end of `pointer`.
fn parent<'a>(schema: &'a Value, pointer: &str) -> &'a Value {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    schema.pointer(parent).unwrap_or(&Value::Null)
}

fn known(written: &str, node: &Value) -> String {
    let names = || node["properties"].as_object().into_iter().flat_map(|fields| fields.keys()).map(String::as_str);
    match closest(written, names()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("remove it, or give one of {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn missing(place: &str, name: &Value, node: &Value) -> Problem {
    let name = name.as_str().unwrap_or_default();
    let description = node["properties"][name]["description"].as_str().unwrap_or_default();
    let first = description.split_once(". ").map_or(description, |(first, _)| first).trim_end_matches('.');
    let mut letters = first.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
    Problem::at(path::field(place, name), "required, but missing", format!("add it: {first}"))
}

fn misfit(kind: &Kind, value: &Value, node: &Value) -> (String, String) {
    let count = value.as_array().map_or(0, Vec::len);
    match kind {
        Kind::Type { .. } => wrong_type(value, node),
        Kind::Minimum { .. } | Kind::Maximum { .. } if is_size(node) => {
            of(pattern(node).unwrap_or(&patterns::QUANTITY))
        }
        Kind::Minimum { limit } => (format!("is below {}", number(limit)), format!("give {}", range(node))),
        Kind::Maximum { limit } => (format!("is above {}", number(limit)), format!("give {}", range(node))),
        Kind::Enum { options } => ("is not a choice here".to_owned(), format!("give {}", choices(options))),
        Kind::Pattern { .. } | Kind::MinLength { .. } => match pattern(node) {
            Some(pattern) => of(pattern),
            None => ("is too short".to_owned(), "give at least one character".to_owned()),
        },
        Kind::MaxLength { limit } => {
            let length = value.as_str().map_or(0, |text| text.chars().count());
            (format!("is {length} characters long"), format!("give at most {limit}"))
        }
        Kind::MinItems { limit } => (format!("has {count} entries"), format!("give at least {limit}")),
        Kind::MaxItems { limit } => (format!("has {count} entries"), format!("give at most {limit}")),
        other => (format!("does not fit the schema ({})", other.keyword()), "see the fields of the CRD".to_owned()),
    }
}

fn wrong_type(value: &Value, node: &Value) -> (String, String) {
    let is = match value {
        Value::Null => "is null",
        Value::Bool(_) => "is a boolean",
        Value::Number(_) => "is a number",
        Value::String(_) => "is a text",
        Value::Array(_) => "is a list",
        Value::Object(_) => "is a mapping",
    };
    if node["enum"].is_array() {
        return (is.to_owned(), format!("give {}", choices(&node["enum"])));
    }
    let give = match node["type"].as_str() {
        _ if is_size(node) => pattern(node).unwrap_or(&patterns::QUANTITY).mend,
        Some("string") if pattern(node).is_some() && value == false => "leave it out, to have none",
        Some("string") if pattern(node).is_some() => pattern(node).map_or("", |pattern| pattern.mend),
        Some("string") if value.is_number() || value.is_boolean() => "put it in quotes",
        Some("string") => "give a text",
        Some("integer" | "number") if is_number(value) => "leave out the quotes",
        Some("number") if !node["minimum"].is_null() => {
            return (is.to_owned(), format!("give a number, {}", range(node)));
        }
        Some("integer") => "give a whole number",
        Some("number") => "give a number",
        Some("array") => "give a list",
        Some("object") => "give a mapping of fields",
        Some("boolean") => "give true or false",
        _ => "give another type",
    };
    (is.to_owned(), give.to_owned())
}

/// Whether a text is a number.
fn is_number(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<f64>().is_ok())
}

fn is_size(node: &Value) -> bool {
    node["x-kubernetes-int-or-string"] == true
}

fn pattern(node: &Value) -> Option<&'static Pattern> {
    let regex = node["pattern"].as_str()?;
    patterns::ALL.into_iter().find(|pattern| pattern.regex == regex)
}

fn of(pattern: &Pattern) -> (String, String) {
    (pattern.what.to_owned(), pattern.mend.to_owned())
}

fn range(node: &Value) -> String {
    match (&node["minimum"], &node["maximum"]) {
        (Value::Null, max) => format!("at most {}", number(max)),
        (min, Value::Null) => format!("{} or more", number(min)),
        (min, max) => format!("{} to {}", number(min), number(max)),
    }
}

fn number(value: &Value) -> String {
    value.as_number().and_then(whole).map_or_else(|| value.to_string(), |whole| whole.to_string())
}

fn choices(options: &Value) -> String {
    let names: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(" or ")
}
