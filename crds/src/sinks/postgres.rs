//! `spec.sinks.postgres`.

use crate::{Duration, SecretRef, patterns, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A PostgreSQL database, version 14 or newer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Postgres {
    /// The address: postgres://user:password@host:port/database. It may lead to PgBouncer in transaction mode.
    pub url_from: SecretRef,
    /// The address for migrations, which take a lock of the session, where `urlFrom` leads to PgBouncer. Default: absent,
    /// which is the same address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct_url_from: Option<SecretRef>,
    /// How many connections a process may hold, 2 to 64. Default: 4.
    #[serde(default = "default_connections")]
    #[schemars(range(min = 2, max = 64))]
    pub connections: u16,
    /// Tables with typed columns, made from the records of common collections. Default: empty, which makes none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other == one))")
        .message("the same projection stands twice; give each once"))]
    pub projections: Vec<Projection>,
    /// What is removed, and when: records of these collections, at this age. Default: empty, which keeps everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub retention: Vec<Retention>,
}

const fn default_connections() -> u16 {
    4
}

/// A table with typed columns.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub enum Projection {
    /// app.bsky.feed.post
    Posts,
    /// app.bsky.feed.like
    Likes,
    /// app.bsky.feed.repost
    Reposts,
    /// app.bsky.graph.follow
    Follows,
    /// app.bsky.graph.block
    Blocks,
    /// app.bsky.graph.list
    Lists,
    /// app.bsky.graph.listitem
    ListItems,
    /// app.bsky.actor.profile
    Profiles,
}

impl Projection {
    /// The name of its table.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Self::Posts => "posts",
            Self::Likes => "likes",
            Self::Reposts => "reposts",
            Self::Follows => "follows",
            Self::Blocks => "blocks",
            Self::Lists => "lists",
            Self::ListItems => "list_items",
            Self::Profiles => "profiles",
        }
    }
}

/// Records that are removed when they are old.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// The collections: NSIDs, prefixes like `app.bsky.feed.*`, or `*` for all, 1 to 64.
    #[schemars(length(min = 1, max = 64))]
    #[schemars(inner(length(min = 1, max = 319), regex(pattern = patterns::COLLECTION_PREFIX_OR_ALL.regex)))]
    pub collections: Vec<String>,
    /// The age by source time, 1h or more.
    #[x_kube(validation = rules::duration_at_least("1h"))]
    pub age: Duration,
}
