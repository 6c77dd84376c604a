//! One reconcile: observe, validate, build, apply, report.

use crate::build::{self, Child, Kind, Role};
use crate::children::Key;
use crate::controller::{Context, Guarded, key};
use crate::error::Error;
use crate::observe::{self, Workloads};
use crate::report::{self, Pods, Seen, Trouble};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::collections::BTreeSet;
use std::time::Duration;
use turbo_core::reason::Reason;
use turbo_crds::TurboPipeline;

/// When a pipeline whose pods do not come is looked at again: not everything that keeps them is watched.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// When a pipeline at rest is looked at again, in case a watch has told less than there was.
const SAFETY: Duration = Duration::from_secs(300);
/// An annotation that says `off`: the operator leaves the pipeline alone.
const RECONCILE: &str = "turbopipeline.dev/reconcile";

/// Brings the cluster to what the pipeline says; says after how long it has to be looked at again without a change.
///
/// # Errors
/// Something did not work, and is to be tried again.
pub async fn reconcile(guarded: &Guarded, context: &Context) -> Result<Option<Duration>, Error> {
    let of = key(guarded);
    let metadata = kube::Resource::meta(guarded);
    let off = metadata.annotations.as_ref().and_then(|all| all.get(RECONCILE)).is_some_and(|value| value == "off");
    if metadata.deletion_timestamp.is_some() || off {
        context.children.forget(&of);
        context.unready.is(&of, None);
        return Ok(None);
    }
    let pipeline = match &guarded.0 {
        Ok(pipeline) => pipeline,
        Err(invalid) => return unreadable(&of, &invalid.error, context).await,
    };
    if let Some(stopped) = validate(pipeline) {
        return report(pipeline, &of, Seen { stopped: Some(stopped), ..Seen::default() }, context).await;
    }
    let workloads = observe::workloads(&context.client, &of.0, &of.1).await?;
    let facts = observe::facts(&context.image, &context.served.now(), &workloads);
    let children = build::build(pipeline, &facts)?;
    let refused = apply(&of, &children, &workloads, context).await?;
    let mut seen = observed(pipeline, &of, &workloads, context).await?;
    seen.missing = children.missing;
    seen.image = build::image(pipeline, &facts).to_owned();
    seen.troubles.extend(refused);
    report(pipeline, &of, seen, context).await
}

/// Why the pipeline can not be brought to a cluster.
fn validate(pipeline: &TurboPipeline) -> Option<Trouble> {
    let broken: Vec<String> = match pipeline.validate_cel() {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect(),
    };
    if !broken.is_empty() {
        return Some(Trouble::of_pods(Reason::InvalidSpec, broken.join("; ")));
    }
    let problems: Vec<String> = pipeline.spec.not_for_clusters().iter().map(ToString::to_string).collect();
    (!problems.is_empty()).then(|| Trouble::of_pods(Reason::NotForClusters, problems.join("; ")))
}

/// Applies what is wanted, and takes away what is no longer. What the server refuses is told; the rest is applied all the same.
async fn apply(
    of: &Key,
    children: &build::Children,
    workloads: &Workloads,
    context: &Context,
) -> Result<Vec<Trouble>, Error> {
    let mut refused = Vec::new();
    for child in &children.list {
        if context.children.is_applied(of, child) {
            continue;
        }
        match context.writer.apply(&of.0, child).await {
            Ok(left) => context.children.applied(of, child, &left),
            Err(error) if error.is_refusal() => {
                let what = format!("the API server refuses {error}");
                // Pods run without what watches and encrypts them.
                refused.push(match child.kind.brought_by() {
                    Some(_) => Trouble::beside(Reason::ApplyRefused, what),
                    None => Trouble::of_pods(Reason::ApplyRefused, what),
                });
            }
            Err(error) => return Err(error),
        }
    }
    if refused.is_empty() {
        sweep(of, &children.list, workloads, context).await?;
    }
    Ok(refused)
}

