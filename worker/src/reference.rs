//! Reference pages that are made from the code.

use serde_json::Value;
use std::fmt::Write as _;

/// Every field of the pipeline file, from the schema.
///
/// # Errors
/// The schema can not be made.
pub fn pipeline_file() -> anyhow::Result<String> {
    let schema = turbo_crds::crd()?;
    let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut page = String::from(
        "# The pipeline file\n\nA `TurboPipeline` manifest of `turbopipeline.dev/v1alpha1`. This page is made from the code: \
         `turbo reference pipeline-file`.\n\n| field | type | what |\n|---|---|---|\n",
    );
    fields(&mut page, "spec", spec)?;
    page += "\nSizes are quantities (`64Mi`, `1Gi`), durations are text (`30s`, `10m`, `1h`). A field with a `*` is required.\n";
    Ok(page)
}

fn fields(page: &mut String, path: &str, schema: &Value) -> std::fmt::Result {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let list = &field["items"];
        let inner = if list.is_null() { field } else { list };
        let star = if required.iter().any(|one| one == name) { "\\*" } else { "" };
        let path = format!("{path}.{name}{}", if list.is_null() { "" } else { "[]" });
        let text = field["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        writeln!(page, "| `{path}`{star} | {} | {text} |", kind(inner))?;
        fields(page, &path, inner)?;
    }
    Ok(())
}

fn kind(schema: &Value) -> String {
    let values = schema["enum"].as_array().map(|values| {
        values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
    });
    values.unwrap_or_else(|| match (&schema["type"], schema["x-kubernetes-int-or-string"].as_bool()) {
        (_, Some(true)) => "integer or text".into(),
        (Value::String(kind), _) => kind.replace("string", "text"),
        _ => "text".into(),
    })
}
