//! An S3 server: SeaweedFS.

use crate::find::find;
use crate::http;
use crate::port::Port;
use crate::server::{Ready, Server, Spec};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

const ACCESS_KEY: &str = "turbo";
const SECRET_KEY: &str = "turbo-secret";

/// A server with one user, who may do everything. It checks signatures, refuses a put into a bucket that is not there
/// with 404, and honours `If-None-Match`. The methods of [`Server`] stop and start it.
///
/// A bucket wants path style.
pub struct S3 {
    server: Server,
    ports: Ports,
    buckets: Arc<Mutex<Vec<String>>>,
}

/// A web port and one of gRPC for each of its parts. Any that is not given would be a fixed one.
struct Ports {
    master: [Port; 2],
    volume: [Port; 2],
    filer: [Port; 2],
    s3: [Port; 2],
    admin: [Port; 2],
}

impl S3 {
    /// A server without buckets. `None` where the program is not installed.
    pub fn start() -> Option<Self> {
        let program = find("weed", |_| true)?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let user = serde_json::json!({
            "name": "turbo",
            "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        });
        let users = serde_json::json!({ "identities": [user] });
        std::fs::write(folder.path().join("users.json"), users.to_string()).unwrap();
        let ports = Ports::take();
        let buckets = Arc::<Mutex<Vec<String>>>::default();
        let (args, litter, ready) = (ports.args(), ports.litter(), ports.ready(buckets.clone()));
        let spec = Spec { program, args, user: None, folder, litter, stop: "TERM", ready };
        let s3 = Self { server: Server::new(spec), ports, buckets };
        s3.start();
        Some(s3)
    }

    /// The endpoint: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.ports.s3[0].address())
    }

    /// The id of the access key.
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret of the access key.
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Any region would do.
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// Makes a bucket.
    pub fn create_bucket(&self, name: &str) {
        // A bucket is a folder of the part below, which wants no signature.
        http::request(&self.ports.filer[0].address(), "POST", &format!("/buckets/{name}/"), "").unwrap();
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
    }
}

/// A server is what it is; this says where it is reached.
impl Deref for S3 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Ports {
    fn take() -> Self {
        let two = || [Port::take(), Port::take()];
        Self { master: two(), volume: two(), filer: two(), s3: two(), admin: two() }
    }

    fn parts(&self) -> [(&'static str, &[Port; 2]); 5] {
        let Self { master, volume, filer, s3, admin } = self;
        [("master", master), ("volume", volume), ("filer", filer), ("s3", s3), ("admin", admin)]
    }

    /// `weed mini` is all parts in one process, in its own words for one machine: up in under a second, where
    /// `weed server` takes three, and fifteen to stop.
    fn args(&self) -> Vec<String> {
        let fixed = "mini -dir=data -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3.config=users.json -s3.autoCreateBucket=false \
                     -s3.port.iceberg=0 -s3.port.lance=0 -s3.localSocket=s3.sock -filer.localSocket=filer.sock \
                     -webdav=false -admin.ui=false -volume.preStopSeconds=0 -master.telemetry=false";
        let mut args: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
        for (part, [web, grpc]) in self.parts() {
            args.push(format!("-{part}.port={}", web.number()));
            args.push(format!("-{part}.port.grpc={}", grpc.number()));
        }
        args
    }

    /// Sockets that it leaves in a place of its own choice.
    fn litter(&self) -> Vec<PathBuf> {
        let socket =
            |(part, ports): (&str, &[Port; 2])| format!("/tmp/seaweedfs-{part}-grpc-{}.sock", ports[1].number());
        self.parts().map(socket).map(PathBuf::from).to_vec()
    }

    /// It says that it is well before the parts know each other. After a restart that takes up to 5 s more, in which
    /// a get fails; and a put that comes too early is held for 15 s. So each bucket's volumes are written to first.
    fn ready(&self, buckets: Arc<Mutex<Vec<String>>>) -> Ready {
        let [master, filer, s3] = [&self.master, &self.filer, &self.s3].map(|ports| ports[0].address());
        Box::new(move || {
            http::request(&s3, "GET", "/healthz", "")?;
            let said = http::request(&master, "GET", "/dir/status", "")?;
            let topology: serde_json::Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
            if topology["Topology"]["DataCenters"].as_array().is_none_or(Vec::is_empty) {
                return Err(format!("no volume server is known: {said}"));
            }
            let buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for bucket in std::iter::once("").chain(buckets.iter().map(String::as_str)) {
                http::request(&filer, "PUT", &format!("/ready?collection={bucket}"), "ready")?;
            }
            Ok(())
        })
    }
}
