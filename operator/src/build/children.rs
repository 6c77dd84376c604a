//! The objects of a pipeline, each in the form in which it is applied.

use super::{Error, Role, names};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use turbo_crds::TurboPipeline;

/// The kinds of objects that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1
    ConfigMap,
    /// core/v1
    ServiceAccount,
    /// core/v1
    Service,
    /// apps/v1
    Deployment,
    /// policy/v1
    PodDisruptionBudget,
    /// networking.k8s.io/v1
    NetworkPolicy,
    /// monitoring.coreos.com/v1, of the prometheus-operator
    PodMonitor,
    /// security.istio.io/v1
    PeerAuthentication,
    /// security.istio.io/v1
    AuthorizationPolicy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::PodMonitor,
        Self::PeerAuthentication,
        Self::AuthorizationPolicy,
    ];

    /// Group, version and kind.
    #[must_use]
    pub fn gvk(self) -> GroupVersionKind {
        let (group, version, kind) = match self {
            Self::ConfigMap => ("", "v1", "ConfigMap"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount"),
            Self::Service => ("", "v1", "Service"),
            Self::Deployment => ("apps", "v1", "Deployment"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy"),
            Self::PodMonitor => ("monitoring.coreos.com", "v1", "PodMonitor"),
            Self::PeerAuthentication => ("security.istio.io", "v1", "PeerAuthentication"),
            Self::AuthorizationPolicy => ("security.istio.io", "v1", "AuthorizationPolicy"),
        };
        GroupVersionKind::gvk(group, version, kind)
    }

    /// How the API server calls it.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let gvk = self.gvk();
        let plural = match self {
            Self::NetworkPolicy => "networkpolicies".to_owned(),
            Self::AuthorizationPolicy => "authorizationpolicies".to_owned(),
            _ => format!("{}s", gvk.kind.to_lowercase()),
        };
        ApiResource::from_gvk_with_plural(&gvk, &plural)
    }

    /// What brings the kind, where not every cluster has it.
    #[must_use]
    pub const fn brought_by(self) -> Option<&'static str> {
        match self {
            Self::PodMonitor => Some("the prometheus-operator"),
            Self::PeerAuthentication | Self::AuthorizationPolicy => Some("Istio"),
            _ => None,
        }
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// All of it, as it is applied.
    pub object: Value,
}

/// The objects of a pipeline, in the order in which they are applied.
#[derive(Clone, Debug)]
pub struct Children {
    pipeline: String,
    namespace: String,
    owner: Value,
    served: BTreeSet<Kind>,
    /// What is to be there.
    pub list: Vec<Child>,
    /// Kinds that are wanted and that the cluster does not serve.
    pub missing: BTreeSet<Kind>,
}

impl Children {
    pub(super) fn new(pipeline: &TurboPipeline, served: &BTreeSet<Kind>) -> Self {
        let metadata = &pipeline.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let owner = json!({
            "apiVersion": "turbopipeline.dev/v1alpha1", "kind": "TurboPipeline", "name": name, "uid": metadata.uid,
            "controller": true, "blockOwnerDeletion": true,
        });
        let namespace = metadata.namespace.clone().unwrap_or_default();
        Self { pipeline: name, namespace, owner, served: served.clone(), list: Vec::new(), missing: BTreeSet::new() }
    }

    /// The name of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// Adds an object of the whole pipeline.
    pub(super) fn add(&mut self, kind: Kind, name: &str, object: impl Serialize) -> Result<(), Error> {
        self.push(kind, name, names::labels(&self.pipeline), object)
    }

    /// Adds an object of a role.
    pub(super) fn add_of(&mut self, role: Role, kind: Kind, object: impl Serialize) -> Result<(), Error> {
        let name = names::of_role(&self.pipeline, role);
        self.push(kind, &name, names::role_labels(&self.pipeline, role), object)
    }

    fn push(
        &mut self,
        kind: Kind,
        name: &str,
        labels: BTreeMap<String, String>,
        object: impl Serialize,
    ) -> Result<(), Error> {
        if kind.brought_by().is_some() && !self.served.contains(&kind) {
            self.missing.insert(kind);
            return Ok(());
        }
        let mut object = serde_json::to_value(object)?;
        let gvk = kind.gvk();
        object["apiVersion"] = json!(gvk.api_version());
        object["kind"] = json!(gvk.kind);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!(self.namespace);
        object["metadata"]["ownerReferences"] = json!([self.owner]);
        for (label, value) in labels {
            object["metadata"]["labels"][label] = json!(value);
        }
        self.list.push(Child { kind, name: name.to_owned(), object });
        Ok(())
    }
}
