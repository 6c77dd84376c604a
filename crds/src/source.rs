//! `spec.source`: where events come from.

use crate::Jetstream;
use crate::rules::exactly_one;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where events come from: exactly one of `jetstream`, `recording`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = exactly_one(&["jetstream", "recording"]))]
pub struct Source {
    /// A Jetstream service: the events of the network as JSON over a WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jetstream: Option<Jetstream>,
    /// A file of events, one JSON object on each line. At its end all is committed and the process exits with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
}

/// The one choice of a [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceChoice<'a> {
    /// `jetstream`.
    Jetstream(&'a Jetstream),
    /// `recording`.
    Recording(&'a Recording),
}

impl Source {
    /// What was chosen; `None` only for a value that did not come through [`crate::load`] and names none or both.
    #[must_use]
    pub fn choice(&self) -> Option<SourceChoice<'_>> {
        match (&self.jetstream, &self.recording) {
            (Some(jetstream), None) => Some(SourceChoice::Jetstream(jetstream)),
            (None, Some(recording)) => Some(SourceChoice::Recording(recording)),
            _ => None,
        }
    }
}

/// A file of events to read instead of a service.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// The path of the file, relative to the directory that the process starts in: JSON lines, plain or `.zst`.
    #[schemars(length(min = 1, max = 4096))]
    pub path: PathBuf,
    /// How fast to read: full (as fast as the sinks take it) or recorded (as the events' own times say). Default: full.
    #[serde(default)]
    pub pace: Pace,
}

/// How fast a recording is read.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as the sinks take it.
    #[default]
    Full,
    /// As the events' own times say.
    Recorded,
}
