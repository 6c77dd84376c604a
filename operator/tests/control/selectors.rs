//! Every selector finds the pods that it means, and no others; nothing in a cluster tells of one that does not.

use super::fixtures::{facts, pipeline};
use serde_json::Value;
use std::collections::BTreeMap;
use turbo_operator::build::{Child, Kind, Role, build};

type Labels = BTreeMap<String, String>;

/// The objects of a pipeline of the fixtures.
pub(super) fn children(name: &str) -> Vec<Child> {
    build(&pipeline(name), &facts()).unwrap().list
}

/// The labels of the pods of each role, as the workloads make them.
pub(super) fn pods(children: &[Child]) -> BTreeMap<Role, Labels> {
    let workload = |role: Role| {
        let made = children.iter().filter(|child| child.kind == Kind::Deployment);
        let of = made.into_iter().find(|child| child.name.ends_with(role.name())).unwrap();
        serde_json::from_value(of.object["spec"]["template"]["metadata"]["labels"].clone()).unwrap()
    };
    Role::ALL.into_iter().map(|role| (role, workload(role))).collect()
}

/// Whether a selector finds something of these labels.
pub(super) fn selects(selector: &Value, labels: &Labels) -> bool {
    assert!(selector["matchExpressions"].is_null(), "not made by the operator");
    // Services have the labels at once.
    let wanted = if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    let wanted: Labels = serde_json::from_value(wanted.clone()).unwrap_or_default();
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// Where the selector of an object stands; `None` where it has none.
fn selector(child: &Child) -> Option<&Value> {
    let spec = &child.object["spec"];
    match child.kind {
        Kind::NetworkPolicy => Some(&spec["podSelector"]),
        Kind::Service | Kind::Deployment | Kind::PodDisruptionBudget => Some(&spec["selector"]),
        Kind::PodMonitor | Kind::PeerAuthentication | Kind::AuthorizationPolicy => Some(&spec["selector"]),
        Kind::ConfigMap | Kind::ServiceAccount => None,
    }
}

#[test]
fn every_selector_finds_the_pods_that_it_means() {
    for name in ["small", "full", "ambient"] {
        let children = children(name);
        let pods = pods(&children);
        let mut seen = 0;
        for (child, selector) in children.iter().filter_map(|child| Some((child, selector(child)?))) {
            for (role, labels) in &pods {
                // What is made for a role bears its name, the rest is for all pods.
                let of_a_role = Role::ALL.iter().any(|role| child.name.ends_with(role.name()));
                let means = !of_a_role || child.name.ends_with(role.name());
                assert_eq!(selects(selector, labels), means, "{:?} {} and {}", child.kind, child.name, role.name());
                seen += 1;
            }
            // Another pipeline, whose name begins like this one's.
            for labels in pods.values() {
                let of = |(name, value): (&String, &String)| (name.clone(), value.replace("bluesky", "bluesky-2"));
                assert!(!selects(selector, &labels.iter().map(of).collect()), "{:?} {}", child.kind, child.name);
            }
        }
        assert!(seen >= 12, "{name}: {seen}");
    }
}

#[test]
fn every_port_that_is_named_is_one_of_the_pods() {
    for name in ["small", "full", "ambient"] {
        let children = children(name);
        let ports: Vec<&Value> = children
            .iter()
            .filter(|child| child.kind == Kind::Deployment)
            .flat_map(|child| child.object["spec"]["template"]["spec"]["containers"].as_array().unwrap())
            .filter(|container| container["name"] == "turbo")
            .map(|container| &container["ports"][0])
            .collect();
        assert!(ports.iter().all(|port| port["name"] == "http" && port["containerPort"] == 8080));
        for child in &children {
            let spec = &child.object["spec"];
            match child.kind {
                Kind::Service => {
                    let port = &spec["ports"][0];
                    assert_eq!((&port["targetPort"], &port["appProtocol"]), (&"http".into(), &"http".into()));
                }
                Kind::PodMonitor => assert_eq!(spec["podMetricsEndpoints"][0]["port"], "http"),
                Kind::PeerAuthentication => {
                    let open: Vec<&String> = spec["portLevelMtls"].as_object().unwrap().keys().collect();
                    assert_eq!(open, ["8080"]);
                }
                _ => {}
            }
        }
    }
}
