//! A Kubernetes with a node: pods run.
//!
//! All of it is in namespaces of its own, of processes, mounts and network: when their first process ends, the kernel ends
//! everything in them, and no mount, device or process is left. There is no way out of the network: a test reaches an
//! address in it through a [`Door`].

mod config;

use super::kubectl::Kubectl;
use super::spec;
use crate::door::Door;
use crate::find::{find, missed};
use crate::image::Image;
use crate::port::Port;
use crate::postgres::ran;
use crate::server::Server;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The address of the node, also where names are asked for.
const ADDRESS: &str = "10.250.0.1";
const PORT: u16 = 6443;
/// Where parts and pods reach the API server.
const URL: &str = "https://10.250.0.1:6443";
/// What holds the namespaces of a pod.
const PAUSE: &str = "testkit.local/pause:1";
const INIT: &str = include_str!("init.sh");
/// How long the node may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The programs of the parts, and those that they call.
const PROGRAMS: [&str; 11] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "containerd",
    "containerd-shim-runc-v2",
    "runc",
    "coredns",
    "nft",
];

/// A cluster of one node.
pub struct Node {
    server: Server,
    _door: Door,
    kubectl: Kubectl,
    ctr: PathBuf,
}

impl Node {
    /// Starts it, with no image but what holds pods. `None` where a program is not there, or this user may not make namespaces.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start() -> Option<Self> {
        if std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() != 0) {
            missed("a node makes namespaces, mounts and control groups: the rights of root are not there");
            return None;
        }
        let programs: Vec<PathBuf> = PROGRAMS.into_iter().map(|name| find(name, |_| true)).collect::<Option<_>>()?;
        let [kubectl, ctr, pause, unshare, plugin] =
            ["kubectl", "ctr", "pause", "unshare", "host-local"].map(|name| find(name, |_| true));
        let (kubectl, ctr, pause, unshare, plugin) = (kubectl?, ctr?, pause?, unshare?, plugin?);
        let folder = tempfile::tempdir().unwrap();
        let port = Port::take();
        config::write(folder.path(), &format!("https://{}", port.address()), plugin.parent().unwrap());
        link(folder.path(), &programs);
        let config = folder.path().join("admin.conf");
        let server = server(unshare, folder, Kubectl { program: kubectl.clone(), config: config.clone() });
        server.launch();
        let door = Door::open(port, server.pid().unwrap(), SocketAddr::new(ADDRESS.parse().unwrap(), PORT));
        let node = Self { server, _door: door, kubectl: Kubectl { program: kubectl, config }, ctr };
        node.server.wait();
        node.import(Image::new(PAUSE).entrypoint(&["/pause"]).program(&pause, "/pause"));
        node.until("the node is not ready", || {
            node.kubectl(&["wait", "--for=condition=Ready", "node/node", "--timeout=1s"], "")
        });
        // The kubelet measures no disk here, and without one no pod that asks for a part of it is taken.
        let disk = r#"{"status":{"capacity":{"ephemeral-storage":"64Gi"},"allocatable":{"ephemeral-storage":"64Gi"}}}"#;
        node.until("the node has no disk", || {
            node.kubectl(&["patch", "node/node", "--subresource=status", "--type=merge", "-p", disk], "")
        });
        node.until("the default account is not there", || node.kubectl(&["get", "serviceaccount", "default"], ""));
        Some(node)
    }

    /// Runs kubectl as the administrator with this on its input, and says what it printed; an error is what it said.
    ///
    /// # Errors
    /// It ends with an error.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.kubectl.run(arguments, input)
    }

    /// The file by which a client on this machine is the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubectl.config.clone()
    }

    /// Brings an image to the node.
    ///
    /// # Panics
    /// The node does not take it.
    pub fn import(&self, image: Image) {
        let file = tempfile::NamedTempFile::new_in(self.server.folder()).unwrap();
        image.write(file.path());
        let socket = self.server.folder().join("containerd.sock");
        self.until("the image is not taken", || {
            let mut ctr = Command::new(&self.ctr);
            ran(ctr.arg("--address").arg(&socket).args(["--namespace=k8s.io", "images", "import"]).arg(file.path()))
        });
    }

    /// A way to an address in the cluster, of a Service or a pod.
    pub fn door(&self, to: SocketAddr) -> Door {
        Door::open(Port::take(), self.server.pid().unwrap(), to)
    }

    /// The first of its processes, with the folder in which the logs of the parts are: `kubelet.log` and so on.
    pub fn server(&self) -> &Server {
        &self.server
    }

    fn until<T>(&self, what: &str, done: impl Fn() -> Result<T, String>) -> T {
        let began = Instant::now();
        loop {
            match done() {
                Ok(value) => return value,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{what}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// All programs in one folder, which is where the parts look for those that they call.
fn link(folder: &Path, programs: &[PathBuf]) {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, program) in PROGRAMS.iter().zip(programs) {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
}

/// The first process of the node's namespaces.
fn server(unshare: PathBuf, folder: TempDir, kubectl: Kubectl) -> Server {
    let at = folder.path().to_owned();
    let init = at.join("init.sh");
    std::fs::write(&init, INIT).unwrap();
    let args = format!(
        "--net --mount --pid --uts --ipc --fork --kill-child --mount-proc -- bash {} {}",
        init.display(),
        at.display()
    );
    let groups = config::groups(&at);
    for group in &groups {
        std::fs::create_dir(group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));
    }
    let mut spec = spec(unshare, &args, folder, Box::new(move || kubectl.is_ready()));
    spec.litter = groups;
    Server::new(spec)
}
