//! Kinds that other projects bring: missed by name, made once they are served, and taken by the schemas of those projects.

use super::cluster::Cluster;

const KINDS: [&str; 3] = ["podmonitor", "peerauthentication", "authorizationpolicy"];

/// Brings the kinds of a project. `false` where they are not there.
fn bring(cluster: &Cluster, project: &str) -> bool {
    let Some(kinds) = turbo_testkit::kinds(project) else { return false };
    cluster.kubectl(&["apply", "--server-side", "-f", "-"], &kinds);
    true
}

#[test]
fn what_is_not_served_yet_is_made_once_it_is_and_kept_as_the_rest() {
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&["--discovery-seconds", "1"]);
    cluster.apply("full", "bluesky");
    cluster.apply("ambient", "second");
    let degraded = || cluster.condition("bluesky", "Degraded").2;
    let said = cluster.until("nothing is missed", degraded, |said| said.contains("PodMonitor"));
    assert!(said.contains("the cluster serves no PeerAuthentication; install Istio"), "{said}");

    if !(bring(&cluster, "prometheus") && bring(&cluster, "istio")) {
        return;
    }
    for (kind, names) in KINDS.into_iter().zip([&["bluesky"][..], &["bluesky", "second"], &["bluesky", "second"]]) {
        cluster.until(&format!("no {kind}"), || cluster.names_or_none(kind), |seen| seen == names);
    }
    // They are taken as they are wanted: the schema of the project has taken no field away.
    let policy = cluster.get("authorizationpolicy/bluesky");
    assert_eq!(policy["spec"]["rules"][0]["to"][0]["operation"]["ports"][0], "8080");
    let peers = cluster.get("peerauthentication/bluesky");
    assert_eq!(peers["spec"]["mtls"]["mode"], "STRICT");
    assert_eq!(peers["spec"]["portLevelMtls"]["8080"]["mode"], "PERMISSIVE");
    let monitor = cluster.get("podmonitor/bluesky");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "15s");
    cluster.until("they are still missed", degraded, |said| !said.contains("serves no"));

    // Somebody changes one, and takes another away.
    cluster.kubectl(
        &[
            "-n",
            "social",
            "patch",
            "peerauthentication/bluesky",
            "--type=merge",
            "-p",
            r#"{"spec":{"mtls":{"mode":"DISABLE"}}}"#,
        ],
        "",
    );
    cluster.kubectl(&["-n", "social", "delete", "podmonitor/bluesky"], "");
    let mode = || cluster.get("peerauthentication/bluesky")["spec"]["mtls"]["mode"].clone();
    cluster.until("it is not encrypted again", mode, |mode| mode == "STRICT");
    cluster.until("it is not made anew", || cluster.get("podmonitor/bluesky"), |seen| !seen.is_null());

    // What is no longer asked for goes.
    cluster.apply_changed("full", "bluesky", |manifest| {
        for field in ["mesh", "monitoring"] {
            manifest["spec"].as_object_mut().unwrap().remove(field);
        }
    });
    for kind in KINDS {
        let look = || cluster.names(kind);
        cluster.until(&format!("{kind} is left"), look, |names| !names.contains(&"bluesky".to_owned()));
    }
    operator.stop();
}

#[test]
fn a_kind_that_goes_away_and_comes_back_is_made_again() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&["--discovery-seconds", "1"]);
    if !bring(&cluster, "prometheus") {
        return;
    }
    cluster.apply("full", "bluesky");
    cluster.until("no monitor", || cluster.get("podmonitor/bluesky"), |seen| !seen.is_null());
    cluster.kubectl(&["delete", "crd", "podmonitors.monitoring.coreos.com"], "");
    let degraded = || cluster.condition("bluesky", "Degraded").2;
    cluster.until("it is not missed", degraded, |said| said.contains("serves no PodMonitor"));
    bring(&cluster, "prometheus");
    cluster.until("no monitor again", || cluster.names_or_none("podmonitor"), |names| names == &["bluesky"]);
    cluster.until("it is still missed", degraded, |said| !said.contains("serves no PodMonitor"));
}
