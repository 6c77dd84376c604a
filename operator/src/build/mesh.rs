//! Istio: who is in the mesh, and who may speak to it.

use super::{Children, Error, Kind, names, pods};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use turbo_crds::{MeshMode, TurboPipeline};

/// What everybody may read, in and out of the mesh: scrapers and probes are often outside.
const OPEN: [&str; 4] = ["/metrics", "/health", "/health/*", "/ready"];

/// The labels that bring a pod into the mesh.
pub(super) fn pod_labels(pipeline: &TurboPipeline) -> BTreeMap<String, String> {
    let Some(mesh) = &pipeline.spec.mesh else { return BTreeMap::new() };
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    match (mesh.istio.mode, &mesh.istio.revision) {
        (MeshMode::Ambient, _) => [label("istio.io/dataplane-mode", "ambient")].into(),
        (MeshMode::Sidecar, None) => [label("sidecar.istio.io/inject", "true")].into(),
        (MeshMode::Sidecar, Some(revision)) => {
            [label("sidecar.istio.io/inject", "true"), label("istio.io/rev", revision)].into()
        }
    }
}

/// What is encrypted, and who may speak to the pods.
pub(super) fn policies(children: &mut Children, pipeline: &TurboPipeline) -> Result<(), Error> {
    let Some(mesh) = &pipeline.spec.mesh else { return Ok(()) };
    let name = children.pipeline().to_owned();
    let selector = json!({ "matchLabels": names::pipeline_selector(&name) });
    let peers = json!({ "spec": {
        "selector": selector,
        "mtls": { "mode": "STRICT" },
        "portLevelMtls": { pods::PORT.to_string(): { "mode": "PERMISSIVE" } },
    } });
    children.add(Kind::PeerAuthentication, &name, peers)?;
    let rules = match mesh.istio.mode {
        MeshMode::Sidecar => by_path(&mesh.istio.allow),
        // The proxy of a node knows no paths: a rule with one would refuse everything.
        MeshMode::Ambient => vec![json!({ "to": [{ "operation": { "ports": [pods::PORT.to_string()] } }] })],
    };
    let policy = json!({ "spec": { "selector": selector, "action": "ALLOW", "rules": rules } });
    children.add(Kind::AuthorizationPolicy, &name, policy)
}

fn by_path(allow: &[String]) -> Vec<Value> {
    let port = pods::PORT.to_string();
    let open = json!({ "to": [{ "operation": { "methods": ["GET"], "paths": OPEN, "ports": [port] } }] });
    let principals: Vec<String> = allow
        .iter()
        .filter_map(|account| account.split_once('/'))
        .map(|(namespace, account)| format!("*/ns/{namespace}/sa/{account}"))
        .collect();
    let named = (!principals.is_empty()).then(|| {
        json!({
            "from": [{ "source": { "principals": principals } }],
            "to": [{ "operation": { "methods": ["GET"], "ports": [port] } }],
        })
    });
    [Some(open), named].into_iter().flatten().collect()
}
