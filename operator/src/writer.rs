//! Everything that the operator writes goes through here.
//!
//! Invariants:
//! - nothing is written unless this operator leads, and each write ends in the time that [`crate::lease`] promises;
//! - an object is applied again only where it is not as it was applied (see [`crate::children`]), so a pipeline at rest
//!   costs no write.

use crate::build::{Child, Kind, MANAGER};
use crate::error::Error;
use crate::lease::{Leadership, timely};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use metrics::counter;
use serde_json::Value;
use std::future::Future;

/// Writes objects of one cluster.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    leadership: Leadership,
}

impl Writer {
    /// A writer that writes while this leadership holds.
    #[must_use]
    pub fn new(client: Client, leadership: Leadership) -> Self {
        Self { client, leadership }
    }

    /// Whether a write may begin now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leadership.may_write()
    }

    fn api(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    async fn write<T>(
        &self,
        verb: &'static str,
        what: impl Fn() -> String,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        if !self.leadership.may_write() {
            return Err(Error::NotLeading { what: what() });
        }
        counter!(crate::telemetry::WRITES, "verb" => verb).increment(1);
        timely("", request).await.map_err(|error| match error {
            Error::Refused { source, .. } => Error::Refused { what: what(), source },
            Error::NoAnswer { .. } => Error::NoAnswer { what: what() },
            other => other,
        })
    }

    /// Applies an object: its fields are the operator's, whoever had them before. An immutable one is only made.
    ///
    /// # Errors
    /// The server refuses, or says nothing.
    pub async fn apply(&self, namespace: &str, child: &Child) -> Result<DynamicObject, Error> {
        let api = self.api(namespace, &child.kind.resource());
        let what = || format!("{:?} {}", child.kind, child.name);
        if child.kind == Kind::ConfigMap {
            let object: DynamicObject =
                serde_json::from_value(child.object.clone()).map_err(crate::build::Error::from)?;
            let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            let made = self.write("create", what, api.create(&parameters, &object)).await;
            return match made {
                Err(error) if error.is_conflict() => timely("reading a ConfigMap", api.get(&child.name)).await,
                made => made,
            };
        }
        let parameters = PatchParams::apply(MANAGER).force();
        self.write("apply", what, api.patch(&child.name, &parameters, &Patch::Apply(&child.object))).await
    }

    /// Deletes an object that is this one; that it is gone already is as good.
    ///
    /// # Errors
    /// The server refuses, or says nothing.
    pub async fn delete(&self, namespace: &str, kind: Kind, name: &str, uid: Option<String>) -> Result<(), Error> {
        let api = self.api(namespace, &kind.resource());
        let parameters = DeleteParams::background().preconditions(Preconditions { uid, resource_version: None });
        let deleted = self.write("delete", || format!("{kind:?} {name}"), api.delete(name, &parameters)).await;
        match deleted {
            Err(error) if error.is_absent() || error.is_conflict() => Ok(()),
            deleted => deleted.map(drop),
        }
    }

    /// Writes the status of a pipeline.
    ///
    /// # Errors
    /// The server refuses, or says nothing.
    pub async fn status(&self, namespace: &str, name: &str, status: &Value) -> Result<(), Error> {
        let resource = ApiResource::erase::<turbo_crds::TurboPipeline>(&());
        let api = self.api(namespace, &resource);
        let object = serde_json::json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "metadata": { "name": name }, "status": status,
        });
        let parameters = PatchParams::apply(MANAGER).force();
        let what = || format!("the status of {name}");
        self.write("status", what, api.patch_status(name, &parameters, &Patch::Apply(&object))).await.map(drop)
    }
}
