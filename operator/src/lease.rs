//! Who of several operators acts: the holder of a Lease.
//!
//! Invariants:
//! - a Lease is changed only as it was read (by its resourceVersion), so of two that want it one gets it;
//! - another's Lease is taken when it has not changed for its duration, by the clock of who takes it: clocks of two machines
//!   are never compared;
//! - the holder begins no write later than `duration - MARGIN` after it has sent its last renewal, and every request ends
//!   within [`REQUEST`], which is less than the margin. So no write of an old holder begins after a new one acts; what is
//!   still under way at the server is an apply, and harms nothing when it comes twice.

use crate::error::Error;
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What is left of a renewed Lease when its holder begins no write any more.
pub const MARGIN: Duration = Duration::from_secs(5);
/// How long a request may take.
pub const REQUEST: Duration = Duration::from_secs(4);
/// How often who stands by looks.
const LOOK: Duration = Duration::from_secs(1);

/// How a Lease is held.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who this operator is; no other may be called the same.
    pub identity: String,
    /// How long it counts after it was renewed; above [`MARGIN`].
    pub duration: Duration,
}

/// Whether this operator may write, and up to when. A copy tells the same.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether a write may begin now.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until it is held; `false`: it never will be.
    pub async fn held(&mut self) -> bool {
        self.0.wait_for(Option::is_some).await.is_ok()
    }

    /// Waits until it is not held any more.
    pub async fn lost(&mut self) {
        loop {
            let Some(until) = *self.0.borrow_and_update() else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => if !self.may_write() { return },
                changed = self.0.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// What is done with a Lease that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Renew,
    Take,
    Wait,
}

/// What was last seen of the Lease, and since when it is so.
struct Seen {
    version: String,
    since: Instant,
}

/// A Lease that is wanted.
pub struct Lease {
    api: Api<Record>,
    options: Options,
    seen: Option<Seen>,
    until: watch::Sender<Option<Instant>>,
}

impl Lease {
    /// A Lease, and what it says.
    #[must_use]
    pub fn new(client: Client, options: Options) -> (Self, Leadership) {
        debug_assert!(options.duration > MARGIN && REQUEST < MARGIN, "a holder would write beside the next one");
        let (until, leadership) = watch::channel(None);
        let api = Api::namespaced(client, &options.namespace);
        (Self { api, options, seen: None, until }, Leadership(leadership))
    }

    /// Gets and holds it until the token fires; then gives it back.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "the Lease {} is not reached", self.options.name);
            }
            if self.until.borrow().is_some_and(|until| Instant::now() >= until) {
                self.until.send_replace(None);
            }
            let pause = if self.until.borrow().is_some() { self.options.duration / 5 } else { LOOK };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        let held = self.until.send_replace(None).is_some();
        if held && let Err(error) = self.give_back().await {
            tracing::debug!(%error, "the next one finds out by itself");
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        let sent = Instant::now();
        let read = timely("reading the Lease", self.api.get_opt(&self.options.name)).await?;
        let Some(record) = read else {
            let metadata = ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() };
            let record = Record { metadata, spec: Some(self.spec(&LeaseSpec::default())) };
            let made = timely("making the Lease", self.api.create(&PostParams::default(), &record)).await;
            return self.written(sent, made);
        };
        let spec = record.spec.clone().unwrap_or_default();
        match self.decide(&record, sent) {
            Step::Wait => {
                self.until.send_replace(None);
                Ok(())
            }
            Step::Renew | Step::Take => self.write(sent, record, self.spec(&spec)).await,
        }
    }

    fn decide(&mut self, record: &Record, now: Instant) -> Step {
        let version = record.metadata.resource_version.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|seen| seen.version != version) {
            self.seen = Some(Seen { version, since: now });
        }
        let since = self.seen.as_ref().map_or(now, |seen| seen.since);
        let spec = record.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        match () {
            () if holder == self.options.identity => Step::Renew,
            () if holder.is_empty() || now.duration_since(since) >= Duration::from_secs(seconds) => Step::Take,
            () => Step::Wait,
        }
    }

    /// The Lease as this operator holds it, after it was as it is in `before`.
    fn spec(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let mine = before.holder_identity.as_deref() == Some(&*self.options.identity);
        LeaseSpec {
            holder_identity: Some(self.options.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.options.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if mine { before.acquire_time.clone() } else { Some(now.clone()) },
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!mine)),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }

    async fn write(&mut self, sent: Instant, record: Record, spec: LeaseSpec) -> Result<(), Error> {
        let written = self.put("renewing the Lease", Record { spec: Some(spec), ..record }).await;
        self.written(sent, written)
    }

    async fn put(&self, what: &'static str, record: Record) -> Result<Record, Error> {
        timely(what, self.api.replace(&self.options.name, &PostParams::default(), &record)).await
    }

    fn written(&mut self, sent: Instant, written: Result<Record, Error>) -> Result<(), Error> {
        match written {
            Ok(_) => {
                let until = sent + (self.options.duration - MARGIN);
                if self.until.send_replace(Some(until)).is_none() {
                    tracing::info!("this operator acts: it holds the Lease {}", self.options.name);
                }
                Ok(())
            }
            // Somebody was faster; the next look shows who.
            Err(error) if error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&mut self) -> Result<(), Error> {
        let record = timely("reading the Lease", self.api.get(&self.options.name)).await?;
        let before = record.spec.clone().unwrap_or_default();
        if before.holder_identity.as_deref() != Some(&*self.options.identity) {
            return Ok(());
        }
        let spec = LeaseSpec { holder_identity: None, ..before };
        self.put("giving back the Lease", Record { spec: Some(spec), ..record }).await.map(drop)
    }
}

/// The answer of the API server, which is waited for no longer than [`REQUEST`].
///
/// # Errors
/// It refuses, or says nothing.
pub async fn timely<T>(what: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(REQUEST, request).await {
        Ok(answer) => answer.map_err(|source| Error::Refused { what: what.to_owned(), source: Box::new(source) }),
        Err(_) => Err(Error::NoAnswer { what: what.to_owned() }),
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