/// Takes away what is no longer wanted. A pipeline file stays while pods of an older template may start with it.
async fn sweep(of: &Key, wanted: &[Child], workloads: &Workloads, context: &Context) -> Result<(), Error> {
    let replaced = workloads.values().all(|workload| is_rolled_out(workload, wanted));
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::ConfigMap || replaced) {
        let names: BTreeSet<&str> =
            wanted.iter().filter(|child| child.kind == kind).map(|child| child.name.as_str()).collect();
        for (name, there) in context.children.there(of, kind) {
            if !names.contains(name.as_str()) {
                context.writer.delete(&of.0, kind, &name, there.uid).await?;
            }
        }
    }
    Ok(())
}

/// Whether every pod is of the template that is wanted: the workload was read before that was applied.
fn is_rolled_out(workload: &Deployment, wanted: &[Child]) -> bool {
    let (name, file) = (workload.name_any(), workload.annotations().get(build::FILE));
    let same = wanted
        .iter()
        .filter(|child| child.kind == Kind::Deployment && child.name == name)
        .all(|child| child.object["metadata"]["annotations"][build::FILE].as_str() == file.map(String::as_str));
    let Some(status) = &workload.status else { return false };
    let total = status.replicas.unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or_default();
    same && status.observed_generation == workload.metadata.generation && updated == total
}

/// What the cluster shows of the pods.
async fn observed(pipeline: &TurboPipeline, of: &Key, workloads: &Workloads, context: &Context) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    let (mut short, mut there) = (false, Vec::new());
    let mesh = pipeline.spec.mesh.as_ref().map(|mesh| mesh.istio.mode);
    for role in Role::ALL {
        let pods = Pods::of(workloads, role, build::replicas(pipeline, role));
        seen.roles.insert(role, pods);
        let is_short = pods.ready < pods.wanted;
        short |= is_short;
        if is_short || mesh.is_some() {
            there.extend(observe::pods(&context.client, &of.0, &of.1, role).await?);
        }
        if is_short {
            seen.troubles.extend(workloads.get(&role).and_then(|workload| report::of_workload(role, workload)));
        }
    }
    if short {
        seen.troubles.extend(report::of_pods(&there));
    }
    seen.meshed = mesh.and_then(|mode| report::is_meshed(there.iter(), mode));
    if short {
        let missing = observe::missing_secrets(&context.client, pipeline).await?;
        let mend = Reason::SecretMissing.mend().unwrap_or_default();
        let troubles =
            missing.into_iter().map(|what| Trouble::of_pods(Reason::SecretMissing, format!("{what}; {mend}")));
        // What is missing is why the pods do not start.
        seen.troubles.splice(0..0, troubles);
    }
    Ok(seen)
}

/// Writes the status where it says something new, and tells of transitions.
async fn report(pipeline: &TurboPipeline, of: &Key, seen: Seen, context: &Context) -> Result<Option<Duration>, Error> {
    let status = report::status(pipeline, &seen, Timestamp::now());
    if pipeline.status.as_ref() != Some(&status) {
        let written = serde_json::to_value(&status).map_err(build::Error::from)?;
        context.writer.status(&of.0, &of.1, &written).await?;
        context.events.tell(pipeline, &status).await;
    }
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    context.unready.is(of, ready.filter(|ready| ready.status != "True").map(|ready| ready.reason.clone()));
    let short = seen.roles.values().any(|pods| pods.ready < pods.wanted);
    Ok(Some(if short || !seen.troubles.is_empty() { LOOK_AGAIN } else { SAFETY }))
}

/// A pipeline that this operator's types can not read.
async fn unreadable(of: &Key, error: &str, context: &Context) -> Result<Option<Duration>, Error> {
    let message =
        format!("the operator can not read the pipeline: {error}; the CustomResourceDefinition is of another version");
    let ready = serde_json::json!({ "conditions": [{
        "type": "Ready", "status": "False", "reason": Reason::InvalidSpec.name(), "message": message,
        "lastTransitionTime": Timestamp::now().to_string(),
    }], "summary": message, "replicas": 0 });
    context.unready.is(of, Some(Reason::InvalidSpec.name().to_owned()));
    context.writer.status(&of.0, &of.1, &ready).await?;
    Ok(None)
}
