//! A node with the images that the manifests name, and the operator.

use serde_json::Value;
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use turbo_testkit::{Door, Node, standins};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(300);
/// The namespace of the quickstart.
const NAMESPACE: &str = "turbo-quickstart";

/// A cluster in which pipelines run.
pub(super) struct Stage {
    pub(super) node: Node,
}

impl Stage {
    /// `None` where a program is not there.
    pub(super) fn start() -> Option<Self> {
        let images = standins::all(built("turbo").parent().unwrap())?;
        let node = Node::start()?;
        images.into_iter().for_each(|image| node.import(image));
        let stage = Self { node };
        stage.kubectl(&["apply", "--server-side", "-f", "-"], &turbo_crds::crd_yaml().unwrap());
        stage.kubectl(&["wait", "--for=condition=Established", "crd/turbopipelines.turbopipeline.dev"], "");
        stage.kubectl(&["apply", "--server-side", "-f", &manifests("operator").to_string_lossy()], "");
        stage.kubectl(&["-n", "turbo-system", "rollout", "status", "deployment/turbo-operator", "--timeout=120s"], "");
        Some(stage)
    }

    /// Runs kubectl, which must not fail.
    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        self.node.kubectl(arguments, input).unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// The same in the namespace of the quickstart.
    pub(super) fn quickstart(&self, arguments: &[&str]) -> String {
        self.kubectl(&[&["-n", NAMESPACE], arguments].concat(), "")
    }

    /// An object of that namespace, or null.
    pub(super) fn get(&self, what: &str) -> Value {
        let text = self.quickstart(&["get", what, "--ignore-not-found", "-o", "json"]);
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() }
    }

    /// Waits until it is so; shows what goes on where it never is.
    pub(super) fn until<T: Debug>(&self, what: &str, look: impl Fn() -> T, is: impl Fn(&T) -> bool) -> T {
        let began = Instant::now();
        loop {
            let seen = look();
            if is(&seen) {
                eprintln!("{what}: {:.0} s", began.elapsed().as_secs_f64());
                return seen;
            }
            if began.elapsed() > PATIENCE {
                let all = self.node.kubectl(&["get", "pods,tp,events", "-A", "-o", "wide"], "");
                panic!("not in {PATIENCE:?}: {what}: {seen:#?}\n{}", all.unwrap_or_else(|error| error));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// A way to a Service of the quickstart.
    pub(super) fn door(&self, service: &str) -> Door {
        let spec = self.get(&format!("service/{service}"))["spec"].clone();
        let address: IpAddr = spec["clusterIP"].as_str().unwrap().parse().unwrap();
        let port = spec["ports"][0]["port"].as_u64().unwrap() as u16;
        self.node.door((address, port).into())
    }
}

/// A folder of manifests.
pub(super) fn manifests(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests").join(folder)
}

/// A program of this workspace, as the tests were built with it.
pub(super) fn built(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_turbo-operator")).with_file_name(program);
    assert!(path.exists(), "{}: build it first: cargo build --workspace --bins", path.display());
    path
}
