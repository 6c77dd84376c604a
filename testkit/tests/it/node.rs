//! A node runs pods as any other does, has no way out, and leaves nothing behind.

use crate::timed;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use turbo_testkit::{Door, Image, Node, program};

const TOOLS: &str = "testkit.local/tools:1";
const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: one, labels: { pod-security.kubernetes.io/enforce: restricted } }
---
apiVersion: v1
kind: Service
metadata: { name: nats, namespace: one }
spec: { selector: { app: nats }, ports: [{ port: 4222 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: nats, namespace: one }
spec:
  selector: { matchLabels: { app: nats } }
  template:
    metadata: { labels: { app: nats } }
    spec:
      automountServiceAccountToken: false
      securityContext: { runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: { type: RuntimeDefault } }
      containers:
        - name: nats
          image: testkit.local/tools:1
          command: [nats-server, -js, -sd, /data]
          readinessProbe: { tcpSocket: { port: 4222 }, periodSeconds: 1 }
          resources: { limits: { memory: 128Mi } }
          securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] } }
          volumeMounts: [{ name: data, mountPath: /data }]
      volumes: [{ name: data, emptyDir: { sizeLimit: 64Mi } }]"#;

/// What a pod says of what it reaches.
const LOOKS: &str = "exec 3<>/dev/tcp/nats.one.svc.cluster.local/4222; read -r line <&3; echo \"${line:0:4}\"; \
                     (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && echo out || echo in";

fn tools() -> Option<Image> {
    let bash = program("bash")?;
    Some(
        Image::new(TOOLS)
            .user("65532")
            .program(&bash, "/bin/bash")
            .program(&program("nats-server")?, "/bin/nats-server"),
    )
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The processes in the network of one.
fn beside(process: u32) -> Vec<PathBuf> {
    let network = |process: &Path| std::fs::read_link(process.join("ns/net")).ok();
    let its = network(Path::new(&format!("/proc/{process}")));
    assert_ne!(its, network(Path::new("/proc/self")));
    let all = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|process| network(process) == its).collect()
}

/// The control groups of the node in this folder.
fn groups(folder: &Path) -> usize {
    let name = folder.file_name().unwrap().to_string_lossy().trim_start_matches('.').to_owned();
    let trees = std::fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
    let groups = trees.filter_map(|tree| std::fs::read_dir(tree).ok()).flatten().flatten();
    groups.filter(|group| group.file_name().to_string_lossy() == format!("testkit-{name}")).count()
}

#[test]
fn pods_run_and_see_each_other_and_nothing_else() {
    let Some(tools) = tools() else { return };
    let Some(node) = timed("a node", Node::start) else { return };
    timed("an image", || node.import(tools));
    let kubectl = |arguments: &[&str]| node.kubectl(arguments, PODS).unwrap_or_else(|error| panic!("{error}"));
    kubectl(&["apply", "-f", "-"]);
    timed("a pod", || kubectl(&["-n", "one", "rollout", "status", "deployment/nats", "--timeout=60s"]));

    let to = kubectl(&["-n", "one", "get", "service", "nats", "-o", "jsonpath={.spec.clusterIP}"]);
    let door = node.door(SocketAddr::new(to.parse::<IpAddr>().unwrap(), 4222));
    let said = |door: &Door| {
        let mut line = String::new();
        // What is refused inside ends the connection before it says anything.
        let _ = BufReader::new(TcpStream::connect(door.address()).unwrap()).read_line(&mut line);
        line
    };
    // A Service leads somewhere a moment after its pod is ready.
    until("the server greets", || said(&door).starts_with("INFO {"));
    let out = node.door("192.0.2.1:80".parse().unwrap());
    assert_eq!(said(&out), "");

    kubectl(&["run", "looks", "--image", TOOLS, "--restart=Never", "--command", "--", "bash", "-c", LOOKS]);
    let phase = || kubectl(&["get", "pod", "looks", "-o", "jsonpath={.status.phase}"]);
    until("the pod has looked", || phase() == "Succeeded");
    assert_eq!(kubectl(&["logs", "looks"]), "INFO\nin\n");

    let (process, folder) = (node.server().pid().unwrap(), node.server().folder().to_owned());
    let there = beside(process);
    assert!(there.len() > 8 && groups(&folder) > 0);
    drop((door, out));
    drop(node);
    assert!(!folder.exists() && groups(&folder) == 0);
    until("every process is gone", || there.iter().all(|process| !process.join("exe").exists()));
}
