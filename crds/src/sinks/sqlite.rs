//! `spec.sinks.sqlite`.

use super::S3;
use crate::{Duration, Quantity, rules};
use kube::{KubeSchema, core::Rule};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A SQLite file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Sqlite {
    /// The path of the file, relative to the directory that the process starts in. It is made when it is not there.
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = it_is_a_file())]
    pub path: PathBuf,
    /// When to cut off what has changed into a compressed file of its own. Default: absent, which is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate: Option<Rotate>,
}

/// SQLite itself takes these for a database in memory, and for an address with options.
fn it_is_a_file() -> Rule {
    Rule::new("!self.startsWith(':memory:') && !self.startsWith('file:')")
        .message("is no path to SQLite; give one like data/bluesky.sqlite, and ./ before a name that begins so")
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
    /// A bucket that cut windows are copied to, below `<prefix>/windows/`; nothing is removed there, and a window that is not
    /// there yet stays here. Default: absent, which copies none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
}

const fn default_keep() -> u32 {
    24
}
