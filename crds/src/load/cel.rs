//! The rules of the CRD, as the API server would run them.

use super::path;
use crate::{TurboPipeline, problem::Problem};
use kube::core::cel::{ErrorKind, ValidationError};
use serde_json::Value;

/// The rules that a manifest breaks. A rule that can not be run is a bug, and is said to be one: it must not pass, and
/// it is not the user's to mend.
pub(super) fn check(pipeline: &TurboPipeline, manifest: &Value) -> Vec<Problem> {
    match pipeline.validate_cel() {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| problem(error, manifest)).collect(),
    }
}

fn problem(error: &ValidationError, manifest: &Value) -> Problem {
    if error.kind != ErrorKind::ValidationFailure {
        return Problem::bug(
            &error.field_path,
            format_args!("{:?} of the rule {}: {}", error.kind, error.rule, error.message),
        );
    }
    // A rule of the whole resource can not bear the path of a field of the metadata, so its message does.
    let (path, text) = match error.message.split_once(": ") {
        Some((path, text)) if error.field_path.is_empty() => (path, text),
        _ => (error.field_path.as_str(), error.message.as_str()),
    };
    let (message, mend) = text.split_once("; ").unwrap_or((text, "see the fields of the CRD"));
    let problem = Problem::at(path, message, mend);
    match path::value(manifest, path) {
        Some(value) => problem.with_value(value),
        None => problem,
    }
}
