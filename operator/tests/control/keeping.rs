//! What is kept as it is wanted, whoever changes it, and what is left alone.

use super::cluster::Cluster;
use serde_json::{Value, json};

#[test]
fn what_somebody_changes_is_mended_and_what_is_somebodys_own_stays() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&[]);
    cluster.apply("small", "bluesky");
    let workers = || cluster.get("deployment/bluesky-workers");
    cluster.until("no workers", workers, |seen| !seen.is_null());
    let social = |arguments: &[&str]| cluster.kubectl(&[&["-n", "social"], arguments].concat(), "");
    social(&["label", "deployment/bluesky-workers", "mine=1", "app.kubernetes.io/component=x", "--overwrite"]);
    social(&["scale", "deployment/bluesky-workers", "--replicas=9"]);
    social(&["set", "image", "deployment/bluesky-workers", "turbo=other:9"]);
    social(&["delete", "service/bluesky-ingest", "pdb/bluesky-workers"]);
    cluster.until("it is not mended", workers, |seen| {
        let (labels, spec) = (&seen["metadata"]["labels"], &seen["spec"]);
        labels["app.kubernetes.io/component"] == "workers"
            && spec["replicas"] == 1
            && spec["template"]["spec"]["containers"][0]["image"] == "turbopipeline:1"
    });
    assert_eq!(workers()["metadata"]["labels"]["mine"], "1");
    for there in ["service/bluesky-ingest", "pdb/bluesky-workers"] {
        cluster.until("it is not made anew", || cluster.get(there), |seen| !seen.is_null());
    }
}

#[test]
fn a_pipeline_at_rest_is_not_written() {
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&[]);
    for name in ["one", "two", "three"] {
        cluster.apply("small", name);
        cluster.until_reason(name, "Ready", "SecretMissing");
    }
    let settled = cluster.until(
        "it does not come to rest",
        || {
            let before = operator.writes();
            std::thread::sleep(std::time::Duration::from_secs(2));
            (before, operator.writes())
        },
        |(before, after)| before == after,
    );
    let reconciles = || operator.metric("turbo_operator_reconciles_total");
    let before = reconciles();
    cluster.kubectl(&["-n", "social", "annotate", "tp", "--all", "touched=1"], "");
    cluster.until("it is not looked at", reconciles, |now| *now >= before + 3.0);
    assert_eq!(operator.writes(), settled.1);
}

#[test]
fn another_operator_finds_everything_as_it_would_make_it() {
    let Some(cluster) = Cluster::start() else { return };
    let first = cluster.operator(&["--identity", "first"]);
    cluster.apply("full", "bluesky");
    cluster.until_reason("bluesky", "Ready", "SecretMissing");
    let standing_by = cluster.operator(&["--identity", "second", "--image", "turbopipeline:2"]);
    first.stop();
    standing_by.until_log("this operator acts");
    let reconciled = || standing_by.metric("turbo_operator_reconciles_total");
    cluster.until("nothing is looked at", reconciled, |count| *count > 0.0);
    for of in ["workers", "ingest"] {
        assert_eq!(cluster.get(&format!("deployment/bluesky-{of}"))["metadata"]["generation"], 1, "{of}");
    }
}

#[test]
fn the_image_of_the_first_operator_stays() {
    let Some(cluster) = Cluster::start() else { return };
    let first = cluster.operator(&["--identity", "first"]);
    cluster.apply("small", "bluesky");
    cluster.until("no image", || cluster.get("tp/bluesky"), |seen| seen["status"]["image"] == "turbopipeline:1");
    first.stop();
    let second = cluster.operator(&["--identity", "second", "--image", "turbopipeline:2"]);
    cluster.apply("small", "later");
    cluster.until("no image", || cluster.get("tp/later"), |seen| seen["status"]["image"] == "turbopipeline:2");
    cluster.until("not looked at", || second.metric("turbo_operator_reconciles_total"), |count| *count >= 2.0);
    let workers = cluster.get("deployment/bluesky-workers");
    assert_eq!(workers["spec"]["template"]["spec"]["containers"][0]["image"], "turbopipeline:1");
}

