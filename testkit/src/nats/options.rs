//! How a nats-server is configured.

use super::{Nats, NatsCluster};
use crate::find::find;
use crate::http;
use crate::port::Port;
use crate::server::{Ready, Server, Spec};
use std::path::Path;
use std::process::Command;

/// Atomic batches came with 2.12; Debian's is older.
const OLDEST: (u32, u32) = (2, 12);

/// What differs from a server with JetStream and nothing else.
#[derive(Clone, Default)]
pub struct NatsOptions {
    without_jetstream: bool,
    jetstream: String,
    config: String,
    files: Vec<(String, Vec<u8>)>,
    login: Option<(String, String)>,
}

/// The part of a node in a cluster.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) port: Port,
    /// Where every node of it is reached by the others.
    pub(super) routes: Vec<String>,
}

impl NatsOptions {
    /// A server that only passes messages on.
    #[must_use]
    pub fn without_jetstream(mut self) -> Self {
        self.without_jetstream = true;
        self
    }

    /// Lines for the block `jetstream`: `max_file_store: 64MB`, say.
    #[must_use]
    pub fn jetstream(mut self, lines: &str) -> Self {
        self.jetstream += &format!("  {lines}\n");
        self
    }

    /// Lines for the top of the configuration: `max_payload: 64KB`, a block `tls` or `authorization` with nkeys.
    #[must_use]
    pub fn config(mut self, lines: &str) -> Self {
        self.config += &format!("{lines}\n");
        self
    }

    /// A file in the server's folder, which the configuration names without a path: a certificate, say.
    #[must_use]
    pub fn file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), contents.into()));
        self
    }

    /// One user with a password; nobody else may connect.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Starts the server. `None` where the program is not installed.
    pub fn start(self) -> Option<Nats> {
        let nats = self.prepare(None)?;
        nats.start();
        Some(nats)
    }

    /// Starts so many of them as a cluster, and waits for its meta leader. `None` where the program is not installed.
    pub fn cluster(self, nodes: usize) -> Option<NatsCluster> {
        NatsCluster::start(&self, nodes)
    }

    pub(super) fn prepare(&self, member: Option<Member>) -> Option<Nats> {
        let program = find("nats-server", is_new_enough)?;
        let folder = tempfile::tempdir().unwrap();
        let (client, monitor) = (Port::take(), Port::take());
        for (name, contents) in &self.files {
            std::fs::write(folder.path().join(name), contents).unwrap();
        }
        let config = self.text(&client, &monitor, member.as_ref());
        std::fs::write(folder.path().join("nats.conf"), config).unwrap();
        // The health of a cluster's node hangs on the others: what waits for it is the cluster.
        let path = if member.is_some() { "/varz" } else { "/healthz" };
        let address = monitor.address();
        let ready: Ready = Box::new(move || http::request(&address, "GET", path, "").map(drop));
        let args = vec!["-c".to_owned(), "nats.conf".to_owned()];
        let spec = Spec { program, args, user: None, folder, litter: Vec::new(), stop: "TERM", ready };
        Some(Nats { server: Server::new(spec), client, monitor, _route: member.map(|member| member.port) })
    }

    fn text(&self, client: &Port, monitor: &Port, member: Option<&Member>) -> String {
        let mut text = format!("listen: \"{}\"\nhttp: \"{}\"\n", client.address(), monitor.address());
        if !self.without_jetstream {
            text += &format!("jetstream {{\n  store_dir: store\n{}}}\n", self.jetstream);
        }
        if let Some((name, password)) = &self.login {
            text += &format!("authorization {{ user: \"{name}\", password: \"{password}\" }}\n");
        }
        if let Some(Member { name, port, routes }) = member {
            let address = port.address();
            let routes = routes.join("\", \"nats://");
            text += &format!("server_name: \"{name}\"\ncluster {{\n  name: turbo\n  listen: \"{address}\"\n");
            // A client knows the nodes by the URL; what they would tell it leads around a proxy.
            text += &format!("  no_advertise: true\n  routes: [\"nats://{routes}\"]\n}}\n");
        }
        text + &self.config
    }
}

/// `nats-server: v2.15.1`
fn is_new_enough(program: &Path) -> bool {
    let Ok(output) = Command::new(program).arg("--version").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().rsplit('v').next().unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST
}
