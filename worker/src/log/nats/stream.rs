//! The stream and the bucket: made and kept as the spec says.

use super::bucket::{self, Refusing};
use super::connection::{Connected, connect, context};
use super::refusal::{self, OWNER, SLICES, foreign};
use super::{Error, Names, said};
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectOptions};
use bytes::Bytes;
use std::collections::HashMap;
use std::time::Duration;

/// What the pipeline file calls the stream.
pub(super) const FIELD: &str = "spec.log.nats.stream";
/// No message id is used; the server's table of them stays empty.
pub(crate) const DUPLICATES: Duration = Duration::from_secs(1);

/// What the spec says of the log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses, separated by commas.
    pub url: String,
    /// Namespace of the pipeline.
    pub namespace: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The slices as one line.
    pub slices: String,
    /// Copies of the stream and of the bucket.
    pub replicas: usize,
    /// Bytes that the stream may hold.
    pub max_bytes: u64,
}

/// The open log.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) client: Client,
    pub(super) stream: Stream,
    /// Leases, heartbeats, the plan, what owners announce.
    pub bucket: kv::Store,
    /// What its parts are called.
    pub names: Names,
    /// What every stream of the pipeline bears, so that it is known again.
    pub(crate) labels: HashMap<String, String>,
    /// Tells of new connections.
    pub(super) connected: Connected,
    /// Stream and bucket as the spec says; `None` where the log is only looked at.
    pub(super) config: Option<Config>,
    bucket_config: Option<kv::Config>,
    pub(super) refusing: Refusing,
}

impl Log {
    /// Connects with what `connection` says of credentials and TLS, makes the stream and the bucket where they are not
    /// there, and brings their limits up to date.
    ///
    /// # Errors
    /// The server is not there, too old or without JetStream; the stream is another's; the limits can not be had.
    pub async fn open(options: &Options, connection: ConnectOptions) -> Result<Self, Error> {
        let names = Names::new(&options.namespace, &options.pipeline);
        let (client, context, connected) = connect(&names, options, connection).await?;
        let labels = labels(options);
        let config = wanted(&names, options, &labels);
        let stream = keep(&context, FIELD, config.clone(), |now, wanted| {
            (now.max_bytes, now.num_replicas) = (wanted.max_bytes, wanted.num_replicas);
            // Nothing goes but what is purged.
            (now.discard, now.max_age) = (wanted.discard, wanted.max_age);
            (now.max_messages, now.max_messages_per_subject) = (-1, -1);
        });
        let stream = stream.await?;
        let bucket_config = bucket::config(&names, options);
        let bucket = bucket::keep(&context, bucket_config.clone(), &labels).await?;
        Ok(Self {
            client,
            stream,
            bucket,
            names,
            labels,
            connected,
            config: Some(config),
            bucket_config: Some(bucket_config),
            refusing: Refusing::default(),
        })
    }

    /// Opens the log as it is: nothing is made, and nothing is changed.
    ///
    /// # Errors
    /// The server is not there, too old or without JetStream; the pipeline has not run yet.
    pub async fn look(options: &Options, connection: ConnectOptions) -> Result<Self, Error> {
        let names = Names::new(&options.namespace, &options.pipeline);
        let (client, context, connected) = connect(&names, options, connection).await?;
        let failed = |error: &GetStreamError| match is_missing(error) {
            true => Error::NotThere { stream: names.stream().to_owned(), why: said(error) },
            false => Error::request("the stream")(error),
        };
        let stream = context.get_stream(names.stream()).await.map_err(|error| failed(&error))?;
        refusal::ours(&of_leader(stream.cached_info())?.config, &labels(options))?;
        let bucket = context.get_key_value(names.bucket()).await.map_err(|error| {
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
            cause.map_or_else(|| Error::request("the bucket")(&error), failed)
        })?;
        let (labels, refusing) = (HashMap::new(), Refusing::default());
        Ok(Self { client, stream, bucket, names, labels, connected, config: None, bucket_config: None, refusing })
    }

    /// Whether there was a new connection since this was asked last, of this copy of the log.
    pub fn is_connected_anew(&mut self) -> bool {
        let anew = self.connected.has_changed().unwrap_or(false);
        self.connected.mark_unchanged();
        anew
    }

