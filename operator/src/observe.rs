//! What is known of the cluster when a pipeline is reconciled. Everything here reads, and nothing writes.

use crate::build::{Facts, Kind, Role, as_text, of_role, role_selector};
use crate::error::Error;
use crate::lease::timely;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::discovery;
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use turbo_crds::TurboPipeline;

/// Pods that are looked at to say why a role is not ready.
const PODS: u32 = 50;

/// The workloads of a pipeline that are there.
pub type Workloads = BTreeMap<Role, Deployment>;

/// The workloads of a pipeline.
///
/// # Errors
/// The API server does not answer.
pub async fn workloads(client: &Client, namespace: &str, pipeline: &str) -> Result<Workloads, Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let mut workloads = Workloads::new();
    for role in Role::ALL {
        if let Some(there) = timely("reading a Deployment", api.get_opt(&of_role(pipeline, role))).await? {
            workloads.insert(role, there);
        }
    }
    Ok(workloads)
}

/// What the objects are built with.
#[must_use]
pub fn facts(image: &str, served: &BTreeSet<Kind>, workloads: &Workloads) -> Facts {
    let running = workloads.iter().map(|(role, there)| (*role, there.annotations().clone())).collect();
    Facts { image: image.to_owned(), served: served.clone(), running }
}

/// The pods of a role.
///
/// # Errors
/// The API server does not answer.
pub async fn pods(client: &Client, namespace: &str, pipeline: &str, role: Role) -> Result<Vec<Pod>, Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = ListParams::default().labels(&as_text(&role_selector(pipeline, role))).limit(PODS);
    Ok(timely("listing pods", api.list(&parameters)).await?.items)
}

/// The Secrets and keys that the spec names and that are not there, each as a sentence.
///
/// # Errors
/// The API server does not answer.
pub async fn missing_secrets(client: &Client, pipeline: &TurboPipeline) -> Result<Vec<String>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
    let mut read: BTreeMap<String, Option<BTreeSet<String>>> = BTreeMap::new();
    let mut missing = Vec::new();
    for (path, reference) in pipeline.spec.secrets() {
        let Some(wanted) = &reference.secret else { continue };
        if !read.contains_key(&wanted.name) {
            let secret = timely("reading a Secret", api.get_opt(&wanted.name)).await?;
            // The names of the keys are all that is kept of it.
            let keys = secret.map(|secret| secret.data.unwrap_or_default().into_keys().collect());
            read.insert(wanted.name.clone(), keys);
        }
        match read.get(&wanted.name) {
            Some(Some(keys)) if keys.contains(&wanted.key) => {}
            Some(Some(_)) => missing.push(format!("{path}: the Secret {} has no key {}", wanted.name, wanted.key)),
            _ => missing.push(format!("{path}: there is no Secret {}", wanted.name)),
        }
    }
    Ok(missing)
}

/// The kinds that the cluster serves, of those that not every cluster does.
///
/// # Errors
/// The API server does not answer.
pub async fn served(client: &Client) -> Result<BTreeSet<Kind>, Error> {
    let mut served = BTreeSet::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.brought_by().is_some()) {
        match timely("asking what is served", discovery::pinned_kind(client, &kind.gvk())).await {
            Ok(_) => {
                served.insert(kind);
            }
            Err(error) if error.is_absent() => {}
            // A group that is served without this kind.
            Err(Error::Refused { source, .. }) if matches!(*source, kube::Error::Discovery(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(served)
}
