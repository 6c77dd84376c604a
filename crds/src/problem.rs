//! What is wrong with a manifest, said so that it can be mended.

use serde_json::Value;
use std::fmt;

/// How much of a value is shown, in characters.
const SHOWN: usize = 80;

/// One thing that is wrong: where, what was written there, what is wrong with it, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {}{message}; {mend}", .value.as_ref().map(|value| format!("{value} ")).unwrap_or_default())]
pub struct Problem {
    /// The path of the field (`spec.slices[1].partitions`), or the place in the text (`line 3, column 5`).
    pub path: String,
    /// The value as it was written, cut when it is long; absent for lists and mappings, and where a secret could stand.
    pub value: Option<String>,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub mend: String,
}

impl Problem {
    /// A problem of a place, without a value.
    pub(crate) fn at(path: impl Into<String>, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { path: path.into(), value: None, message: message.into(), mend: mend.into() }
    }

    /// Adds the value, unless it is a list, a mapping, or could hold a secret.
    pub(crate) fn with_value(mut self, value: &Value) -> Self {
        self.value = shown(&self.path, value);
        self
    }

    /// A problem that is not the user's: the program contradicts itself.
    pub(crate) fn bug(path: impl Into<String>, what: impl fmt::Display) -> Self {
        Self::at(path, format!("BUG in this program: {what}"), "please report it with the manifest")
    }
}

/// The value as JSON, cut. What stands under a field `…From` is never shown, nor a text that could be an address with
/// a password or a token in it.
fn shown(path: &str, value: &Value) -> Option<String> {
    let secret = path.split(['.', '[']).any(|segment| segment.ends_with("From"));
    match value {
        Value::Object(_) | Value::Array(_) => None,
        Value::String(text) if secret || text.contains(['@', '?']) => None,
        _ if secret => None,
        scalar => Some(cut(&scalar.to_string())),
    }
}

/// The first [`SHOWN`] characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Everything that is wrong with a manifest; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in the order of the checks and then of their paths.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "an error without a problem");
        Self(problems)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// One problem on each line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_cut_and_a_secret_is_not_shown() {
        let shown = |path: &str, value: Value| Problem::at(path, "is wrong", "mend it").with_value(&value).to_string();
        assert_eq!(shown("spec.x", json!(0)), "spec.x: 0 is wrong; mend it");
        assert_eq!(shown("spec.x", json!("a\nb")), "spec.x: \"a\\nb\" is wrong; mend it");
        assert_eq!(shown("spec.x", json!(["a"])), "spec.x: is wrong; mend it");
        let long = shown("spec.x", json!("é".repeat(100)));
        assert_eq!(long, format!("spec.x: \"{}… is wrong; mend it", "é".repeat(79)));
        for (path, value) in [
            ("spec.passwordFrom", json!("hunter2")),
            ("spec.credentialsFrom[0]", json!(1234)),
            ("spec.caFrom.secret.key", json!("hunter2")),
            ("spec.source.jetstream.endpoints[0]", json!("wss://me:hunter2@host")),
            ("spec.source.jetstream.endpoints[0]", json!("wss://host/?token=hunter2")),
        ] {
            assert_eq!(shown(path, value), format!("{path}: is wrong; mend it"));
        }
    }
}
