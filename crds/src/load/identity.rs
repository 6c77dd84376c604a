//! `apiVersion` and `kind`: whether this is a pipeline at all.

use super::FILE;
use crate::{Problems, TurboPipeline, problem::Problem};
use kube::Resource;
use serde_json::Value;

/// Missing ones are problems among others. With wrong ones, or without fields at all, another schema would apply: no
/// further step makes sense.
pub(super) fn check(manifest: &Value) -> Result<Vec<Problem>, Problems> {
    let wanted = [("apiVersion", TurboPipeline::api_version(&())), ("kind", TurboPipeline::kind(&()))];
    let Some(fields) = manifest.as_object() else {
        let what = if manifest.is_null() { "is empty" } else { "is not a mapping of fields" };
        return Err(Problem::at(FILE, what, "give a TurboPipeline manifest").into());
    };
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in wanted {
        match fields.get(name) {
            None | Some(Value::Null) => {
                missing.push(Problem::at(name, "required, but missing", format!("add {name}: {value}")));
            }
            Some(given) if *given == *value => {}
            Some(given) => {
                wrong.push(Problem::at(name, "is not read by this program", format!("give {value}")).with_value(given));
            }
        }
    }
    if wrong.is_empty() { Ok(missing) } else { Err(wrong.into()) }
}
