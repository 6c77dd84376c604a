//! What becomes of a pipeline, from its first apply to its deletion.

use super::cluster::Cluster;
use serde_json::{Value, json};

const KINDS: [&str; 6] = ["deployment", "service", "serviceaccount", "configmap", "pdb", "networkpolicy"];

#[test]
fn a_pipeline_becomes_objects_and_its_end_takes_them() {
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&[]);
    cluster.apply("full", "bluesky");
    let said = cluster.until_reason("bluesky", "Ready", "SecretMissing");
    assert!(said.starts_with("spec.source.jetstream.caFrom: there is no Secret ca; "), "{said}");
    let uid = cluster.get("tp/bluesky")["metadata"]["uid"].clone();
    for kind in KINDS {
        let made: Vec<String> = cluster.names(kind).into_iter().filter(|name| name.starts_with("bluesky")).collect();
        assert!(!made.is_empty(), "no {kind}");
        for name in made {
            let owner = cluster.get(&format!("{kind}/{name}"))["metadata"]["ownerReferences"][0].clone();
            assert_eq!((&owner["uid"], &owner["controller"]), (&uid, &json!(true)), "{kind}/{name}");
        }
    }
    let said = cluster.until_reason("bluesky", "Degraded", "SecretMissing");
    for kind in ["PodMonitor; install the prometheus-operator", "PeerAuthentication; install Istio"] {
        assert!(said.contains(kind), "{said}");
    }
    cluster.kubectl(&["-n", "social", "delete", "tp", "bluesky"], "");
    for kind in KINDS {
        let look = || cluster.names(kind).into_iter().filter(|name| name.starts_with("bluesky")).collect::<Vec<_>>();
        cluster.until(&format!("{kind} are left"), look, Vec::is_empty);
    }
    let unready = || operator.metric("turbo_operator_pipelines_not_ready{reason=\"SecretMissing\"}");
    cluster.until("it still counts", unready, |count| *count == 0.0);
}

#[test]
fn secrets_are_named_one_by_one_and_the_rest_is_waited_for() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&[]);
    cluster.apply("small", "bluesky");
    let secret = |data: &Value| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-app", "namespace": "social"}, "stringData": data});
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], &secret.to_string());
    };
    let said = cluster.until_reason("bluesky", "Ready", "SecretMissing");
    assert!(said.starts_with("spec.sinks.postgres.urlFrom: there is no Secret pg-app; Make the Secret"), "{said}");
    secret(&json!({"url": "x"}));
    let look = || cluster.condition("bluesky", "Ready").2;
    cluster.until("the key is not missed", look, |said| said.contains("the Secret pg-app has no key uri"));
    secret(&json!({"uri": "postgres://hidden"}));
    let said = cluster.until_reason("bluesky", "Ready", "Starting");
    assert_eq!(said, "starting: 0 of 1 workers and 0 of 2 readers are ready");
    let events = cluster.kubectl(&["-n", "social", "get", "events", "-o", "json"], "");
    for reason in ["SecretMissing", "Starting"] {
        assert!(events.contains(&format!("\"reason\": \"{reason}\"")), "{events}");
    }
    assert!(!events.contains("hidden") && !cluster.get("tp/bluesky").to_string().contains("hidden"));
}

#[test]
fn the_number_of_workers_is_that_of_the_pipeline() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&[]);
    cluster.apply("small", "bluesky");
    let replicas = |of: &str| cluster.get(&format!("deployment/bluesky-{of}"))["spec"]["replicas"].clone();
    let until = |of: &str, wanted: i64| {
        cluster.until(&format!("not {wanted} {of}"), || replicas(of), |seen| *seen == wanted);
    };
    until("workers", 1);
    until("ingest", 2);
    cluster.kubectl(&["-n", "social", "scale", "tp/bluesky", "--replicas=3"], "");
    until("workers", 3);
    // Who applies the file again does not take the number back, where the file does not name it.
    let mut manifest = json!({"apiVersion": "turbopipeline.dev/v1alpha1", "kind": "TurboPipeline",
        "metadata": {"name": "bluesky", "namespace": "social"}, "spec": {"paused": true}});
    cluster.kubectl(&["apply", "--server-side", "--field-manager=other", "-f", "-"], &manifest.to_string());
    until("workers", 0);
    until("ingest", 0);
    assert_eq!(cluster.get("tp/bluesky")["spec"]["workers"]["replicas"], 3);
    cluster.until_reason("bluesky", "Ready", "Paused");
    manifest["spec"]["paused"] = json!(false);
    cluster.kubectl(&["apply", "--server-side", "--field-manager=other", "-f", "-"], &manifest.to_string());
    until("workers", 3);
    until("ingest", 2);
}

#[test]
fn what_the_spec_asks_for_no_longer_is_taken_away() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&[]);
    cluster.apply("full", "bluesky");
    cluster.until("no policy", || cluster.names("networkpolicy"), |names| names == &["bluesky"]);
    cluster.apply("full", "other");
    cluster.until("not two policies", || cluster.names("networkpolicy").len(), |count| *count == 2);
    cluster.apply_changed("full", "bluesky", |manifest| {
        manifest["spec"].as_object_mut().unwrap().remove("network");
        manifest["spec"]["workers"]["pods"] = json!({"serviceAccount": {"name": "of-my-own"}});
    });
    cluster.until("the policy is left", || cluster.names("networkpolicy"), |names| names == &["other"]);
    let look = || cluster.names("serviceaccount");
    cluster.until("the account is left", look, |names| !names.contains(&"bluesky-workers".to_owned()));
    let deployment = cluster.get("deployment/bluesky-workers");
    assert_eq!(deployment["spec"]["template"]["spec"]["serviceAccountName"], "of-my-own");
    let files =
        || cluster.names("configmap").into_iter().filter(|name| name.starts_with("bluesky-")).collect::<Vec<_>>();
    let before = files();
    cluster.apply_changed("full", "bluesky", |manifest| manifest["spec"]["workers"]["drain"] = json!("7s"));
    cluster.until("the old file is left, or there is no new one", files, |now| now.len() == 1 && *now != before);
}
