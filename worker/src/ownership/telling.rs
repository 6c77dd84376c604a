//! Workers tell each other what the stream has changed of profiles and posts, over NATS, in no stream.
//!
//! Nothing depends on it: a message that is lost costs a time to live.

use crate::hydration::changes::{Change, decode, encode};
use crate::hydration::hydrator::Hydrator;
use crate::hydration::shared::SharedCache;
use crate::log::nats::Log;
use async_nats::{Client, HeaderMap};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::sync::mpsc;
use turbo_core::plan::WorkerId;

/// Changes that wait to be told at most.
const WAITING: usize = 4096;
/// So long changes are gathered for a message.
const GATHER: Duration = Duration::from_millis(20);
/// About the bytes of a message; the least that a server takes is 1 MiB, unless it is told otherwise.
const MESSAGE: usize = 256 << 10;
/// Who tells: nobody hears itself, since what it has learned since is newer.
const WORKER: &str = "Turbo-Worker";

/// Tells others, and hears them.
pub struct Telling {
    client: Client,
    subject: String,
    me: WorkerId,
    from: mpsc::Receiver<Change>,
    shared: Option<SharedCache>,
}

impl Telling {
    /// For the worker `me`, and for what all share, where there is that. What is sent to the sender is told.
    #[must_use]
    pub fn new(log: &Log, me: &WorkerId, shared: Option<SharedCache>) -> (mpsc::Sender<Change>, Self) {
        let (to, from) = mpsc::channel(WAITING);
        (to, Self { client: log.client.clone(), subject: log.names.changes(), me: me.clone(), from, shared })
    }

    /// Runs until it is dropped.
    pub async fn run(mut self, hydrator: Hydrator) {
        let (client, subject, me) = (self.client.clone(), self.subject.clone(), self.me.clone());
        tokio::join!(hear(&client, subject, &me, &hydrator), self.tell());
    }

    async fn tell(&mut self) {
        while let Some(first) = self.from.recv().await {
            tokio::time::sleep(GATHER).await;
            let mut gathered = vec![first];
            let mut size = gathered[0].size();
            while size < MESSAGE
                && let Ok(change) = self.from.try_recv()
            {
                size += change.size();
                gathered.push(change);
            }
            let mut headers = HeaderMap::new();
            headers.insert(WORKER, self.me.as_str());
            // While there is no connection it waits in the client, or is lost.
            let told = self.client.publish_with_headers(self.subject.clone(), headers, encode(&gathered).into());
            if let Err(error) = told.await {
                tracing::debug!(%error, "what has changed was not told to the others");
            }
            if let Some(shared) = &self.shared {
                shared.tell(&gathered).await;
            }
        }
    }
}

async fn hear(client: &Client, subject: String, me: &WorkerId, hydrator: &Hydrator) {
    let mut heard = match client.subscribe(subject).await {
        Ok(heard) => heard,
        Err(error) => {
            tracing::warn!(%error, "what other workers tell of profiles and posts is not heard");
            return;
        }
    };
    while let Some(message) = heard.next().await {
        let teller = message.headers.as_ref().and_then(|headers| headers.get(WORKER));
        if teller.is_some_and(|teller| teller.as_str() == me.as_str()) {
            continue;
        }
        match decode(&message.payload) {
            Some(changes) => hydrator.hear(&changes),
            None => tracing::debug!("what another worker tells can not be read"),
        }
    }
}
