//! Secrets: the pipeline file only says where they are. They are read when they are needed, and never logged.

use std::path::Path;
use turbo_crds::{SecretChoice, SecretRef};

/// A secret that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {what}; {mend}")]
pub struct Missing {
    field: String,
    what: String,
    mend: &'static str,
}

/// The bytes of a secret. `folder` is what `--secrets` names.
///
/// # Errors
/// It is not where the reference says.
pub fn read(field: &str, reference: &SecretRef, folder: Option<&Path>) -> Result<Vec<u8>, Missing> {
    let missing = |what: String, mend| Missing { field: field.to_owned(), what, mend };
    let file = |path: &Path| {
        std::fs::read(path).map_err(|e| missing(format!("{}: {e}", path.display()), "put the secret there"))
    };
    match reference.choice() {
        Some(SecretChoice::File(path)) => file(path),
        Some(SecretChoice::Env(name)) => std::env::var(name)
            .map(String::into_bytes)
            .map_err(|_| missing(format!("the environment variable {name} is not set"), "set it")),
        Some(SecretChoice::Secret(key)) => match folder {
            Some(folder) => file(&folder.join(&key.name).join(&key.key)),
            None => Err(missing(format!("the secret {} needs a folder of secrets", key.name), "give --secrets DIR")),
        },
        None => Err(missing("names none or several of secret, env, file".into(), "give exactly one")),
    }
}
