//! Whether pods are in the mesh.

use k8s_openapi::api::core::v1::Pod;
use turbo_crds::MeshMode;

/// What Istio calls its proxy in a pod: a container, or an init container that goes on.
const PROXY: &str = "istio-proxy";
/// What Istio notes on a pod whose traffic goes through the node's proxy.
const REDIRECTED: &str = "ambient.istio.io/redirection";

/// Whether every pod that is to stay is in the mesh; `None` where there is no pod.
#[must_use]
pub fn is_meshed<'a>(pods: impl Iterator<Item = &'a Pod>, mode: MeshMode) -> Option<bool> {
    let staying = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
    staying.map(|pod| is_in(pod, mode)).reduce(|all, one| all && one)
}

fn is_in(pod: &Pod, mode: MeshMode) -> bool {
    match mode {
        MeshMode::Sidecar => pod.spec.as_ref().is_some_and(|spec| {
            let all = spec.init_containers.iter().flatten().chain(&spec.containers);
            all.into_iter().any(|container| container.name == PROXY)
        }),
        MeshMode::Ambient => {
            let annotations = pod.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(REDIRECTED)).is_some_and(|value| value == "enabled")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn meshed(pods: &[Value], mode: MeshMode) -> Option<bool> {
        let pods: Vec<Pod> = pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
        is_meshed(pods.iter(), mode)
    }

    #[test]
    fn every_pod_that_stays_has_a_proxy_or_the_pipeline_is_not_in_the_mesh() {
        let bare = json!({"spec": {"containers": [{"name": "turbo"}]}});
        let beside = json!({"spec": {"containers": [{"name": "turbo"}, {"name": "istio-proxy"}]}});
        let native = json!({"spec": {"containers": [{"name": "turbo"}], "initContainers": [{"name": "istio-proxy"}]}});
        let mut going = bare.clone();
        going["metadata"] = json!({"deletionTimestamp": "2026-11-01T00:00:00Z"});
        let of =
            |pods: &[&Value]| meshed(&pods.iter().map(|pod| (*pod).clone()).collect::<Vec<_>>(), MeshMode::Sidecar);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[&going]), None);
        assert_eq!(of(&[&beside, &native, &going]), Some(true));
        assert_eq!(of(&[&beside, &bare]), Some(false));
    }

    #[test]
    fn in_ambient_mode_the_nodes_proxy_says_so() {
        let pod = |value: &str| json!({"metadata": {"annotations": {"ambient.istio.io/redirection": value}}});
        assert_eq!(meshed(&[pod("enabled")], MeshMode::Ambient), Some(true));
        assert_eq!(meshed(&[pod("enabled"), json!({})], MeshMode::Ambient), Some(false));
    }
}
