//! A Kubernetes without nodes: etcd, an API server and, where it is asked for, the controller manager.

mod kubectl;
#[cfg(target_os = "linux")]
mod node;
mod parts;
mod pki;

#[cfg(target_os = "linux")]
pub use node::Node;

use crate::find::find;
use crate::port::Port;
use crate::server::{Ready, Server, Spec};
use kubectl::Kubectl;
use pki::Pki;
use std::path::PathBuf;
use tempfile::TempDir;

/// An API server with a database of its own. Pods stay Pending: there is no node.
///
/// Everybody is known by a certificate; the authority is one for servers, clients and the request headers of aggregated APIs.
pub struct Kubernetes {
    // The API server goes first, or it would cry for its database.
    api: Server,
    controllers: Option<Server>,
    etcd: Server,
    kubectl: Kubectl,
    port: Port,
    _etcd_ports: [Port; 2],
}

/// What of it is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct KubernetesOptions {
    controllers: bool,
}

impl KubernetesOptions {
    /// The controller manager too: it collects garbage, and Deployments, Services and HPAs act.
    pub fn controllers(mut self) -> Self {
        self.controllers = true;
        self
    }

    /// Starts it. `None` where its programs are not there.
    pub fn start(self) -> Option<Kubernetes> {
        let [etcd, api, kubectl] = ["etcd", "kube-apiserver", "kubectl"].map(|name| find(name, |_| true));
        let (etcd, api, kubectl) = (etcd?, api?, kubectl?);
        let controllers = if self.controllers { Some(find("kube-controller-manager", |_| true)?) } else { None };
        let etcd_ports = [Port::take(), Port::take()];
        let etcd = self::etcd(etcd, &etcd_ports);
        etcd.launch();
        let port = Port::take();
        let api = self::api(api, kubectl.clone(), &etcd_ports[0], &port);
        let kubectl = Kubectl { program: kubectl, config: api.folder().join("admin.conf") };
        etcd.wait();
        api.start();
        let controllers = controllers.map(|program| self::controllers(program, &api));
        let kubernetes = Kubernetes { api, controllers, etcd, kubectl, port, _etcd_ports: etcd_ports };
        kubernetes.controllers.iter().for_each(Server::start);
        Some(kubernetes)
    }
}

impl Kubernetes {
    /// An API server and its database. `None` where the programs are not there.
    pub fn start() -> Option<Self> {
        KubernetesOptions::default().start()
    }

    /// One with more of its parts.
    pub fn options() -> KubernetesOptions {
        KubernetesOptions::default()
    }

    /// `https://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("https://{}", self.port.address())
    }

    /// The file by which a client is the administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubectl.config.clone()
    }

    /// Runs kubectl as the administrator with this on its input, and says what it printed; an error is what it said.
    ///
    /// # Errors
    /// It ends with an error.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.kubectl.run(arguments, input)
    }

    /// The API server.
    pub fn api(&self) -> &Server {
        &self.api
    }

    /// The controller manager, where there is one.
    pub fn controllers(&self) -> Option<&Server> {
        self.controllers.as_ref()
    }

    /// The database of the API server.
    pub fn etcd(&self) -> &Server {
        &self.etcd
    }
}

fn spec(program: PathBuf, args: &str, folder: TempDir, ready: Ready) -> Spec {
    let args = args.split_whitespace().map(str::to_owned).collect();
    // Asked to stop, an API server waits for a minute for those who watch; its data is in etcd.
    Spec { program, args, user: None, folder, litter: Vec::new(), stop: "KILL", ready }
}

fn etcd(program: PathBuf, ports: &[Port; 2]) -> Server {
    let [client, peer] = ports.each_ref().map(|port| format!("http://{}", port.address()));
    let address = ports[0].address();
    let ready = Box::new(move || crate::http::request(&address, "GET", "/readyz", "").map(drop));
    Server::new(spec(program, &parts::etcd(&client, &peer), tempfile::tempdir().unwrap(), ready))
}

fn api(program: PathBuf, kubectl: PathBuf, etcd: &Port, port: &Port) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    pki.control_plane(&["127.0.0.1"], &format!("https://{}", port.address()));
    let etcd = format!("http://{}", etcd.address());
    let args = parts::api(&etcd, "127.0.0.1", "127.0.0.1", port.number()) + " --endpoint-reconciler-type=none";
    let kubectl = Kubectl { program: kubectl, config: folder.path().join("admin.conf") };
    let ready = Box::new(move || kubectl.is_ready());
    Server::new(spec(program, &args, folder, ready))
}

fn controllers(program: PathBuf, api: &Server) -> Server {
    let port = Port::take();
    let args = parts::controllers(&api.folder().to_string_lossy(), port.number());
    // Its port speaks TLS only, and is held until it has it.
    let ready =
        Box::new(move || std::net::TcpStream::connect(port.address()).map(drop).map_err(|error| error.to_string()));
    Server::new(spec(program, &args, tempfile::tempdir().unwrap(), ready))
}
