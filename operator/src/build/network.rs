//! Who may speak to the pods, and to whom they may speak.

use super::{Children, Error, Kind, names, pods};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;
use turbo_crds::{MeshMode, Network, TurboPipeline};

const DNS: i32 = 53;
/// Where a sidecar asks for what it has to know.
const ISTIOD: i32 = 15012;
/// Where a sidecar answers for its pod: its own metrics and health.
const SIDECAR: [i32; 2] = [15020, 15021];
/// Through which ambient pods speak to each other.
const TUNNEL: i32 = 15008;

/// One policy for all pods, where the spec asks for it.
pub(super) fn policies(children: &mut Children, pipeline: &TurboPipeline) -> Result<(), Error> {
    let Some(network) = &pipeline.spec.network else { return Ok(()) };
    let name = children.pipeline().to_owned();
    let mesh = pipeline.spec.mesh.as_ref().map(|mesh| mesh.istio.mode);
    let spec = NetworkPolicySpec {
        pod_selector: Some(selector(names::pipeline_selector(&name))),
        policy_types: Some(["Ingress", "Egress"].map(str::to_owned).into()),
        ingress: Some(vec![NetworkPolicyIngressRule { from: None, ports: Some(ingress(mesh)) }]),
        egress: Some(egress(network, mesh)),
    };
    children.add(Kind::NetworkPolicy, &name, NetworkPolicy { spec: Some(spec), ..NetworkPolicy::default() })
}

fn ingress(mesh: Option<MeshMode>) -> Vec<NetworkPolicyPort> {
    let more: &[i32] = match mesh {
        None => &[],
        Some(MeshMode::Sidecar) => &SIDECAR,
        Some(MeshMode::Ambient) => &[TUNNEL],
    };
    [pods::PORT].iter().chain(more).map(|port| tcp(*port)).collect()
}

fn egress(network: &Network, mesh: Option<MeshMode>) -> Vec<NetworkPolicyEgressRule> {
    let dns = vec![port("UDP", DNS), tcp(DNS)];
    let mut rules = vec![NetworkPolicyEgressRule { to: None, ports: Some(dns) }];
    for peer in &network.peers {
        let namespace = peer
            .namespace
            .as_ref()
            .map(|namespace| selector([("kubernetes.io/metadata.name".to_owned(), namespace.clone())].into()));
        let to = NetworkPolicyPeer {
            namespace_selector: namespace,
            pod_selector: Some(selector(peer.labels.clone())),
            ip_block: None,
        };
        let tunnel = (mesh == Some(MeshMode::Ambient)).then(|| tcp(TUNNEL));
        let ports = peer.ports.iter().map(|port| tcp(i32::from(*port))).chain(tunnel);
        rules.push(NetworkPolicyEgressRule { to: Some(vec![to]), ports: Some(ports.collect()) });
    }
    for outside in &network.egress {
        let block = IPBlock { cidr: outside.cidr.clone(), except: None };
        let to = NetworkPolicyPeer { ip_block: Some(block), ..NetworkPolicyPeer::default() };
        let ports = outside.ports.iter().map(|port| tcp(i32::from(*port))).collect();
        rules.push(NetworkPolicyEgressRule { to: Some(vec![to]), ports: Some(ports) });
    }
    if mesh == Some(MeshMode::Sidecar) {
        let istiod = NetworkPolicyPeer {
            namespace_selector: Some(LabelSelector::default()),
            pod_selector: Some(selector([("app".to_owned(), "istiod".to_owned())].into())),
            ip_block: None,
        };
        rules.push(NetworkPolicyEgressRule { to: Some(vec![istiod]), ports: Some(vec![tcp(ISTIOD)]) });
    }
    rules
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: (!labels.is_empty()).then_some(labels), ..LabelSelector::default() }
}

fn tcp(number: i32) -> NetworkPolicyPort {
    port("TCP", number)
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some(protocol.to_owned()), port: Some(IntOrString::Int(number)), end_port: None }
}
