//! `spec.sinks.archive`.

use crate::{Duration, Quantity, SecretRef, patterns, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Every event in files or objects, laid out as `slice=…/date=…/hour=…`: exactly one of `directory`, `s3`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::exactly_one(&["directory", "s3"]))]
pub struct Archive {
    /// The directory, relative to the one that the process starts in. It is made when it is not there. Not for clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub directory: Option<PathBuf>,
    /// A bucket of S3, or of a store that speaks its language and honours `If-None-Match`. It needs sinks.postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// The format of the files: parquet or jsonl, both compressed with zstd. Default: parquet.
    #[serde(default)]
    pub format: ArchiveFormat,
    /// When a file is closed and the next one begun: at the size or the age, whichever comes first.
    #[serde(default)]
    pub roll: Roll,
}

/// The one choice of an [`Archive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveChoice<'a> {
    /// `directory`.
    Directory(&'a Path),
    /// `s3`.
    S3(&'a S3),
}

impl Archive {
    /// What was chosen; `None` only for a value that did not come through [`crate::load`] and names none or both.
    #[must_use]
    pub fn choice(&self) -> Option<ArchiveChoice<'_>> {
        match (&self.directory, &self.s3) {
            (Some(directory), None) => Some(ArchiveChoice::Directory(directory)),
            (None, Some(s3)) => Some(ArchiveChoice::S3(s3)),
            _ => None,
        }
    }
}

/// A bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.accessKeyIdFrom) == has(self.secretAccessKeyFrom)")
    .message("names one of accessKeyIdFrom and secretAccessKeyFrom; give both, or none"))]
pub struct S3 {
    /// The bucket. It has to be there.
    #[schemars(length(min = 3, max = 63), regex(pattern = patterns::BUCKET.regex))]
    pub bucket: String,
    /// What the keys of all objects begin with, without a `/` at its ends. One pipeline only may write below it.
    /// Default: absent, which is namespace and name of the pipeline, `default/bluesky`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = patterns::PREFIX.regex))]
    pub prefix: Option<String>,
    /// The region. Default: us-east-1.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// The address of the store, http:// or https://. Default: absent, which is AWS in the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::HTTP.regex))]
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path, not in the name of the host. Default: true where an endpoint is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The id of the access key. Default: absent, with secretAccessKeyFrom, which takes what the environment of the process
    /// says (AWS_ACCESS_KEY_ID and the like).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_from: Option<SecretRef>,
    /// The secret of the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_from: Option<SecretRef>,
    /// How the store encrypts objects. Default: absent, which is what the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// How the store encrypts objects.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.keyId) || self.mode == 'aws:kms'")
    .field_path(".keyId")
    .message("is given without KMS; set mode: aws:kms, or remove it"))]
pub struct Encryption {
    /// AES256 (keys of the store) or aws:kms.
    pub mode: EncryptionMode,
    /// The key in KMS. Default: absent, which is the default key of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub key_id: Option<String>,
}

/// A way of server-side encryption.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionMode {
    /// Keys of the store.
    #[serde(rename = "AES256")]
    Aes256,
    /// Keys of the key management service.
    #[serde(rename = "aws:kms")]
    Kms,
}

/// The format of the files of an archive.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ArchiveFormat {
    /// Apache Parquet.
    #[default]
    Parquet,
    /// One JSON object on each line.
    Jsonl,
}

/// When a file of the archive is closed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Roll {
    /// The size at which it is closed, about that of the file, 64Ki to 1Gi. Default: 128Mi.
    #[serde(default = "default_roll_size")]
    #[x_kube(validation = rules::size_within("64Ki", "1Gi"))]
    pub size: Quantity,
    /// The age at which it is closed, 1s to 24h. Default: 5m.
    #[serde(default = "default_roll_age")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub age: Duration,
}

const fn default_roll_size() -> Quantity {
    Quantity::from_mebibytes(128)
}

const fn default_roll_age() -> Duration {
    Duration::from_secs(300)
}

impl Default for Roll {
    fn default() -> Self {
        Self { size: default_roll_size(), age: default_roll_age() }
    }
}
