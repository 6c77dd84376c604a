use super::*;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn pods(status: &[Value]) -> Vec<Pod> {
    let pod = |status: &Value| {
        let pod = json!({"metadata": {"name": "bluesky-workers-x"}, "spec": {"containers": []}, "status": status});
        serde_json::from_value(pod).unwrap()
    };
    status.iter().map(pod).collect()
}

fn waiting(reason: &str, message: &str) -> Value {
    let last =
        json!({"terminated": {"exitCode": 1, "message": "one line\nturbo: spec.sinks.postgres.urlFrom: refused\n"}});
    json!({"containerStatuses": [{
        "name": "turbo", "image": "turbopipeline:1", "imageID": "", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": reason, "message": message}}, "lastState": last,
    }]})
}

fn unschedulable() -> Value {
    json!({"conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient cpu.",
    }]})
}

#[test]
fn why_a_pod_does_not_come_is_said_with_the_mend() {
    let said = |status: Value| of_pods(&pods(&[status])).map(|trouble| (trouble.reason, trouble.message));
    for (status, reason, words) in [
        (waiting("ImagePullBackOff", "not found"), Reason::ImageNotPulled, "turbopipeline:1"),
        (
            waiting("CrashLoopBackOff", "back-off"),
            Reason::Crashing,
            "with 1: one line turbo: spec.sinks.postgres.urlFrom",
        ),
        (waiting("CreateContainerConfigError", "no user"), Reason::NotReady, "CreateContainerConfigError: no user"),
        (unschedulable(), Reason::Unschedulable, "Insufficient cpu"),
    ] {
        let (said, message) = said(status).unwrap();
        assert_eq!(said, reason);
        assert!(message.contains("bluesky-workers-x") && message.contains(words), "{message}");
        assert!(message.ends_with(reason.mend().unwrap()), "{message}");
    }
    assert_eq!(said(waiting("ContainerCreating", "")), None);
    assert_eq!(said(json!({})), None);
}

#[test]
fn the_worst_of_many_pods_is_told() {
    let many = pods(&[unschedulable(), json!({}), waiting("CrashLoopBackOff", "")]);
    assert_eq!(of_pods(&many).unwrap().reason, Reason::Crashing);
    let words = "x ".repeat(5000);
    let mut long = waiting("CrashLoopBackOff", "");
    long["containerStatuses"][0]["lastState"]["terminated"]["message"] = json!(words);
    assert!(of_pods(&pods(&[long])).unwrap().message.len() < 700, "no more than the last words");
}

#[test]
fn the_last_words_of_a_pod_are_those_for_people() {
    let waits = r#"{"level":"WARN","fields":{"message":"waiting for PostgreSQL at pg:5432"}}"#;
    let said = |words: &str| {
        let mut status = waiting("CrashLoopBackOff", "");
        status["containerStatuses"][0]["lastState"]["terminated"]["message"] = json!(words);
        of_pods(&pods(&[status])).unwrap().message
    };
    assert!(said(&format!("{waits}\nturbo: no room\n")).contains("again and again, with 1: turbo: no room; "));
    assert!(said(waits).contains("with 1: waiting for PostgreSQL at pg:5432; "));
    assert!(said("").contains("again and again, with 1; "));
}

#[test]
fn one_that_begins_anew_and_is_not_ready_is_told() {
    let status = |ready: bool, restarts: i32| {
        let mut status = waiting("", "");
        let container = &mut status["containerStatuses"][0];
        (container["ready"], container["restartCount"]) = (json!(ready), json!(restarts));
        container["state"] = json!({"running": {"startedAt": "2026-11-01T00:00:00Z"}});
        of_pods(&pods(&[status])).map(|trouble| (trouble.reason, trouble.message))
    };
    let (reason, message) = status(false, 3).unwrap();
    assert_eq!(reason, Reason::NotReady);
    assert!(message.contains("has begun anew 3 times and is not ready"), "{message}");
    assert_eq!((status(false, 0), status(true, 3)), (None, None));
}

