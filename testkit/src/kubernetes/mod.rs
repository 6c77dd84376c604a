//! A Kubernetes without nodes: etcd, an API server and, where it is asked for, the controller manager.

mod pki;

use crate::find::find;
use crate::port::Port;
use crate::postgres::ran;
use crate::server::{Server, Spec};
use pki::Pki;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// An API server with a database of its own. Pods stay Pending: there is no node.
///
/// Everybody is known by a certificate; the authority is one for servers, clients and the request headers of aggregated APIs.
pub struct Kubernetes {
    // The API server goes first, or it would cry for its database.
    api: Server,
    controllers: Option<Server>,
    etcd: Server,
    kubectl: PathBuf,
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
        self.api.folder().join("admin.conf")
    }

    /// Runs kubectl as the administrator with this on its input, and says what it printed; an error is what it said.
    ///
    /// # Errors
    /// It ends with an error.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.kubectl);
        command.args(arguments).env("KUBECONFIG", self.kubeconfig()).env("HOME", self.api.folder());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        child.stdin.take().unwrap().write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let [said, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() { Ok(said) } else { Err(error) }
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

fn spec(program: PathBuf, args: String, folder: TempDir, ready: crate::server::Ready) -> Spec {
    let args = args.split_whitespace().map(str::to_owned).collect();
    // Asked to stop, an API server waits for a minute for those who watch; its data is in etcd.
    Spec { program, args, user: None, folder, litter: Vec::new(), stop: "KILL", ready }
}

fn etcd(program: PathBuf, ports: &[Port; 2]) -> Server {
    let [client, peer] = ports.each_ref().map(|port| format!("http://{}", port.address()));
    let args = format!(
        "--data-dir=data --unsafe-no-fsync --listen-client-urls={client} --advertise-client-urls={client} \
         --listen-peer-urls={peer} --initial-advertise-peer-urls={peer} --initial-cluster=default={peer} --log-level=warn"
    );
    let address = ports[0].address();
    let ready = Box::new(move || crate::http::request(&address, "GET", "/readyz", "").map(drop));
    Server::new(spec(program, args, tempfile::tempdir().unwrap(), ready))
}

fn api(program: PathBuf, kubectl: PathBuf, etcd: &Port, port: &Port) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    pki.certificate("api", "kube-apiserver", None, &["127.0.0.1", "localhost", "kubernetes.default.svc"]);
    pki.certificate("admin", "admin", Some("system:masters"), &[]);
    pki.certificate("controllers", "system:kube-controller-manager", None, &[]);
    pki.certificate("front", "front-proxy", None, &[]);
    let url = format!("https://{}", port.address());
    ["admin", "controllers"].iter().for_each(|who| pki.kubeconfig(who, &url));
    let args = format!(
        "--etcd-servers=http://{} --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port={} \
         --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC \
         --allow-privileged=true --client-ca-file=ca.crt --tls-cert-file=api.crt --tls-private-key-file=api.key \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub \
         --service-account-signing-key-file=sa.key --requestheader-client-ca-file=ca.crt \
         --requestheader-allowed-names=front-proxy --requestheader-username-headers=X-Remote-User \
         --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
         --proxy-client-cert-file=front.crt --proxy-client-key-file=front.key --enable-aggregator-routing=true \
         --shutdown-delay-duration=0s",
        etcd.address(),
        port.number()
    );
    let config = folder.path().join("admin.conf");
    let ready = Box::new(move || {
        let mut command = Command::new(&kubectl);
        let asked = ran(command.args(["--request-timeout=2s", "get", "--raw=/readyz"]).env("KUBECONFIG", &config));
        // A look takes a tenth of a second of the processor.
        asked.map(drop).inspect_err(|_| std::thread::sleep(Duration::from_millis(200)))
    });
    Server::new(spec(program, args, folder, ready))
}

fn controllers(program: PathBuf, api: &Server) -> Server {
    let at = |name: &str| api.folder().join(name).to_string_lossy().into_owned();
    let (config, port) = (at("controllers.conf"), Port::take());
    let args = format!(
        "--kubeconfig={config} --authentication-kubeconfig={config} --authorization-kubeconfig={config} \
         --bind-address=127.0.0.1 --secure-port={} --leader-elect=false --use-service-account-credentials \
         --service-account-private-key-file={} --root-ca-file={} --cluster-signing-cert-file={} \
         --cluster-signing-key-file={} --horizontal-pod-autoscaler-sync-period=2s",
        port.number(),
        at("sa.key"),
        at("ca.crt"),
        at("ca.crt"),
        at("ca.key")
    );
    // Its port speaks TLS only, and is held until it has it.
    let ready =
        Box::new(move || std::net::TcpStream::connect(port.address()).map(drop).map_err(|error| error.to_string()));
    Server::new(spec(program, args, tempfile::tempdir().unwrap(), ready))
}
