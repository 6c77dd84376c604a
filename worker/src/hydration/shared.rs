//! The second level of what is known: answers that all workers share, in a stream of NATS that keeps the last of each item.
//!
//! Invariants:
//! - an answer bears when it was asked for, so its age counts from there, whoever reads it: how old what is known may be is
//!   bounded as it is without;
//! - nothing depends on it: what can not be read is asked of a host, what can not be written is not shared;
//! - what the source changes of an item takes the place of what was shared.

use super::cache::Entry;
use super::changes::{Change, decode, encode};
use super::item::{Item, Kind};
use super::wanted::Want;
use crate::log::nats::connection::context;
use crate::log::nats::stream::{DUPLICATES, keep};
use crate::log::nats::{Error, Log};
use crate::telemetry::metrics as m;
use async_nats::Client;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use futures_util::future::join_all;
use metrics::counter;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// What the pipeline file calls it.
const FIELD: &str = "spec.hydration.sharedCache";
/// How long NATS may take to say what it has of a call's items.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the spec says of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes that it may hold, in memory of the servers; above them the oldest answers go.
    pub max_bytes: u64,
    /// How long an answer counts anywhere.
    pub longest: Duration,
    /// Copies.
    pub replicas: usize,
}

/// Answers that all workers share.
#[derive(Clone, Debug)]
pub struct SharedCache {
    client: Client,
    stream: Stream,
    /// What subjects begin with.
    prefix: String,
}

impl SharedCache {
    /// Makes the stream, or brings its limits up to date.
    ///
    /// # Errors
    /// It is another's, it can not be had so, or the server does not answer.
    pub async fn open(log: &Log, options: &Options) -> Result<Self, Error> {
        let prefix = log.names.shared();
        let wanted = Config {
            name: log.names.shared_stream(),
            description: Some("what is known of profiles and posts, for all workers of the pipeline".to_owned()),
            subjects: vec![format!("{prefix}.>")],
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            storage: StorageType::Memory,
            max_bytes: i64::try_from(options.max_bytes).unwrap_or(i64::MAX),
            max_age: options.longest,
            max_messages_per_subject: 1,
            num_replicas: options.replicas,
            duplicate_window: DUPLICATES,
            allow_direct: true,
            metadata: log.labels.clone(),
            ..Config::default()
        };
        let context = context(&log.client);
        let stream = keep(&context, FIELD, wanted, |now, wanted| {
            (now.max_bytes, now.max_age, now.num_replicas) = (wanted.max_bytes, wanted.max_age, wanted.num_replicas);
        });
        Ok(Self { client: log.client.clone(), stream: stream.await?, prefix })
    }

    /// What is known of these, where it is young enough; nothing of those of which NATS says nothing in time.
    pub async fn get(&self, wants: &[Want]) -> Vec<(Item, Entry)> {
        let one = async |want: &Want| self.one(&want.item).await.filter(|(_, entry)| entry.at.elapsed() < want.ttl);
        let asked = join_all(wants.iter().map(|want| tokio::time::timeout(PATIENCE, one(want))));
        let known: Vec<_> = asked.await.into_iter().filter_map(|known| known.ok().flatten()).collect();
        for (lookup, count) in [("hit", known.len()), ("miss", wants.len() - known.len())] {
            counter!(m::HYDRATION_SHARED, "lookup" => lookup).increment(count as u64);
        }
        known
    }

    async fn one(&self, item: &Item) -> Option<(Item, Entry)> {
        let found = self.stream.direct_get_last_for_subject(self.subject(item)).await.ok()?;
        match decode(&found.payload)?.pop()? {
            // Another one's name may have the same hash.
            Change::Item(of, Some((known, at_us))) if of == *item => Some((of, Entry::as_of(known, at_us))),
            Change::Item(..) | Change::Repo(_) => None,
        }
    }

    /// Shares what is known of items, or that it has changed. While there is no connection it waits in the client, or is lost.
    pub async fn tell(&self, changes: &[Change]) {
        for change in changes {
            let failed = match change {
                Change::Item(item, _) => {
                    let message = encode(std::slice::from_ref(change));
                    self.client.publish(self.subject(item), message.into()).await.err().map(|error| error.to_string())
                }
                Change::Repo(did) => {
                    let all = format!("{}.{}.>", self.prefix, hash(did));
                    let purged = tokio::time::timeout(PATIENCE, self.stream.purge().filter(all).into_future()).await;
                    purged.map_or_else(
                        |late| Some(late.to_string()),
                        |purged| purged.err().map(|error| error.to_string()),
                    )
                }
            };
            if let Some(error) = failed {
                tracing::debug!(error, "what is known is not shared");
            }
        }
    }

    fn subject(&self, item: &Item) -> String {
        let kind = match item.kind() {
            Kind::Profile => "profile",
            Kind::Post => "post",
        };
        format!("{}.{}.{kind}.{}", self.prefix, hash(item.did()), hash(item.name()))
    }
}

/// Names hold what subjects may not.
fn hash(name: &str) -> String {
    format!("{:032x}", xxh3_128(name.as_bytes()))
}
