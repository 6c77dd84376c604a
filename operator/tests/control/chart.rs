//! The chart: what it makes, what it refuses, and what is left when it goes.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use turbo_testkit::{Kubernetes, program};

/// Helm with the chart, as the administrator of a cluster or of none.
struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
    config: Option<PathBuf>,
}

impl Helm {
    fn of(kubernetes: Option<&Kubernetes>) -> Option<Self> {
        let config = kubernetes.map(Kubernetes::kubeconfig);
        Some(Self { program: program("helm")?, home: tempfile::tempdir().unwrap(), config })
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/turbopipeline");
        let arguments = arguments.iter().map(|word| if *word == "CHART" { chart.as_os_str() } else { word.as_ref() });
        let mut command = Command::new(&self.program);
        // Nothing of whoever runs the tests.
        command.args(arguments).env("HOME", self.home.path()).env_remove("KUBECONFIG");
        for (name, folder) in [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            command.env(name, self.home.path().join(folder));
        }
        if let Some(config) = &self.config {
            command.env("KUBECONFIG", config);
        }
        let output = command.output().unwrap();
        let [said, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() { Ok(said) } else { Err(error) }
    }

    fn rendered(&self, values: &[&str]) -> Vec<Value> {
        let text =
            self.run(&[&["template", "turbo", "CHART", "--namespace", "turbo-system"], values].concat()).unwrap();
        serde_saphyr::from_multiple(&text).unwrap()
    }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

#[test]
fn values_that_it_does_not_know_are_refused() {
    let Some(helm) = Helm::of(None) else { return };
    for (value, says) in [
        ("replicas=many", "replicas"),
        ("leaseSeconds=3", "leaseSeconds"),
        ("nope=1", "nope"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("namespaces={Upper}", "namespaces"),
        ("podMonitor.interval=soon", "interval"),
    ] {
        let refused = helm.run(&["template", "turbo", "CHART", "--set", value]).unwrap_err();
        assert!(refused.contains(says), "{value}: {refused}");
    }
}

#[test]
fn of_some_namespaces_it_may_do_nothing_in_others() {
    let Some(helm) = Helm::of(None) else { return };
    let all = helm.rendered(&[]);
    assert_eq!(of_kind(&all, "ClusterRoleBinding").len(), 1);
    let some = helm.rendered(&["--set", "namespaces={one,two}"]);
    assert!(of_kind(&some, "ClusterRoleBinding").is_empty());
    let bound: Vec<&Value> = of_kind(&some, "RoleBinding").iter().map(|one| &one["metadata"]["namespace"]).collect();
    assert_eq!(bound, ["one", "two", "turbo-system"]);
    let container = &of_kind(&some, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    let named = |name: &str| container["env"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(named("TURBO_NAMESPACES")["value"], "one,two");
}

#[test]
fn every_value_ends_where_it_is_meant_to() {
    let Some(helm) = Helm::of(None) else { return };
    let objects = helm.rendered(&[
        "--set=image.repository=mirror/turbo,image.tag=v9,image.pullSecrets={pull},replicas=3,log=debug",
        "--set=leaseSeconds=20,discoverySeconds=5,resources.limits.memory=1Gi,serviceAccount.annotations.a=b",
        "--set=podAnnotations.c=d,podLabels.e=f,nodeSelector.g=h,tolerations[0].key=i,priorityClassName=high",
        "--set=affinity.nodeAffinity.x=y,podMonitor.enabled=true,podMonitor.labels.k=l,podMonitor.interval=9s",
        "--set=crds.install=false",
    ]);
    let deployment = of_kind(&objects, "Deployment")[0];
    let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    let container = &pod["containers"][0];
    assert_eq!(spec["replicas"], 3);
    assert_eq!(container["image"], "mirror/turbo:v9");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(spec["template"]["metadata"]["annotations"]["c"], "d");
    assert_eq!(spec["template"]["metadata"]["labels"]["e"], "f");
    assert_eq!((&pod["nodeSelector"]["g"], &pod["tolerations"][0]["key"]), (&"h".into(), &"i".into()));
    assert_eq!((&pod["priorityClassName"], &pod["affinity"]["nodeAffinity"]["x"]), (&"high".into(), &"y".into()));
    let arguments = container["args"].as_array().unwrap();
    assert!(arguments.contains(&"--lease-seconds=20".into()) && arguments.contains(&"--discovery-seconds=5".into()));
    assert_eq!(of_kind(&objects, "ServiceAccount")[0]["metadata"]["annotations"]["a"], "b");
    let monitor = of_kind(&objects, "PodMonitor")[0];
    assert_eq!(monitor["metadata"]["labels"]["k"], "l");
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "9s");
    assert!(of_kind(&objects, "CustomResourceDefinition").is_empty());
    // What the operator is called with, it takes.
    let words = arguments.iter().map(|word| word.as_str().unwrap()).chain(["--help"]);
    assert!(Command::new(env!("CARGO_BIN_EXE_turbo-operator")).args(words).output().unwrap().status.success());
}

#[test]
fn two_releases_stand_side_by_side_and_leave_the_pipelines() {
    let Some(kubernetes) = Kubernetes::start() else { return };
    let Some(helm) = Helm::of(Some(&kubernetes)) else { return };
    let kubectl = |arguments: &[&str]| kubernetes.kubectl(arguments, "").unwrap_or_else(|error| panic!("{error}"));
    let first = ["install", "turbo", "CHART", "--namespace", "one", "--create-namespace"];
    let notes = helm.run(&first).unwrap();
    assert!(notes.contains("kubectl -n one rollout status deployment/turbo-operator"), "{notes}");
    // The kinds are the first one's.
    let second =
        ["install", "turbo", "CHART", "--namespace", "two", "--create-namespace", "--set", "crds.install=false"];
    helm.run(&second).unwrap();
    let installed = helm.run(&["get", "manifest", "turbo", "--namespace", "one"]).unwrap();
    let without = Helm::of(None).unwrap();
    let rendered = without.run(&["template", "turbo", "CHART", "--namespace", "one"]).unwrap();
    assert_eq!(installed.trim(), rendered.trim(), "what is made does not hang on the cluster");
    for namespace in ["one", "two"] {
        let there = kubectl(&["-n", namespace, "get", "deployment,serviceaccount,role,pdb", "-o", "name"]);
        assert_eq!(there.lines().filter(|line| line.ends_with("/turbo-operator")).count(), 4, "{there}");
        let may = format!("system:serviceaccount:{namespace}:turbo-operator");
        let may = kubectl(&["auth", "can-i", "patch", "deployments", "-n", "default", "--as", &may]);
        assert_eq!(may.trim(), "yes");
    }
    helm.run(&["upgrade", "turbo", "CHART", "--namespace", "one", "--set", "replicas=1"]).unwrap();
    assert_eq!(kubectl(&["-n", "one", "get", "deployment/turbo-operator", "-o", "jsonpath={.spec.replicas}"]), "1");
    helm.run(&["uninstall", "turbo", "--namespace", "one"]).unwrap();
    assert!(kubectl(&["get", "crd", "-o", "name"]).contains("turbopipelines.turbopipeline.dev"));
    let left = kubectl(&["get", "clusterrole,clusterrolebinding", "-o", "name"]);
    assert!(!left.contains("one-turbo-operator") && left.contains("two-turbo-operator"), "{left}");
}
