//! What NetworkPolicies let through, by a function of its own over a table of what is needed and what is not
//! (kubernetes.io/docs/concepts/services-networking/network-policies).

use super::selectors::{children, pods, selects};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;
use turbo_operator::build::{Kind, Role};

type Labels = BTreeMap<String, String>;

/// One side of a connection.
enum Peer {
    /// A pod: its namespace and its labels.
    Pod(&'static str, Labels),
    /// An address outside of the cluster.
    Outside(&'static str),
}

fn pod(namespace: &'static str, labels: &[(&str, &str)]) -> Peer {
    Peer::Pod(namespace, labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// Whether the policies of a namespace let a connection of their pods through, to `peer` or from it.
fn lets_through(policies: &[&Value], side: &str, of: &Labels, peer: &Peer, protocol: &str, port: u16) -> bool {
    let (kind, rules, peers) = match side {
        "egress" => ("Egress", "egress", "to"),
        _ => ("Ingress", "ingress", "from"),
    };
    let apply = |spec: &&Value| {
        let kinds = spec["policyTypes"].as_array().unwrap();
        kinds.contains(&Value::from(kind)) && selects(&spec["podSelector"], of)
    };
    let applying: Vec<&Value> = policies.iter().map(|policy| &policy["spec"]).filter(apply).collect();
    // Pods that no policy is about are open.
    applying.is_empty()
        || applying.iter().flat_map(|spec| spec[rules].as_array().into_iter().flatten()).any(|rule| {
            let ports = rule["ports"].as_array();
            let port_fits = ports.is_none_or(|ports| {
                ports.iter().any(|one| one["protocol"] == protocol && one["port"].as_u64() == Some(u64::from(port)))
            });
            let of_peers = rule[peers].as_array();
            port_fits && of_peers.is_none_or(|all| all.iter().any(|one| is_meant(one, peer)))
        })
}

fn is_meant(one: &Value, peer: &Peer) -> bool {
    match peer {
        Peer::Outside(address) => one["ipBlock"]["cidr"].as_str().is_some_and(|block| contains(block, address)),
        Peer::Pod(namespace, labels) => {
            if one["podSelector"].is_null() && one["namespaceSelector"].is_null() {
                return false;
            }
            let names = Labels::from([("kubernetes.io/metadata.name".to_owned(), (*namespace).to_owned())]);
            let there = match &one["namespaceSelector"] {
                Value::Null => *namespace == "social",
                selector => selects(selector, &names),
            };
            there && (one["podSelector"].is_null() || selects(&one["podSelector"], labels))
        }
    }
}

/// Whether an address is in a block.
fn contains(block: &str, address: &str) -> bool {
    let (first, bits) = block.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (first.parse().unwrap(), address.parse().unwrap()) {
        (IpAddr::V4(first), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(first) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(first), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(first) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

/// What the pods of the pipeline of this fixture may not, or may.
fn check(fixture: &str, side: &str, table: &[(Peer, &str, u16, bool)]) {
    let children = children(fixture);
    let policies: Vec<&Value> =
        children.iter().filter(|child| child.kind == Kind::NetworkPolicy).map(|child| &child.object).collect();
    assert_eq!(policies.len(), 1);
    for (role, labels) in pods(&children) {
        for (line, (peer, protocol, port, may)) in table.iter().enumerate() {
            let does = lets_through(&policies, side, &labels, peer, protocol, *port);
            assert_eq!(does, *may, "{fixture}, {side} of {}, line {line}: {protocol} {port}", role.name());
        }
    }
    let others = Labels::from([("app".to_owned(), "theirs".to_owned())]);
    assert!(lets_through(&policies, side, &others, &Peer::Outside("192.0.2.9"), "TCP", 1), "pods of others stay open");
    assert_eq!(pods(&children).len(), Role::ALL.len());
}

#[test]
fn out_goes_what_the_spec_names_and_nothing_else() {
    let nats = || pod("nats", &[("app.kubernetes.io/name", "nats")]);
    let postgres = || pod("social", &[("cnpg.io/cluster", "pg"), ("role", "primary")]);
    check(
        "full",
        "egress",
        &[
            (pod("kube-system", &[("k8s-app", "kube-dns")]), "UDP", 53, true),
            (pod("kube-system", &[("k8s-app", "kube-dns")]), "TCP", 53, true),
            (nats(), "TCP", 4222, true),
            (postgres(), "TCP", 5432, true),
            // The source, the AppView and S3 are outside.
            (Peer::Outside("203.0.113.7"), "TCP", 443, true),
            (Peer::Outside("2001:db8::1"), "TCP", 9000, true),
            (pod("istio-system", &[("app", "istiod")]), "TCP", 15012, true),
            // Another port, another namespace, another pod, another address, another protocol.
            (nats(), "TCP", 8222, false),
            (pod("other", &[("app.kubernetes.io/name", "nats")]), "TCP", 4222, false),
            (pod("nats", &[("app.kubernetes.io/name", "redis")]), "TCP", 4222, false),
            (pod("other", &[("cnpg.io/cluster", "pg")]), "TCP", 5432, false),
            (postgres(), "UDP", 5432, false),
            (Peer::Outside("203.0.114.7"), "TCP", 443, false),
            (Peer::Outside("203.0.113.7"), "TCP", 80, false),
            // The API server, and who knows the machine's credentials.
            (Peer::Outside("10.96.0.1"), "TCP", 443, false),
            (Peer::Outside("169.254.169.254"), "TCP", 80, false),
            (pod("social", &[("turbopipeline.dev/pipeline", "bluesky")]), "TCP", 8080, false),
        ],
    );
}

#[test]
fn in_come_scrapers_and_nothing_else() {
    let prometheus = || pod("monitoring", &[("app.kubernetes.io/name", "prometheus")]);
    check(
        "full",
        "ingress",
        &[
            (prometheus(), "TCP", 8080, true),
            // The proxy of the pod answers for it.
            (prometheus(), "TCP", 15020, true),
            (Peer::Outside("192.0.2.1"), "TCP", 15021, true),
            (prometheus(), "TCP", 8081, false),
            (prometheus(), "UDP", 8080, false),
            (prometheus(), "TCP", 15008, false),
            (pod("social", &[("turbopipeline.dev/pipeline", "bluesky")]), "TCP", 5432, false),
        ],
    );
}

#[test]
fn in_ambient_mode_pods_speak_through_the_tunnel() {
    let peer = || pod("nats", &[("app.kubernetes.io/name", "nats")]);
    check("ambient", "ingress", &[(peer(), "TCP", 15008, true), (peer(), "TCP", 15020, false)]);
}

#[test]
fn blocks_of_addresses_are_what_they_say() {
    for (block, address, is) in [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("0.0.0.0/0", "192.0.2.1", true),
        ("192.0.2.1/32", "192.0.2.1", true),
        ("192.0.2.1/32", "192.0.2.2", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "192.0.2.1", false),
    ] {
        assert_eq!(contains(block, address), is, "{block} {address}");
    }
}
