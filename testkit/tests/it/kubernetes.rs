//! An API server and its controllers, as clients see them.

use std::time::{Duration, Instant};
use turbo_testkit::Kubernetes;

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: { name: one }
spec:
  replicas: 2
  selector: { matchLabels: { app: one } }
  template:
    metadata: { labels: { app: one } }
    spec: { containers: [{ name: one, image: none }] }";

#[test]
fn controllers_make_and_collect_what_a_deployment_needs() {
    let Some(kubernetes) = Kubernetes::options().controllers().start() else { return };
    let kubectl = |arguments: &[&str]| kubernetes.kubectl(arguments, DEPLOYMENT);
    kubectl(&["apply", "-f", "-"]).unwrap();
    let pods = || kubectl(&["get", "pods", "-o", "name"]).unwrap_or_default().lines().count();
    eventually("both pods are there", || pods() == 2);
    kubernetes.api().restart();
    assert!(kubectl(&["get", "deployment", "one"]).unwrap().contains("0/2"), "its data is there, and nobody runs it");
    kubectl(&["delete", "deployment", "one"]).unwrap();
    eventually("they are collected", || pods() == 0);
}

#[test]
fn what_is_refused_is_told() {
    let Some(kubernetes) = Kubernetes::start() else { return };
    let refused = kubernetes.kubectl(&["apply", "-f", "-"], "{apiVersion: v1, kind: Nothing, metadata: {name: a}}");
    assert!(refused.unwrap_err().contains("no matches for kind"));
    let (api, etcd) = (kubernetes.api().pid().unwrap(), kubernetes.etcd().pid().unwrap());
    drop(kubernetes);
    for pid in [api, etcd] {
        assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    }
}