#[test]
fn pods_that_are_not_even_made_say_why_too() {
    let said = |message: &str| {
        let condition =
            json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message});
        let deployment: Deployment = serde_json::from_value(json!({
            "metadata": {}, "status": {"conditions": [condition]},
        }))
        .unwrap();
        of_workload(Role::Workers, &deployment).unwrap().reason
    };
    assert_eq!(said("pods \"a\" is forbidden: exceeded quota: small, requested: cpu=1"), Reason::QuotaExceeded);
    assert_eq!(said("pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\""), Reason::PodSecurityRefuses);
    assert_eq!(said("admission webhook denied the request"), Reason::ApplyRefused);
}

fn pipeline(status: Option<TurboPipelineStatus>) -> TurboPipeline {
    let manifest = json!({
        "apiVersion": "turbopipeline.dev/v1alpha1", "kind": "TurboPipeline", "metadata": {"name": "bluesky"},
        "spec": {"source": {"jetstream": {"endpoints": ["wss://a.example"]}}, "sinks": {}},
    });
    TurboPipeline { status, ..serde_json::from_value(manifest).unwrap() }
}

fn seen(ready: i32, wanted: i32) -> Seen {
    let pods = Pods { there: wanted, ready, wanted, updated: wanted };
    Seen { roles: Role::ALL.map(|role| (role, pods)).into(), image: "turbopipeline:1".to_owned(), ..Seen::default() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn condition<'a>(status: &'a TurboPipelineStatus, kind: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == kind).unwrap()
}

#[test]
fn at_rest_the_status_is_the_same_at_any_time_and_a_change_has_its_own() {
    let first = status(&pipeline(None), &seen(2, 2), at(1));
    assert_eq!(first.summary.as_deref(), Some("running: 2 of 2 workers and 2 of 2 readers are ready"));
    assert_eq!(status(&pipeline(Some(first.clone())), &seen(2, 2), at(99)), first);
    let second = status(&pipeline(Some(first)), &seen(0, 2), at(50));
    let ready = condition(&second, "Ready");
    assert_eq!((&*ready.status, &*ready.reason, ready.last_transition_time.0), ("False", "Starting", at(50)));
    assert_eq!(condition(&second, "Degraded").last_transition_time.0, at(1), "that is as it was");
    assert_eq!(second.workers.unwrap().text, "0/2");
}

#[test]
fn what_is_wrong_beside_leaves_it_ready_and_is_told() {
    let mut seen = seen(1, 1);
    seen.missing.insert(Kind::PodMonitor);
    let status = status(&pipeline(None), &seen, at(1));
    assert_eq!(condition(&status, "Ready").status, "True");
    let degraded = condition(&status, "Degraded");
    assert_eq!((&*degraded.status, &*degraded.reason), ("True", "KindMissing"));
    assert_eq!(degraded.message, "the cluster serves no PodMonitor; install the prometheus-operator");
}

#[test]
fn where_nothing_runs_what_is_known_of_it_is_told() {
    let trouble = Trouble::beside(Reason::NotReady, "the pod x has begun anew");
    let with = |ready| Seen { troubles: vec![trouble.clone()], ..seen(ready, 2) };
    let down = status(&pipeline(None), &with(0), at(1));
    assert_eq!(
        (down.summary.as_deref(), &*condition(&down, "Ready").reason),
        (Some("the pod x has begun anew"), "NotReady")
    );
    let partly = status(&pipeline(None), &with(1), at(1));
    assert_eq!((&*condition(&partly, "Ready").status, &*condition(&partly, "Degraded").reason), ("True", "NotReady"));
}

#[test]
fn one_that_is_stopped_keeps_the_numbers_that_it_had() {
    let running = status(&pipeline(None), &seen(2, 2), at(1));
    let stopped = Seen { stopped: Some(Trouble::of_pods(Reason::NotForClusters, "no")), ..Seen::default() };
    let now = status(&pipeline(Some(running.clone())), &stopped, at(2));
    assert_eq!(condition(&running, "Ready").status, "True");
    assert_eq!((now.workers, now.replicas, now.image), (running.workers, running.replicas, running.image));
}
