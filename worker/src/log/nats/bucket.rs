//! The bucket: made and kept as the spec says, and whether it takes what is written.

use super::refusal::{self, foreign};
use super::stream::{FIELD, Options, is_missing};
use super::{Error, Names};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{Context, kv};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Changes of a key that the bucket keeps.
const HISTORY: i64 = 1;

pub(super) fn config(names: &Names, options: &Options) -> kv::Config {
    kv::Config {
        bucket: names.bucket().to_owned(),
        description: format!("the pipeline {}/{}", options.namespace, options.pipeline),
        history: HISTORY,
        num_replicas: options.replicas,
        limit_markers: Some(Duration::from_secs(60)),
        ..kv::Config::default()
    }
}

/// Makes the bucket, or brings it up to date; its stream must be one of a bucket, and of this pipeline's.
///
/// # Errors
/// It is another's; the limits can not be had; no answer.
pub(super) async fn keep(
    context: &Context,
    wanted: kv::Config,
    labels: &HashMap<String, String>,
) -> Result<kv::Store, Error> {
    let name = wanted.bucket.clone();
    match context.get_stream(format!("KV_{name}")).await {
        Ok(stream) => {
            let found = &stream.cached_info().config;
            let is_bucket = found.subjects == [format!("$KV.{name}.>")];
            if !is_bucket || found.description.as_ref().is_some_and(|description| *description != wanted.description) {
                return Err(foreign(&found.name, labels, "is there, and no pipeline's".to_owned()));
            }
            if is_so(found, &wanted) {
                return context.get_key_value(name).await.map_err(|error| Error::request("the bucket")(&error));
            }
        }
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(Error::request("the bucket")(&error)),
    }
    let made = context.create_or_update_key_value(wanted).await;
    made.map_err(|error| refusal::not_made(&error, FIELD, &format!("KV_{name}"), -1))
}

/// Whether a bucket needs no change. A server whose disk is full takes none, but may go on with what is there.
fn is_so(found: &Config, wanted: &kv::Config) -> bool {
    let is_bounded = found.max_bytes > 0 || found.max_messages > 0 || found.max_message_size > 0;
    found.num_replicas == wanted.num_replicas
        && found.max_messages_per_subject == wanted.history
        && found.subject_delete_marker_ttl == wanted.limit_markers
        && found.max_age.is_zero()
        && !is_bounded
}

/// Since when the bucket takes nothing, and why: of all copies of a log. A server whose disk was full goes on without storing
/// into a stream until it is started again (seen on 2.15), while it answers everything else.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusing(Arc<Mutex<Option<(Instant, String)>>>);

impl Refusing {
    /// Something was written, or was not.
    pub(super) fn written<T>(&self, outcome: &Result<T, Error>) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *since = match outcome {
            Ok(_) => None,
            Err(error) => Some((since.as_ref().map_or_else(Instant::now, |(since, _)| *since), error.to_string())),
        };
    }

    /// Why nothing was taken for so long.
    pub(super) fn lasts(&self, limit: Duration) -> Option<String> {
        let since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.as_ref().filter(|(since, _)| since.elapsed() >= limit).map(|(_, why)| why.clone())
    }
}