    /// Makes the bucket again, where a server has lost it with its storage: leases, heartbeats and announcements come anew.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn keep_bucket(&self) -> Result<(), Error> {
        let Some(wanted) = &self.bucket_config else { return Ok(()) };
        bucket::keep(&context(&self.client), wanted.clone(), &self.labels).await.map(|_| ())
    }

    /// Puts a value into the bucket; its revision.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub(crate) async fn put(&self, what: &'static str, key: String, value: Bytes) -> Result<u64, Error> {
        let put = self.bucket.put(key, value).await.map_err(|error| Error::request(what)(&error));
        self.refusing.written(&put);
        put
    }

    /// Why the bucket has taken nothing of this process for so long.
    #[must_use]
    pub fn bucket_refuses(&self, limit: Duration) -> Option<String> {
        self.refusing.lasts(limit)
    }

    /// The server does not answer: what the bucket took or not is forgotten.
    pub fn bucket_is_away(&self) {
        self.refusing.written(&Ok(()));
    }

    /// The state of the stream, asked of its leader.
    ///
    /// # Errors
    /// No answer.
    pub async fn info(&self) -> Result<Info, Error> {
        let info = self.stream.get_info().await.map_err(|error| Error::request("the state of the stream")(&error))?;
        of_leader(&info)?;
        Ok(info)
    }
}

/// What the leader of a stream tells. A server that sees no leader tells what it holds itself, which may be less than what
/// was stored (seen on 2.15): that is no answer.
///
/// # Errors
/// It is not the leader's.
pub(crate) fn of_leader(info: &Info) -> Result<&Info, Error> {
    let leader = info.cluster.as_ref().map(|cluster| cluster.leader.as_deref().unwrap_or_default());
    if leader == Some("") {
        return Err(Error::Request { what: "the state of the stream", why: "it has no leader".to_owned() });
    }
    Ok(info)
}

fn wanted(names: &Names, options: &Options, labels: &HashMap<String, String>) -> Config {
    Config {
        name: names.stream().to_owned(),
        description: Some(format!("the log of the pipeline {}/{}", options.namespace, options.pipeline)),
        subjects: names.subjects(),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: i64::try_from(options.max_bytes).unwrap_or(i64::MAX),
        num_replicas: options.replicas,
        duplicate_window: DUPLICATES,
        allow_atomic_publish: true,
        metadata: labels.clone(),
        ..Config::default()
    }
}

/// Makes a stream as it is `wanted`, or brings the one that is there up to date: `limits` sets what may change. `field` is
/// what the pipeline file says of it.
///
/// # Errors
/// The stream is another's; the limits can not be had; no answer.
pub(crate) async fn keep(
    context: &Context,
    field: &'static str,
    wanted: Config,
    limits: impl FnOnce(&mut Config, &Config),
) -> Result<Stream, Error> {
    let refused = |error: CreateStreamError| match error.kind() {
        CreateStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_SUBJECT_OVERLAP => {
            foreign(&wanted.name, &wanted.metadata, "can not be made: another stream takes its subjects".to_owned())
        }
        _ => refusal::not_made(&error, field, &wanted.name, wanted.max_bytes),
    };
    let stream = match context.get_stream(&wanted.name).await {
        Ok(stream) => stream,
        Err(error) if !is_missing(&error) => return Err(Error::request("the stream")(&error)),
        Err(_) => match context.create_stream(wanted.clone()).await {
            Ok(made) => return Ok(made),
            // Another worker may have made it by now: a server looks for room before it looks for the name.
            Err(error) => context.get_stream(&wanted.name).await.map_err(|_| refused(error))?,
        },
    };
    let found = &of_leader(stream.cached_info())?.config;
    refusal::ours(found, &wanted.metadata)?;
    let mut now = found.clone();
    limits(&mut now, &wanted);
    if now != *found {
        context.update_stream(now).await.map_err(refused)?;
    }
    Ok(stream)
}

pub(super) fn is_missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// What every stream of the pipeline bears.
fn labels(options: &Options) -> HashMap<String, String> {
    let owner = format!("{}/{}", options.namespace, options.pipeline);
    HashMap::from([(OWNER.to_owned(), owner), (SLICES.to_owned(), options.slices.clone())])
}
