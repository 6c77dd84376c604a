//! A cluster without nodes, with the CRD and operators as processes.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use turbo_testkit::Kubernetes;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The operator without Helm: who it is, what it may do, and its pods.
const OPERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/operator/operator.yaml");

/// A cluster in which pipelines can be made.
pub(super) struct Cluster {
    pub(super) kubernetes: Kubernetes,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// `None` where its programs are not there.
    pub(super) fn start() -> Option<Self> {
        let kubernetes = Kubernetes::options().controllers().start()?;
        let cluster = Self { kubernetes, folder: tempfile::tempdir().unwrap() };
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], &turbo_crds::crd_yaml().unwrap());
        cluster.kubectl(&["wait", "--for=condition=Established", "crd/turbopipelines.turbopipeline.dev"], "");
        cluster.kubectl(&["create", "namespace", "social"], "");
        // Its pods are processes of the test.
        let parts = std::fs::read_to_string(OPERATOR).unwrap();
        let rights: Vec<&str> = parts.split("\n---\n").filter(|part| !part.contains("\nkind: Deployment\n")).collect();
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], &rights.join("\n---\n"));
        Some(cluster)
    }

    /// The file by which an operator is who it is on a cluster, with its rights and no other.
    fn kubeconfig(&self, server: &str) -> PathBuf {
        let file = self.folder.path().join(format!("{}.conf", server.rsplit(':').next().unwrap_or_default()));
        if !file.exists() {
            let token = self.kubectl(&["-n", "turbo-system", "create", "token", "turbo-operator"], "");
            let ca = self.kubernetes.api().folder().join("ca.crt");
            let config = json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": ca}}],
                "users": [{"name": "u", "user": {"token": token.trim()}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            });
            std::fs::write(&file, config.to_string()).unwrap();
        }
        file
    }

    /// Runs kubectl, which must not fail.
    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        self.kubernetes.kubectl(arguments, input).unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// An object of the namespace, or null.
    pub(super) fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&["-n", "social", "get", what, "--ignore-not-found", "-o", "json"], "");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// The names of the objects of a kind in the namespace.
    pub(super) fn names(&self, kind: &str) -> Vec<String> {
        names_of(&self.kubectl(&["-n", "social", "get", kind, "-o", "name"], ""))
    }

    /// The same of a kind that the cluster may not serve.
    pub(super) fn names_or_none(&self, kind: &str) -> Vec<String> {
        let text = self.kubernetes.kubectl(&["-n", "social", "get", kind, "-o", "name"], "").unwrap_or_default();
        names_of(&text)
    }

    /// A pipeline of the fixtures under another name.
    pub(super) fn manifest(&self, fixture: &str, name: &str) -> Value {
        let mut manifest = serde_json::to_value(super::fixtures::pipeline(fixture)).unwrap();
        manifest["metadata"] = json!({ "name": name, "namespace": "social" });
        manifest
    }

    /// Applies it.
    pub(super) fn apply(&self, fixture: &str, name: &str) {
        self.apply_changed(fixture, name, |_| {});
    }

    /// The same, changed.
    pub(super) fn apply_changed(&self, fixture: &str, name: &str, change: impl Fn(&mut Value)) {
        let mut manifest = self.manifest(fixture, name);
        change(&mut manifest);
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &manifest.to_string());
    }

    /// Waits until it is so; says what was seen last where it never is.
    pub(super) fn until<T: std::fmt::Debug>(&self, what: &str, look: impl Fn() -> T, is: impl Fn(&T) -> bool) -> T {
        self.patient(PATIENCE, what, look, is)
    }

    /// The same for as long as this.
    pub(super) fn patient<T: std::fmt::Debug>(
        &self,
        patience: Duration,
        what: &str,
        look: impl Fn() -> T,
        is: impl Fn(&T) -> bool,
    ) -> T {
        let began = Instant::now();
        loop {
            let seen = look();
            if is(&seen) {
                return seen;
            }
            assert!(began.elapsed() < patience, "{what}: {seen:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A condition of a pipeline: status, reason, message.
    pub(super) fn condition(&self, pipeline: &str, kind: &str) -> (String, String, String) {
        let pipeline = self.get(&format!("tp/{pipeline}"));
        let conditions = pipeline["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// Waits until the condition has this reason; says its message.
    pub(super) fn until_reason(&self, pipeline: &str, kind: &str, reason: &str) -> String {
        let look = || self.condition(pipeline, kind);
        self.until(&format!("{kind} of {pipeline} is not {reason}"), look, |seen| seen.1 == reason).2
    }

    /// An operator as a process.
    pub(super) fn operator(&self, arguments: &[&str]) -> Operator {
        self.operator_at(&self.kubernetes.url(), arguments)
    }

    /// One that reaches the API server at this address.
    pub(super) fn operator_behind(&self, address: &str, arguments: &[&str]) -> Operator {
        self.operator_at(&format!("https://{address}"), arguments)
    }

    fn operator_at(&self, server: &str, arguments: &[&str]) -> Operator {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_turbo-operator"))
            .args(["run", "--listen", "127.0.0.1:0", "--namespace", "turbo-system"])
            .args(arguments)
            .env("TURBO_IMAGE", "turbopipeline:1")
            .env("KUBECONFIG", self.kubeconfig(server))
            .env("TURBO_LOG", "debug,hyper=info,kube_client=info,tower=info,rustls=info")
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Operator { child, log }
    }
}

/// The names in what `-o name` prints.
fn names_of(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| Some(line.split_once('/')?.1.to_owned())).collect()
}

/// A process, which is killed when it is dropped.
pub(super) struct Operator {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Operator {
    /// Asks it to stop, and waits for it.
    pub(super) fn stop(mut self) {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    /// Waits until its log says this.
    pub(super) fn until_log(&self, text: &str) {
        let began = Instant::now();
        while !self.log().contains(text) {
            assert!(began.elapsed() < PATIENCE, "{text} is not in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All writes that it counts, but those of its Lease.
    pub(super) fn writes(&self) -> f64 {
        let verbs = ["apply", "create", "delete", "status", "event"];
        verbs.iter().map(|verb| self.metric(&format!("turbo_operator_writes_total{{verb=\"{verb}\"}}"))).sum()
    }

    /// The most memory that it had so far.
    pub(super) fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// The value of a metric with these labels.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let log = self.log();
        let address = log.split("health and metrics at http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let answer = turbo_testkit::http::request(address.unwrap(), "GET", "/metrics", "").unwrap();
        let of = |line: &str| line.strip_prefix(name).and_then(|rest| rest.trim().parse::<f64>().ok());
        answer.lines().find_map(of).unwrap_or_else(|| panic!("no {name} in {answer}"))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(6000);
            eprintln!("{}", String::from_utf8_lossy(&log.as_bytes()[from..]));
        }
    }
}
