//! Paths of fields: `spec.slices[1].partitions`.

use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value;

/// The path of a place in a manifest.
pub(super) fn of(place: &Location) -> String {
    place.iter().fold(String::new(), |path, segment| match segment {
        LocationSegment::Property(name) => field(&path, &name),
        LocationSegment::Index(index) => format!("{path}[{index}]"),
    })
}

/// The path of a field; a name that would not read as one is quoted, and cut when it is long.
pub(super) fn field(path: &str, name: &str) -> String {
    let plain =
        !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{:?}]", crate::problem::cut(name)),
    }
}

/// What stands at a path of plain names and indices.
pub(super) fn value<'a>(manifest: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[']).try_fold(manifest, |value, segment| match segment.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(segment),
    })
}
