//! `spec.source.jetstream`: a Jetstream service.

use crate::{Duration, Quantity, SecretRef, patterns, rules};
use kube::{
    KubeSchema,
    core::{Message, Rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A Jetstream service and what to ask it for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = no_dictionary_with_v2(),
    validation = no_dictionary_without_compression(),
    validation = a_dictionary_for_v1_compression(),
    validation = a_time_for_v1(),
    validation = a_sequence_for_one_endpoint(),
    validation = few_dids_for_v2(),
    validation = Rule::new("!has(self.caFrom) || self.endpoints.exists(endpoint, endpoint.startsWith('wss://'))")
        .field_path(".caFrom")
        .message("is given, but no endpoint is wss://; remove it, or give a wss:// endpoint")
)]
pub struct Jetstream {
    /// The protocol: v2 (subscribeEvents: exact sequence cursors, resyncs are told) or v1 (/subscribe). Default: v2.
    #[serde(default)]
    pub version: JetstreamVersion,
    /// The services, ws:// or wss://, in the order of preference: when one fails, the next is tried. 1 to 8, each once.
    /// An address is host, port and base path; the path of the protocol is added to it.
    #[schemars(length(min = 1, max = 8))]
    #[schemars(inner(length(min = 1, max = 512), regex(pattern = patterns::ENDPOINT.regex)))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other == one))")
        .message("the same endpoint stands twice; give each endpoint once"))]
    pub endpoints: Vec<String>,
    /// The collections to ask for: NSIDs, or prefixes like `app.bsky.feed.*`. At most 100. Default: empty, which is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    #[schemars(inner(length(min = 1, max = 319), regex(pattern = patterns::COLLECTION_OR_PREFIX.regex)))]
    pub collections: Vec<String>,
    /// The DIDs of the repositories to ask for. At most 10000 with v1, and 1000 with v2, where the URL bears them. Default:
    /// empty, which is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    #[schemars(inner(length(min = 1, max = 2048), regex(pattern = patterns::DID.regex)))]
    pub dids: Vec<String>,
    /// Where a pipeline that has no position yet begins: a time in microseconds since 1970 (values of 1000000000000000 and
    /// above), or the sequence of a v2 event, which counts on one service only, and so with one endpoint only. A sequence
    /// that the service no longer has ends the process. 0 is the beginning. Default: absent, which is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991u64))]
    pub cursor: Option<u64>,
    /// The largest event to ask for, 1 byte to 64Mi, as JSON with its envelope. Larger ones are not sent by the service,
    /// and so are not in the pipeline. Default: absent, which is no limit of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::size_within("1", "64Mi"))]
    pub max_message_size: Option<Quantity>,
    /// How the service compresses: zstd or none. Default: zstd with v2, none with v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// The path of the zstd dictionary file. Only with version v1 and compression zstd, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub dictionary: Option<PathBuf>,
    /// Certificates (PEM) to trust for wss:// beside those of the system. Default: absent, which is the system's only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_from: Option<SecretRef>,
    /// The largest frame that is accepted, on the wire and after decompression, 64Ki to 64Mi. A larger one is asked for once
    /// more, then it is a dead letter, without its bytes where it is too large on the wire, and the service is asked to leave
    /// it out. Default: 4Mi.
    #[serde(default = "default_max_frame")]
    #[x_kube(validation = rules::size_within("64Ki", "64Mi"))]
    pub max_frame: Quantity,
    /// How long nothing at all may come from a service, not even the answer to a ping, before it is given up, 1s to 10m.
    /// Default: 20s.
    #[serde(default = "default_silence")]
    #[x_kube(validation = rules::duration_within("1s", "10m"))]
    pub silence: Duration,
}

const fn default_silence() -> Duration {
    Duration::from_secs(20)
}

const fn default_max_frame() -> Quantity {
    Quantity::from_mebibytes(4)
}

impl Jetstream {
    /// The compression that holds: as written, else zstd for v2 and none for v1.
    #[must_use]
    pub fn compression(&self) -> Compression {
        self.compression.unwrap_or(match self.version {
            JetstreamVersion::V2 => Compression::Zstd,
            JetstreamVersion::V1 => Compression::None,
        })
    }
}

/// A v2 service hands out its dictionary by number.
fn no_dictionary_with_v2() -> Rule {
    Rule::new("!has(self.dictionary) || self.version == 'v1'")
        .field_path(".dictionary")
        .message("is given with version v2, which fetches its dictionaries itself; remove it, or set version: v1")
}

/// A dictionary that nothing would read is a mistake.
fn no_dictionary_without_compression() -> Rule {
    let compressed = "has(self.compression) && self.compression == 'zstd'";
    Rule::new(format!("!has(self.dictionary) || self.version == 'v2' || ({compressed})"))
        .field_path(".dictionary")
        .message("is given without compression; set compression: zstd, or remove it")
}

/// v1 knows times only.
fn a_time_for_v1() -> Rule {
    Rule::new("self.version != 'v1' || !has(self.cursor) || self.cursor == 0 || self.cursor >= 1000000000000000")
        .field_path(".cursor")
        .message("is a sequence, which v1 does not know; give a time in microseconds since 1970, or version: v2")
}

/// Another service has other events at the same number.
fn a_sequence_for_one_endpoint() -> Rule {
    let no_sequence = "!has(self.cursor) || self.cursor == 0 || self.cursor >= 1000000000000000";
    Rule::new(format!("self.version == 'v1' || {no_sequence} || self.endpoints.size() == 1"))
        .field_path(".cursor")
        .message(
            "is a sequence, which counts on one service only, with several endpoints; \
             give one endpoint, or a time in microseconds since 1970",
        )
}

/// The request of v2 has no place for more: its URL bears them all.
fn few_dids_for_v2() -> Rule {
    Rule::new("self.version == 'v1' || !has(self.dids) || self.dids.size() <= 1000").field_path(".dids").message(
        Message::Expression(
            "'%d DIDs are above 1000, which is what the URL of v2 bears; give fewer, or version: v1'\
             .format([self.dids.size()])"
                .into(),
        ),
    )
}

/// v1 compresses with a dictionary that the reader must have.
fn a_dictionary_for_v1_compression() -> Rule {
    let plain = "!has(self.compression) || self.compression == 'none'";
    Rule::new(format!("has(self.dictionary) || self.version == 'v2' || {plain}")).field_path(".dictionary").message(
        "required with version v1 and compression zstd; \
         give the path of the zstd dictionary file, or set compression: none",
    )
}

/// A protocol of Jetstream.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum JetstreamVersion {
    /// `network.bsky.jetstream.subscribeEvents`.
    #[default]
    V2,
    /// `/subscribe`.
    V1,
}

/// How a stream is compressed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard with a dictionary.
    Zstd,
    /// Not at all.
    None,
}
