//! `spec.log`: the queue between reading and processing.

use crate::{Quantity, SecretRef, patterns, rules};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The queue between reading and processing: at most one of `embedded`, `nats`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.embedded) || !has(self.nats)")
    .message("names both embedded and nats; give one of them"))]
pub struct Log {
    /// A queue inside the process. Default: absent, which is the same with all defaults, unless nats is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// A stream of NATS JetStream, for many processes at once. It needs sinks.postgres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nats: Option<Nats>,
}

/// A queue inside the process.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Embedded {
    /// How many bytes of events may wait, 1Mi to 4Gi. When it is full the source is not read until there is room;
    /// nothing is dropped. Default: 16Mi.
    #[serde(default = "default_max_bytes")]
    #[x_kube(validation = rules::size_within("1Mi", "4Gi"))]
    pub max_bytes: Quantity,
}

pub(crate) const fn default_max_bytes() -> Quantity {
    Quantity::from_mebibytes(16)
}

/// A NATS server with JetStream, version 2.12 or newer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.credentialsFrom), has(self.nkeyFrom), has(self.user)].filter(given, given).size() <= 1")
        .message("names several of credentialsFrom, nkeyFrom, user; give one of them"),
    validation = Rule::new("!has(self.tls) || has(self.tls.certificateFrom) == has(self.tls.keyFrom)")
        .field_path(".tls")
        .message("names one of certificateFrom and keyFrom; give both, or none")
)]
pub struct Nats {
    /// The address, nats:// or tls:// with host and port; several of one cluster are separated by commas.
    #[schemars(length(min = 1, max = 1024), regex(pattern = patterns::NATS.regex))]
    pub url: String,
    /// A credentials file (JWT and seed). Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_from: Option<SecretRef>,
    /// The seed of an NKey. Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nkey_from: Option<SecretRef>,
    /// A user with a password. Default: absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<NatsUser>,
    /// Certificates for TLS. Default: absent, which trusts those of the system, and uses TLS where the server asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The stream that the log is kept in. Default: absent, which is all defaults.
    #[serde(default)]
    pub stream: Stream,
}

/// A user with a password.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NatsUser {
    /// The name.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// The password.
    pub password_from: SecretRef,
}

/// Certificates, PEM.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificates to trust. Default: absent, which is those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<SecretRef>,
    /// The certificate of the client. Default: absent, which shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_from: Option<SecretRef>,
    /// The private key of the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_from: Option<SecretRef>,
}

/// The stream that the log is kept in.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// On how many servers the stream and the bucket are kept, 1, 3 or 5. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 5))]
    #[x_kube(validation = Rule::new("self % 2 == 1").message("is even, which outlives no more servers; give 1, 3 or 5"))]
    pub replicas: u8,
    /// How many bytes the stream may hold, 16Mi to 10Ti. When it is full the source is not read until there is room;
    /// nothing is dropped. Default: 20Gi.
    #[serde(default = "default_stream_bytes")]
    #[x_kube(validation = rules::size_within("16Mi", "10Ti"))]
    pub max_bytes: Quantity,
    /// How many messages may wait for the workers before the source is not read, 1000 to 1000000000. Default: 500000.
    #[serde(default = "default_high_water")]
    #[schemars(range(min = 1_000, max = 1_000_000_000))]
    pub high_water: u64,
}

const fn one() -> u8 {
    1
}

const fn default_stream_bytes() -> Quantity {
    Quantity::from_mebibytes(20 * 1024)
}

const fn default_high_water() -> u64 {
    500_000
}

impl Default for Stream {
    fn default() -> Self {
        Self { replicas: one(), max_bytes: default_stream_bytes(), high_water: default_high_water() }
    }
}
