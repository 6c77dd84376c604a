//! Where a secret is to be found. The secret itself is never in the manifest.

use crate::patterns;
use crate::rules::exactly_one;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where a secret is to be found: exactly one of `secret`, `env`, `file`. It is read again when it changes, and used
/// at the next connection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one(&["secret", "env", "file"]))]
pub struct SecretRef {
    /// One key of a Secret. On one's own machine it is the file `<name>/<key>` in the directory that `--secrets` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
    /// The name of an environment variable of the process. Not for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = patterns::ENV.regex))]
    pub env: Option<String>,
    /// The path of a file, relative to the directory that the process starts in. Not for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub file: Option<PathBuf>,
}

/// One key of a Secret.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The name of the Secret, in the namespace of the pipeline.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_NAME.regex))]
    pub name: String,
    /// The key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::SECRET_KEY.regex))]
    pub key: String,
}

/// The one choice of a [`SecretRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretChoice<'a> {
    /// `secret`.
    Secret(&'a SecretKey),
    /// `env`.
    Env(&'a str),
    /// `file`.
    File(&'a Path),
}

impl SecretRef {
    /// What was chosen; `None` only for a value that did not come through [`crate::load`] and names none or several.
    #[must_use]
    pub fn choice(&self) -> Option<SecretChoice<'_>> {
        match (&self.secret, &self.env, &self.file) {
            (Some(key), None, None) => Some(SecretChoice::Secret(key)),
            (None, Some(name), None) => Some(SecretChoice::Env(name)),
            (None, None, Some(path)) => Some(SecretChoice::File(path)),
            _ => None,
        }
    }
}