#[test]
fn one_that_can_not_be_run_says_why_and_stops_no_other() {
    let Some(cluster) = Cluster::start() else { return };
    // As where the CRD is of another version: it lets through what the operator can not read.
    let mut crd: Value = serde_json::to_value(turbo_crds::crd().unwrap()).unwrap();
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    crd["spec"]["versions"][0]["subresources"].as_object_mut().unwrap().remove("scale");
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &crd.to_string());
    let operator = cluster.operator(&[]);
    cluster.apply_changed("small", "unreadable", |manifest| manifest["spec"]["workers"]["replicas"] = json!("many"));
    cluster.apply_changed("small", "broken", |manifest| manifest["spec"]["workers"]["replicas"] = json!(5));
    cluster.apply_changed("small", "local", |manifest| {
        manifest["spec"]["sinks"]["postgres"]["urlFrom"] = json!({"env": "PG"});
    });
    cluster.apply("small", "good");
    cluster.until_reason("good", "Ready", "SecretMissing");
    let said = cluster.until_reason("unreadable", "Ready", "InvalidSpec");
    assert!(said.contains("can not read the pipeline"), "{said}");
    let said = cluster.until_reason("broken", "Ready", "InvalidSpec");
    assert!(said.contains("spec.workers.replicas: is above 4"), "{said}");
    let said = cluster.until_reason("local", "Ready", "NotForClusters");
    assert!(said.contains("spec.sinks.postgres.urlFrom"), "{said}");
    assert_eq!(cluster.names("deployment"), ["good-ingest", "good-workers"]);
    let unready = |reason: &str| operator.metric(&format!("turbo_operator_pipelines_not_ready{{reason=\"{reason}\"}}"));
    assert_eq!((unready("InvalidSpec"), unready("NotForClusters"), unready("SecretMissing")), (2.0, 1.0, 1.0));
}

#[test]
fn one_that_is_to_be_left_alone_is() {
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&[]);
    cluster.apply_changed("small", "alone", |manifest| {
        manifest["metadata"]["annotations"] = json!({"turbopipeline.dev/reconcile": "off"});
    });
    cluster.apply("small", "other");
    cluster.until_reason("other", "Ready", "SecretMissing");
    cluster.until("not looked at", || operator.metric("turbo_operator_reconciles_total"), |count| *count >= 2.0);
    assert!(cluster.names("deployment").iter().all(|name| name.starts_with("other")));
    cluster.kubectl(&["-n", "social", "annotate", "tp/alone", "turbopipeline.dev/reconcile-"], "");
    cluster.until_reason("alone", "Ready", "SecretMissing");
}

#[test]
fn who_takes_over_from_a_killed_one_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let first = cluster.operator(&["--identity", "first", "--lease-seconds", "8"]);
    first.until_log("this operator acts");
    let second = cluster.operator(&["--identity", "second", "--lease-seconds", "8"]);
    // It is killed, and gives nothing back.
    drop(first);
    cluster.apply("small", "bluesky");
    cluster.until_reason("bluesky", "Ready", "SecretMissing");
    second.until_log("this operator acts");
}

#[test]
fn an_api_server_that_comes_back_is_gone_on_with() {
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&[]);
    cluster.apply("small", "before");
    cluster.until_reason("before", "Ready", "SecretMissing");
    cluster.kubernetes.api().restart();
    cluster.apply("small", "after");
    cluster.until_reason("after", "Ready", "SecretMissing");
    let workers = || cluster.get("deployment/before-workers")["spec"]["replicas"].clone();
    cluster.kubectl(&["-n", "social", "scale", "tp/before", "--replicas=2"], "");
    cluster.until("it is not scaled", workers, |seen| *seen == 2);
    operator.stop();
}
