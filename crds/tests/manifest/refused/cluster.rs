//! What is refused of what only a cluster asks for.

use serde_json::{Value, json};

pub(super) fn cluster() -> Vec<(Value, &'static str)> {
    [pods(), around()].concat()
}

fn pods() -> Vec<(Value, &'static str)> {
    let pods = |pods: Value| json!({"spec.workers": {"pods": pods}});
    vec![
        (
            json!({"spec.workers": {"replicas": 5}}),
            "spec.workers.replicas: 5 is above 4, the partitions of all slices; give at most one worker for each",
        ),
        (
            json!({"spec.image": "registry.example.org/Turbo Pipeline"}),
            "spec.image: \"registry.example.org/Turbo Pipeline\" is not the name of an image; \
             give it like registry.example.org/turbopipeline:0.1.0",
        ),
        (json!({"spec.paused": "yes"}), "spec.paused: \"yes\" is a text; give true or false"),
        (
            pods(json!({"resources": {"limits": {"memory": "lots"}, "requests": {"cpu": 0.5}}})),
            "spec.workers.pods.resources.limits.memory: \"lots\" is not a quantity; write it like 2, 500m, 512Mi or 4Gi\n\
             spec.workers.pods.resources.requests.cpu: 0.5 is a number; write it like 2, 500m, 512Mi or 4Gi",
        ),
        (
            pods(json!({"imagePullSecrets": ["Pull"], "serviceAccount": {"name": "a_b"}, "priorityClassName": "A"})),
            "spec.workers.pods.imagePullSecrets[0]: \"Pull\" is not the name of a Secret; \
             use a to z, 0 to 9, - and .; begin and end with a letter or digit\n\
             spec.workers.pods.priorityClassName: \"A\" is not the name of an object of Kubernetes; \
             use a to z, 0 to 9, - and .; begin and end each part with a letter or digit\n\
             spec.workers.pods.serviceAccount.name: \"a_b\" is not the name of an object of Kubernetes; \
             use a to z, 0 to 9, - and .; begin and end each part with a letter or digit",
        ),
        (
            json!({"spec.ingest": {"pods": {"template": [], "tolerations": {}}}}),
            "spec.ingest.pods.template: is a list; give a mapping of fields\n\
             spec.ingest.pods.tolerations: is a mapping; give a list",
        ),
    ]
}

fn around() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"spec.mesh": {"istio": {"mode": "Ambient", "revision": "a"}}}),
            "spec.mesh.istio: names a revision with mode Ambient, which has none; leave it out",
        ),
        (
            json!({"spec.mesh": {"istio": {"mode": "ambient", "allow": ["ops"]}}}),
            "spec.mesh.istio.allow[0]: \"ops\" is not a ServiceAccount; give namespace/account, such as ops/dashboard\n\
             spec.mesh.istio.mode: \"ambient\" is not a choice here; give Sidecar or Ambient",
        ),
        (
            json!({"spec.network": {"egress": [{"cidr": "203.0.113.0"}]}}),
            "spec.network.egress[0].cidr: \"203.0.113.0\" is not a network; \
             give an address with a prefix, such as 203.0.113.0/24",
        ),
        (
            json!({"spec.network": {"peers": [{"namespace": "db"}]}}),
            "spec.network.peers[0].ports: required, but missing; \
             add it: the ports of the pods (not of their Service), 1 to 16",
        ),
        (
            json!({"spec.monitoring": {"interval": "100ms"}}),
            "spec.monitoring.interval: \"100ms\" is out of range; give 1s to 1h",
        ),
    ]
}
