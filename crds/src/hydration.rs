//! `spec.hydration` and `spec.slices[].hydrate`: what is looked up for a record, how long it counts, and who is asked.

use crate::{Duration, Quantity, SecretRef, patterns, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is looked up for the records of a slice, each target with how long an answer counts, 1s to 24h. A target that
/// is left out is off.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.author) || has(self.mentions) || has(self.reply) || has(self.quote) || has(self.subject)")
    .message("names nothing to look up; give one of author, mentions, reply, quote, subject, or leave it out"))]
pub struct Hydrate {
    /// The profile of who wrote the record: for how long it counts, 1s to 24h. Default: absent, which is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub author: Option<Duration>,
    /// The profiles that a post's text mentions: for how long they count, 1s to 24h. Default: absent, which is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub mentions: Option<Duration>,
    /// The post that a post answers, and the first of its thread, with their authors: for how long they count, 1s to 24h.
    /// Default: absent, which is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub reply: Option<Duration>,
    /// The post that a post quotes, with its author: for how long it counts, 1s to 24h. Default: absent, which is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub quote: Option<Duration>,
    /// The post that is liked or reposted, with its author, or the profile that is followed, blocked or listed: for how long it
    /// counts, 1s to 24h. Default: absent, which is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::duration_within_a_day("1s"))]
    pub subject: Option<Duration>,
}

/// Who is asked for profiles and posts, and how much. The hosts are asked by nobody by name, unless session or tokens says by
/// whom.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.session) || !has(self.tokens)")
    .message("names both session and tokens; give one of them"))]
pub struct Hydration {
    /// AppViews, 1 to 4: the first that may be asked is: it answers, and has room. Default: https://public.api.bsky.app.
    #[serde(default = "default_hosts")]
    #[schemars(length(min = 1, max = 4))]
    #[schemars(inner(length(min = 1, max = 512), regex(pattern = patterns::HTTP.regex)))]
    pub hosts: Vec<String>,
    /// Requests in a second, of all workers together, 0.1 to 1000; what a host announces counts where it is less.
    /// Default: 10.
    #[serde(default = "default_rate")]
    #[schemars(range(min = 0.1, max = 1000.0), extend("default" = 10))]
    pub requests_per_second: f64,
    /// An account that asks. Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// A credentials service that says by whom is asked. Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Certificates that the hosts are trusted by, in PEM. Default: absent, which trusts those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<SecretRef>,
    /// How many bytes of answers a worker keeps, 1Mi to 64Gi. Default: 64Mi.
    #[serde(default = "default_cache")]
    #[x_kube(validation = rules::size_within("1Mi", "64Gi"))]
    pub cache: Quantity,
    /// How many bytes of answers all workers keep together, in memory of NATS, 1Mi to 64Gi; needs log.nats. Default: absent,
    /// which is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::size_within("1Mi", "64Gi"))]
    pub shared_cache: Option<Quantity>,
    /// Records that wait to be completed. Default: absent, which is all defaults.
    #[serde(default)]
    pub queue: Queue,
}

/// An account that asks, by its app password. Each host is sent both, and makes a session of its own for it.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its handle or DID.
    #[schemars(length(min = 1, max = 2048))]
    pub identifier: String,
    /// An app password, not that of the account itself.
    pub password_from: SecretRef,
}

/// A credentials service. It is asked by GET, and answers with a token: {"accessJwt": "…"}.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Its address. A GET of it answers 200 and {"accessJwt": "…"}.
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::HTTP.regex))]
    pub url: String,
}

/// Records that landed with less than was asked for, and wait to be completed: the oldest first.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// How many may wait, 1000 to 1000000000; beyond that the oldest stay as they are. Default: 1000000.
    #[serde(default = "default_records")]
    #[schemars(range(min = 1_000, max = 1_000_000_000))]
    pub records: u64,
    /// How long one may wait, 1m to 24h; after that it stays as it is. Default: 6h.
    #[serde(default = "default_age")]
    #[x_kube(validation = rules::duration_within_a_day("1m"))]
    pub age: Duration,
}

fn default_hosts() -> Vec<String> {
    vec!["https://public.api.bsky.app".to_owned()]
}

const fn default_rate() -> f64 {
    10.0
}

const fn default_cache() -> Quantity {
    Quantity::from_mebibytes(64)
}

const fn default_records() -> u64 {
    1_000_000
}

const fn default_age() -> Duration {
    Duration::from_secs(6 * 3600)
}

impl Default for Hydration {
    fn default() -> Self {
        Self {
            hosts: default_hosts(),
            requests_per_second: default_rate(),
            session: None,
            tokens: None,
            ca_from: None,
            cache: default_cache(),
            shared_cache: None,
            queue: Queue::default(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { records: default_records(), age: default_age() }
    }
}
