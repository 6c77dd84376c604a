//! What is there of the objects of all pipelines, as a watch of their metadata tells it.
//!
//! The spec of an object is not watched: where its generation is that which an apply has left, nobody has changed its spec,
//! and where its labels and annotations hold what was applied, nobody has changed those.

use crate::build::{Child, Kind, MANAGER, PIPELINE};
use futures_util::StreamExt;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// A pipeline: namespace and name.
pub type Key = (String, String);

/// What is known of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Which object of this name it is.
    pub uid: Option<String>,
    generation: Option<i64>,
    version: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Meta {
    fn of(object: &impl ResourceExt) -> Self {
        Self {
            uid: object.uid(),
            generation: object.meta().generation,
            version: object.resource_version(),
            labels: object.labels().clone(),
            annotations: object.annotations().clone(),
        }
    }

    /// Whether the spec is that of the other: kinds without generations are known by their versions.
    fn is_as(&self, other: &Self) -> bool {
        let same = if self.generation.is_some_and(|generation| generation > 0) {
            self.generation == other.generation
        } else {
            self.version == other.version
        };
        self.uid == other.uid && same
    }
}

/// An object as it was applied.
struct Applied {
    object: u64,
    left: Meta,
}

#[derive(Default)]
struct Known {
    there: HashMap<(Key, Kind), BTreeMap<String, Meta>>,
    applied: HashMap<(Key, Kind, String), Applied>,
}

/// What is there. A copy knows the same.
#[derive(Clone, Default)]
pub struct Children(Arc<Mutex<Known>>);

impl Children {
    fn known<T>(&self, with: impl FnOnce(&mut Known) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the object is there as it was applied, and that is as it is wanted.
    #[must_use]
    pub fn is_applied(&self, pipeline: &Key, child: &Child) -> bool {
        self.known(|known| {
            let at = (pipeline.clone(), child.kind, child.name.clone());
            let there = known.there.get(&(pipeline.clone(), child.kind)).and_then(|all| all.get(&child.name));
            let (Some(there), Some(applied)) = (there, known.applied.get(&at)) else { return false };
            let holds = |wanted: &serde_json::Value, there: &BTreeMap<String, String>| {
                let wanted = wanted.as_object().into_iter().flatten();
                wanted.into_iter().all(|(name, value)| there.get(name).map(String::as_str) == value.as_str())
            };
            let metadata = &child.object["metadata"];
            applied.object == hash(child)
                && there.is_as(&applied.left)
                && holds(&metadata["labels"], &there.labels)
                && holds(&metadata["annotations"], &there.annotations)
        })
    }

    /// Notes that the object was applied, and what that left.
    pub fn applied(&self, pipeline: &Key, child: &Child, left: &DynamicObject) {
        let (meta, object) = (Meta::of(left), hash(child));
        self.known(|known| {
            let all = known.there.entry((pipeline.clone(), child.kind)).or_default();
            all.insert(child.name.clone(), meta.clone());
            let at = (pipeline.clone(), child.kind, child.name.clone());
            known.applied.insert(at, Applied { object, left: meta });
        });
    }

    /// The objects of a kind that are there for a pipeline.
    #[must_use]
    pub fn there(&self, pipeline: &Key, kind: Kind) -> BTreeMap<String, Meta> {
        self.known(|known| known.there.get(&(pipeline.clone(), kind)).cloned().unwrap_or_default())
    }

    /// Forgets a pipeline that is gone.
    pub fn forget(&self, pipeline: &Key) {
        self.known(|known| known.applied.retain(|(of, _, _), _| of != pipeline));
    }

    fn changed(&self, kind: Kind, object: &impl ResourceExt, is_there: bool) -> Option<Key> {
        let pipeline = (object.namespace()?, object.labels().get(PIPELINE)?.clone());
        self.known(|known| {
            let all = known.there.entry((pipeline.clone(), kind)).or_default();
            if is_there {
                all.insert(object.name_any(), Meta::of(object));
            } else {
                all.remove(&object.name_any());
                if all.is_empty() {
                    known.there.remove(&(pipeline.clone(), kind));
                }
            }
        });
        Some(pipeline)
    }

    fn begun_anew(&self, kind: Kind, namespace: Option<&str>) {
        self.known(|known| {
            known.there.retain(|((of, _), one), _| *one != kind || namespace.is_some_and(|namespace| of != namespace));
        });
    }

    /// Watches a kind, in a namespace or in all, until it is dropped; tells which pipelines have changed.
    pub async fn watch(self, client: Client, kind: Kind, namespace: Option<String>, changed: mpsc::Sender<Key>) {
        let resource = kind.resource();
        let api: Api<PartialObjectMeta<DynamicObject>> = match &namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let config = watcher::Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            let pipeline = match event {
                Ok(watcher::Event::Init) => {
                    self.begun_anew(kind, namespace.as_deref());
                    None
                }
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    self.changed(kind, &object, true)
                }
                Ok(watcher::Event::Delete(object)) => self.changed(kind, &object, false),
                Ok(watcher::Event::InitDone) => None,
                Err(error) => {
                    tracing::debug!(%error, "the watch of {kind:?} breaks, and begins anew");
                    None
                }
            };
            if let Some(pipeline) = pipeline
                && changed.send(pipeline).await.is_err()
            {
                return;
            }
        }
    }
}

fn hash(child: &Child) -> u64 {
    xxhash_rust::xxh3::xxh3_64(child.object.to_string().as_bytes())
}
