//! Many things at once: watches that break, others who write the same objects, many pipelines.

use super::cluster::Cluster;
use super::proxy::Proxy;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn watches_that_break_again_and_again_lose_no_change() {
    let Some(cluster) = Cluster::start() else { return };
    let proxy = Proxy::before(cluster.kubernetes.url().trim_start_matches("https://"));
    let operator = cluster.operator_behind(&proxy.address(), &[]);
    cluster.apply("small", "bluesky");
    cluster.until_reason("bluesky", "Ready", "SecretMissing");
    let replicas = || cluster.get("deployment/bluesky-workers")["spec"]["replicas"].clone();
    let mut cut = 0;
    for round in 0..12 {
        let wanted = 1 + round % 4;
        // Before, between or after: what changes while nobody watches is found all the same.
        cut += proxy.cut();
        cluster.kubectl(&["-n", "social", "scale", "tp/bluesky", &format!("--replicas={wanted}")], "");
        if round % 3 == 0 {
            cut += proxy.cut();
        }
        cluster.until(&format!("round {round}: it is not scaled"), replicas, |seen| *seen == wanted);
        cluster.kubectl(&["-n", "social", "delete", "service/bluesky-workers"], "");
        cut += proxy.cut();
        cluster.until("no service", || cluster.get("service/bluesky-workers"), |seen| !seen.is_null());
    }
    assert!(cut >= 24, "{cut} connections were cut");
    operator.stop();
}

#[test]
fn others_who_write_the_same_objects_do_not_win_and_stop_nobody() {
    let Some(cluster) = Cluster::start() else { return };
    let _operator = cluster.operator(&[]);
    cluster.apply("small", "bluesky");
    cluster.until_reason("bluesky", "Ready", "SecretMissing");
    let over = AtomicBool::new(false);
    let storm = |arguments: &[&str]| {
        let mut writes = 0;
        while !over.load(Ordering::Relaxed) {
            // One that comes too late is refused: that is the storm.
            writes += i32::from(cluster.kubernetes.kubectl(&[&["-n", "social"], arguments].concat(), "").is_ok());
        }
        assert!(writes > 2, "{arguments:?}: {writes}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| storm(&["scale", "deployment/bluesky-workers", "--replicas=7"]));
        scope.spawn(|| storm(&["set", "image", "deployment/bluesky-workers", "turbo=other:9"]));
        scope.spawn(|| storm(&["label", "tp/bluesky", "storm=1", "--overwrite"]));
        scope.spawn(|| {
            let status = r#"{"status":{"summary":"mine","replicas":9}}"#;
            storm(&["patch", "tp/bluesky", "--subresource=status", "--type=merge", "-p", status]);
        });
        // Meanwhile there is a new one.
        cluster.apply("small", "other");
        cluster.until_reason("other", "Ready", "SecretMissing");
        cluster.kubectl(&["-n", "social", "scale", "tp/other", "--replicas=2"], "");
        let other = || cluster.get("deployment/other-workers")["spec"]["replicas"].clone();
        cluster.until("it is not scaled", other, |seen| *seen == 2);
        std::thread::sleep(Duration::from_secs(3));
        over.store(true, Ordering::Relaxed);
    });
    cluster.until(
        "it is not mended",
        || cluster.get("deployment/bluesky-workers"),
        |seen| {
            let spec = &seen["spec"];
            spec["replicas"] == 1 && spec["template"]["spec"]["containers"][0]["image"] == "turbopipeline:1"
        },
    );
    cluster.until(
        "the status is not its own",
        || cluster.get("tp/bluesky"),
        |seen| seen["status"]["summary"] != "mine" && seen["status"]["replicas"] == 1,
    );
}

#[test]
fn two_hundred_at_rest_are_looked_at_and_not_written() {
    const MANY: usize = 200;
    let Some(cluster) = Cluster::start() else { return };
    let operator = cluster.operator(&[]);
    let all: Vec<_> = (0..MANY).map(|number| cluster.manifest("small", &format!("p{number}"))).collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    cluster.kubectl(&["apply", "--server-side", "-f", "-"], &list.to_string());
    let unready = || operator.metric("turbo_operator_pipelines_not_ready{reason=\"SecretMissing\"}");
    cluster.patient(Duration::from_secs(600), "they are not all seen", unready, |count| *count == MANY as f64);
    let at_rest = || {
        let before = operator.writes();
        std::thread::sleep(Duration::from_secs(5));
        (before, operator.writes())
    };
    let rest = cluster.patient(Duration::from_secs(600), "no rest", at_rest, |(before, after)| before == after).1;
    let reconciles = || operator.metric("turbo_operator_reconciles_total");
    let before = reconciles();
    for round in 0..4 {
        std::thread::sleep(Duration::from_secs(30));
        cluster.kubectl(&["-n", "social", "annotate", "tp", "--all", "--overwrite", &format!("touched={round}")], "");
    }
    let looked = before + 4.0 * MANY as f64;
    cluster.patient(Duration::from_secs(600), "they are not looked at", reconciles, |count| *count >= looked);
    assert_eq!(operator.writes(), rest, "two minutes of 200 pipelines at rest");
}
