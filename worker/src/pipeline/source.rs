//! The source that the pipeline file names, opened as far as that shows without a connection.

use crate::secrets;
use crate::sources::jetstream::{self, Dictionaries, Filters, Jetstream, Version, client_config};
use crate::sources::recording::{self, Recording};
use anyhow::{Context, anyhow};
use std::path::Path;
use std::time::Duration;
use turbo_crds::{Compression, JetstreamVersion, Pace, SourceChoice, TurboPipelineSpec};

const CA: &str = "spec.source.jetstream.caFrom";

/// How long no event may come from a host that answers; longer where filters make a quiet stream.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_FILTERED: Duration = Duration::from_secs(600);

/// A source that was found to be usable, as far as that shows without a connection.
pub(super) enum OpenSource {
    Jetstream(Box<Jetstream>),
    Recording(Recording),
}

impl OpenSource {
    pub(super) fn open(spec: &TurboPipelineSpec, secrets: Option<&Path>) -> anyhow::Result<Self> {
        match spec.source.choice() {
            Some(SourceChoice::Jetstream(options)) => {
                Ok(Self::Jetstream(Box::new(jetstream_source(options, secrets)?)))
            }
            Some(SourceChoice::Recording(options)) => Ok(Self::Recording(recording_source(options)?)),
            None => Err(anyhow!("spec.source: names none or several of jetstream, recording; give exactly one")),
        }
    }
}

pub(super) fn given(spec: &TurboPipelineSpec) -> Option<u64> {
    spec.source.jetstream.as_ref().and_then(|jetstream| jetstream.cursor)
}

fn recording_source(options: &turbo_crds::Recording) -> anyhow::Result<Recording> {
    Ok(Recording::open(recording::Options {
        path: options.path.clone(),
        recorded_pace: options.pace == Pace::Recorded,
        max_frame: recording::MAX_LINE,
    })?)
}

fn jetstream_source(options: &turbo_crds::Jetstream, secrets: Option<&Path>) -> anyhow::Result<Jetstream> {
    let ca = options.ca_from.as_ref().map(|from| secrets::read(CA, from, secrets)).transpose()?;
    let tls = client_config(ca.as_deref()).context(CA)?;
    let dictionaries = match (options.compression(), options.version, &options.dictionary) {
        (Compression::None, ..) => None,
        (Compression::Zstd, JetstreamVersion::V1, Some(path)) => {
            let bytes = std::fs::read(path).context("can not be read; give a zstd dictionary");
            let field = || format!("spec.source.jetstream.dictionary: {}", path.display());
            Some(bytes.and_then(|bytes| Ok(Dictionaries::fixed(bytes)?)).with_context(field)?)
        }
        (Compression::Zstd, ..) => Some(Dictionaries::remote(&tls)?),
    };
    let endpoint = |url: &String| url.parse().with_context(|| format!("spec.source.jetstream.endpoints: {url}"));
    let filtered = !options.collections.is_empty() || !options.dids.is_empty();
    let options = jetstream::Options {
        version: match options.version {
            JetstreamVersion::V1 => Version::V1,
            JetstreamVersion::V2 => Version::V2,
        },
        endpoints: options.endpoints.iter().map(endpoint).collect::<anyhow::Result<_>>()?,
        filters: Filters {
            collections: options.collections.clone(),
            dids: options.dids.clone(),
            max_message_size: options.max_message_size.map(|size| size.bytes()),
        },
        max_frame: options.max_frame.bytes() as usize,
        quiet: if filtered { QUIET_FILTERED } else { QUIET },
        silent: options.silence.as_std(),
    };
    Ok(Jetstream::new(options, tls, dictionaries)?)
}
