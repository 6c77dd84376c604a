//! The workloads.
//!
//! Invariant: a pod is replaced when what it is made from has changed, and never because another version of the operator
//! would write its template in another way. So the hash of the inputs and the template that was made from them stand on the
//! workload; while the hash is equal, that template is applied again.

use super::{Children, Error, Facts, File, Kind, Role, names, pods};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;
use std::collections::BTreeMap;
use turbo_crds::TurboPipeline;

/// Surge is 0: an epoch makes a stable identity needless, and a new owner only waits for the old one to leave.
pub(super) fn deployment(
    children: &mut Children,
    pipeline: &TurboPipeline,
    facts: &Facts,
    file: &File,
    role: Role,
) -> Result<(), Error> {
    let name = children.pipeline().to_owned();
    let image = super::image(pipeline, facts);
    let inputs = super::hash(&json!({
        "image": image, "file": file.spec(), "pods": pods::said(pipeline, role), "mesh": pipeline.spec.mesh,
    }));
    let made = serde_json::to_string(&pods::template(pipeline, image, file, role)?)?;
    let kept = facts.running.get(&role).filter(|running| running.get(names::INPUTS) == Some(&inputs));
    let text = kept.and_then(|running| running.get(names::TEMPLATE)).unwrap_or(&made).clone();
    // What can not be read was not written by an operator.
    let template: PodTemplateSpec = serde_json::from_str(&text).or_else(|_| serde_json::from_str(&made))?;
    let annotations: BTreeMap<String, String> =
        [(names::INPUTS, inputs), (names::TEMPLATE, text), (names::FILE, file.mark())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
    let rolling =
        RollingUpdateDeployment { max_surge: Some(IntOrString::Int(0)), max_unavailable: Some(IntOrString::Int(1)) };
    let spec = DeploymentSpec {
        replicas: Some(replicas(pipeline, role)),
        revision_history_limit: Some(3),
        selector: LabelSelector { match_labels: Some(names::role_selector(&name, role)), ..LabelSelector::default() },
        strategy: Some(DeploymentStrategy { type_: Some("RollingUpdate".to_owned()), rolling_update: Some(rolling) }),
        template,
        ..DeploymentSpec::default()
    };
    let metadata = ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() };
    let deployment = Deployment { metadata, spec: Some(spec), ..Deployment::default() };
    children.add_of(role, Kind::Deployment, deployment)
}

/// How many pods a role has. A pipeline that rests has none, whatever the spec says otherwise.
#[must_use]
pub fn replicas(pipeline: &TurboPipeline, role: Role) -> i32 {
    let spec = &pipeline.spec;
    match role {
        _ if spec.paused => 0,
        Role::Ingest => i32::from(spec.ingest().replicas),
        Role::Workers => i32::from(spec.workers.replicas),
    }
}
