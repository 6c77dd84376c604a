//! `spec.sinks`: where events land.

use crate::{Duration, Quantity, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where events land.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.archive) || self.archive.directory != self.sqlite.path")
    .field_path(".archive.directory")
    .message("is the path of the SQLite file too; give a directory of its own"))]
pub struct Sinks {
    /// The SQLite file of records, positions and counters. Required in this version.
    pub sqlite: Sqlite,
    /// Every event in files, in the order of the log. Default: absent, which writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
}

/// A SQLite file.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sqlite {
    /// The path of the file, relative to the directory that the process starts in. It is made when it is not there.
    #[schemars(length(min = 1, max = 4096))]
    pub path: PathBuf,
    /// When to cut off what has changed into a compressed file of its own. Default: absent, which is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotate>,
}

/// When to cut off what has changed into a compressed file of its own: by size, by age, or by what comes first.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.size) || has(self.age)")
    .message("names neither size nor age; give at least one of them"))]
pub struct Rotate {
    /// The size of the open window at which it is cut, 1Mi or more. Default: absent, which is no limit of size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::size_at_least("1Mi"))]
    pub size: Option<Quantity>,
    /// The age of the open window at which it is cut, 1m or more. Default: absent, which is no limit of age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_at_least("1m"))]
    pub age: Option<Duration>,
    /// How many cut windows stay, 1 to 10000; the oldest beyond it are removed. Default: 24.
    #[serde(default = "default_keep")]
    #[schemars(range(min = 1, max = 10_000))]
    pub keep: u32,
}

const fn default_keep() -> u32 {
    24
}

/// Every event in files of a directory, laid out as `slice=…/date=…/hour=…`.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// The directory, relative to the one that the process starts in. It is made when it is not there.
    #[schemars(length(min = 1, max = 4096))]
    pub directory: PathBuf,
    /// The format of the files: parquet or jsonl, both compressed with zstd. Default: parquet.
    #[serde(default)]
    pub format: ArchiveFormat,
    /// When a file is closed and the next one begun: at the size or the age, whichever comes first.
    #[serde(default)]
    pub roll: Roll,
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
