//! `spec.sinks`: where events land.

mod archive;
mod enriched;
mod postgres;
mod sqlite;

pub use archive::{Archive, ArchiveChoice, ArchiveFormat, Encryption, EncryptionMode, Roll, S3};
pub use enriched::{Enriched, EnrichedNats};
pub use postgres::{Postgres, Projection, Retention};
pub use sqlite::{Rotate, Sqlite};

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where events land: exactly one of `sqlite`, `postgres`, and what may stand beside it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = crate::rules::exactly_one(&["sqlite", "postgres"]),
    validation = Rule::new("!has(self.archive) || !has(self.archive.directory) || !has(self.sqlite) \
                            || self.archive.directory != self.sqlite.path")
        .field_path(".archive.directory")
        .message("is the path of the SQLite file too; give a directory of its own"),
    validation = Rule::new("!has(self.archive) || !has(self.archive.s3) || has(self.postgres)")
        .field_path(".archive.s3")
        .message("is given without postgres; give sinks.postgres with log.nats, or archive.directory"),
    validation = Rule::new("!has(self.enriched) || has(self.postgres)")
        .field_path(".enriched")
        .message("is given without postgres; give sinks.postgres with log.nats, or remove it")
)]
pub struct Sinks {
    /// The SQLite file of records, positions and counters: everything in one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<Sqlite>,
    /// The PostgreSQL database of records, positions and counters. It needs log.nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Postgres>,
    /// Every event in files or objects, in the order of the log. Default: absent, which writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// Every committed event on a stream for others to read. Default: absent, which sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enriched: Option<Enriched>,
}
