//! From the text of a manifest to a [`TurboPipeline`] whose every rule holds, or to everything that is wrong with it.

mod cel;
mod closest;
mod identity;
mod path;
mod schema;
mod words;
mod yaml;

use crate::{Problems, TurboPipeline, not_yet, problem::Problem};
use serde_json::Value;

/// What a problem of the whole text is called in place of a path.
const FILE: &str = "the file";

/// Reads a manifest: YAML or JSON, one document, at most 1 MiB.
///
/// Each step finds all that it can find, and the later ones go on as far as they can: the text, the kind, fields that
/// are not in this version, the schema of the CRD (with unknown fields refused), then the rules of the CRD. A field
/// that is written as `null` counts as absent, as it does for Kubernetes.
///
/// # Errors
/// Everything that is wrong, with path, value and mend.
pub fn load(text: &str) -> Result<TurboPipeline, Problems> {
    let (mut manifest, mut problems) = yaml::read(text)?;
    problems.extend(identity::check(&manifest)?);
    problems.extend(not_yet::take(&mut manifest));
    // The operator's, and nothing to a process; one of another version may have other fields.
    manifest.as_object_mut().and_then(|fields| fields.remove("status"));
    schema::drop_nulls(&mut manifest);
    let misfits = schema::check(&manifest);
    if misfits.is_empty() {
        let (pipeline, broken) = rules(&manifest)?;
        problems.extend(broken);
        if problems.is_empty() {
            return Ok(pipeline);
        }
    }
    problems.extend(misfits);
    Err(problems.into())
}

/// The manifest in its types, and the rules that it breaks.
fn rules(manifest: &Value) -> Result<(TurboPipeline, Vec<Problem>), Problems> {
    let pipeline: TurboPipeline = serde_json::from_value(manifest.clone())
        .map_err(|error| Problem::bug(FILE, format_args!("the schema lets through what the types refuse ({error})")))?;
    let broken = cel::check(&pipeline, manifest);
    Ok((pipeline, broken))
}
