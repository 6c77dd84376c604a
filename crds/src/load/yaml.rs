//! The text: size, syntax, keys that stand twice.

use super::FILE;
use crate::{Problems, problem::Problem};
use serde_json::Value;
use serde_saphyr::{
    Error, Options,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};

/// The largest text that is read. The API server's own limit for an object is near it.
const MAX_BYTES: usize = 1 << 20;

/// The one document of the text as JSON, and the keys that stand twice in it (the first of each is kept, so that the
/// other problems are found too).
pub(super) fn read(text: &str) -> Result<(Value, Vec<Problem>), Problems> {
    if text.len() > MAX_BYTES {
        return Err(Problem::at(FILE, format!("is {} bytes long", text.len()), "give at most 1 MiB").into());
    }
    match parse(text, DuplicateKeyPolicy::Error) {
        Ok(manifest) => Ok((manifest, Vec::new())),
        Err(error) => match (error.without_snippet(), parse(text, DuplicateKeyPolicy::FirstWins)) {
            (Error::DuplicateMappingKey { .. }, Ok(manifest)) => Ok((manifest, vec![problem(&error)])),
            _ => Err(problem(&error).into()),
        },
    }
}

/// The budgets bound the memory and the time that a small text may ask for by depth, anchors and aliases.
fn parse(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Value, Error> {
    let options: Options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 64, max_nodes: 100_000, max_aliases: 1_000, max_anchors: 1_000 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000, max_replay_stack_depth: 16 },
        duplicate_keys: duplicate_keys,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString, // no value in the error either
        with_snippet: false, // lines of the text could hold a secret
    };
    serde_saphyr::from_str_with_options(text, options)
}

fn problem(error: &Error) -> Problem {
    let place = error.location().map_or(FILE.to_owned(), |at| format!("line {}, column {}", at.line(), at.column()));
    match error.without_snippet() {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().map(crate::problem::cut).unwrap_or_default();
            Problem::at(place, format!("the key {key} stands twice in one mapping"), "keep one of the two")
        }
        Error::AliasError { error, .. } => problem(error),
        Error::MultipleDocuments { .. } => {
            Problem::at(place, "a second document begins here", "give one manifest in a file")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasExpansionLimitExceeded { .. } => {
            Problem::at(place, "is too deep, or too large with its aliases put in", "write it plainly, without aliases")
        }
        other => {
            let text = other.to_string();
            let what = text.split_once(" at line ").map_or(text.as_str(), |(what, _)| what);
            Problem::at(place, format!("is not YAML: {what}"), "mend the syntax")
        }
    }
}
