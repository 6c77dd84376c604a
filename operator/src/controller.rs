//! The loop: a pipeline that has changed, or one of whose objects has, is reconciled.

use crate::build::MANAGER;
use crate::children::{Children, Key};
use crate::error::Error;
use crate::events::Events;
use crate::lease::Leadership;
use crate::reconcile;
use crate::served::Served;
use crate::telemetry::{Running, Unready};
use crate::writer::Writer;
use futures_util::{FutureExt, StreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, Predicate, WatchStreamExt, predicates, reflector, watcher};
use kube::{Api, Client};
use metrics::{counter, histogram};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_crds::TurboPipeline;

/// A pipeline as it is read: one that this operator can not read is still there, and does not stop the others.
pub type Guarded = DeserializeGuard<TurboPipeline>;

/// Reconciles at once.
const AT_ONCE: u16 = 8;
/// Changes of objects that wait to be looked at.
const CHANGES: usize = 1024;
/// The longest wait between two tries of a reconcile that fails.
const LONGEST: Duration = Duration::from_secs(60);

/// What every reconcile needs.
pub struct Context {
    /// For reading.
    pub client: Client,
    /// For writing.
    pub writer: Writer,
    /// What is there.
    pub children: Children,
    /// What the cluster serves.
    pub served: Served,
    /// What is told to people.
    pub events: Events,
    /// The image of a pipeline that names none.
    pub image: String,
    /// Who is not ready.
    pub unready: Unready,
    /// What is reconciled now.
    pub running: Running,
    failed: Mutex<HashMap<Key, u32>>,
}

impl Context {
    /// What every reconcile needs.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership, served: Served, image: String) -> Self {
        let writer = Writer::new(client.clone(), leadership);
        let reporter = Reporter { controller: MANAGER.to_owned(), instance: None };
        let events = Events::new(writer.clone(), Recorder::new(client.clone(), reporter));
        let (children, unready, running) = (Children::default(), Unready::default(), Running::default());
        Self { client, writer, children, served, events, image, unready, running, failed: Mutex::default() }
    }

    /// How often in a row the pipeline has failed now.
    fn fails(&self, pipeline: &Key) -> u32 {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let times = failed.entry(pipeline.clone()).or_default();
        *times += 1;
        *times
    }

    fn forget(&self, gone: &ObjectRef<impl kube::runtime::reflector::Lookup>) {
        let pipeline = (gone.namespace.clone().unwrap_or_default(), gone.name.clone());
        self.children.forget(&pipeline);
        self.unready.is(&pipeline, None);
        self.succeeds(&pipeline);
    }

    fn succeeds(&self, pipeline: &Key) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
    }
}

/// Runs until the token fires: the pipelines of a namespace, or of all.
pub async fn run(context: Arc<Context>, namespace: Option<String>, stop: CancellationToken) {
    let api: Api<Guarded> = match &namespace {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    };
    let (reader, writer) = reflector::store();
    let pipelines =
        watcher(api, watcher::Config::default()).default_backoff().reflect(writer).applied_objects().predicate_filter(
            predicates::generation.combine(predicates::annotations).combine(predicates::finalizers),
            Default::default(),
        );
    let (changed, mut changes) = mpsc::channel(CHANGES);
    let _watches = watches(&context, namespace.as_deref(), &changed);
    let again = context.served.changes(&reader);
    let changes = futures_util::stream::poll_fn(move |waker| changes.poll_recv(waker))
        .map(|(namespace, name): Key| ObjectRef::<Guarded>::new(&name).within(&namespace));
    let config = Config::default().concurrency(AT_ONCE).debounce(Duration::from_millis(100));
    Controller::for_stream(pipelines, reader)
        .with_config(config)
        .reconcile_on(changes)
        .reconcile_on(again)
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(one, failed, context.clone())
        .for_each(|outcome| {
            match outcome {
                // Its objects go after it, and tell of it once more.
                Err(controller::Error::ObjectNotFound(gone)) => context.forget(&gone),
                Err(error) => tracing::debug!(%error, "a reconcile has not come to its end"),
                Ok(_) => {}
            }
            std::future::ready(())
        })
        .await;
}

/// A watch for each kind; those of kinds that are not served find nothing, until they are.
fn watches(context: &Arc<Context>, namespace: Option<&str>, changed: &mpsc::Sender<Key>) -> Vec<AbortOnDropHandle<()>> {
    let watch = |kind: crate::build::Kind| {
        let (served, children, changed) = (context.served.clone(), context.children.clone(), changed.clone());
        let (client, namespace) = (context.client.clone(), namespace.map(str::to_owned));
        AbortOnDropHandle::new(tokio::spawn(async move {
            served.wait_for(kind).await;
            children.watch(client, kind, namespace, changed).await;
        }))
    };
    crate::build::Kind::ALL.into_iter().map(watch).collect()
}

async fn one(pipeline: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let began = Instant::now();
    let key = key(&pipeline);
    context.running.begins(&key);
    let done = std::panic::AssertUnwindSafe(reconcile::reconcile(&pipeline, &context)).catch_unwind().await;
    context.running.ends(&key);
    let next = done.unwrap_or_else(|_| Err(Error::Panic))?;
    context.succeeds(&key);
    counter!(crate::telemetry::RECONCILES).increment(1);
    histogram!(crate::telemetry::SECONDS).record(began.elapsed().as_secs_f64());
    Ok(next.map_or_else(Action::await_change, Action::requeue))
}

/// It is tried again, later and later, and at different times for different pipelines.
fn failed(pipeline: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let key = key(&pipeline);
    let times = context.fails(&key);
    counter!(crate::telemetry::ERRORS, "reason" => error.label()).increment(1);
    if !matches!(error, Error::NotLeading { .. }) && !error.is_conflict() {
        tracing::warn!(pipeline = %format!("{}/{}", key.0, key.1), %error, "a reconcile fails, and is tried again");
    }
    let longest = Duration::from_secs(1).saturating_mul(1 << times.min(6)).min(LONGEST);
    Action::requeue(longest.mul_f64(rand::random_range(0.5..1.0)))
}

/// Namespace and name.
#[must_use]
pub fn key(pipeline: &Guarded) -> Key {
    let metadata = kube::Resource::meta(pipeline);
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
