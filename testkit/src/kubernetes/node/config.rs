//! The files by which the parts of a node run: all of them in its folder.

use super::{ADDRESS, PORT, URL};
use crate::kubernetes::parts;
use crate::kubernetes::pki::Pki;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The addresses of pods.
const PODS: &str = "10.244.0.0/24";
const GROUPS: &str = "/sys/fs/cgroup";

/// The control group of everything in pods, one for each node.
fn group(folder: &Path) -> String {
    format!("testkit-{}", folder.file_name().unwrap_or_default().to_string_lossy().trim_start_matches('.'))
}

/// Where it is: once, or once for each resource where those have trees of their own.
pub(super) fn groups(folder: &Path) -> Vec<PathBuf> {
    let (root, group) = (Path::new(GROUPS), group(folder));
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(group)];
    }
    let trees = std::fs::read_dir(root).unwrap().map(|tree| tree.unwrap().path());
    // Links are other names of the same trees.
    trees.filter(|tree| tree.is_dir() && !tree.is_symlink()).map(|tree| tree.join(&group)).collect()
}

/// Writes all of them. `admin` is where the API server is reached from outside.
pub(super) fn write(folder: &Path, admin: &str, plugins: &Path) {
    let pki = Pki::new(folder);
    pki.control_plane(&["127.0.0.1", ADDRESS, "10.96.0.1"], URL);
    pki.kubeconfig("admin", admin);
    pki.kubeconfig_as("inside", "admin", URL);
    pki.client("scheduler", "system:kube-scheduler", None, URL);
    pki.client("proxy", "system:kube-proxy", None, URL);
    pki.certificate("kubelet", "system:node:node", Some("system:nodes"), &["node", ADDRESS]);
    pki.kubeconfig("kubelet", URL);
    let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    std::fs::create_dir(folder.join("cni")).unwrap();
    put("cni/10-bridge.conflist", network().to_string());
    put("kubelet.yaml", kubelet(folder).to_string());
    put("containerd.toml", containerd(folder, plugins));
    put("resolv.conf", format!("nameserver {ADDRESS}\n"));
    put("Corefile", names(folder));
    put("parts", calls(folder));
}

/// What is run, a line for each.
fn calls(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    let (scheduler, proxy) = (at("scheduler.conf"), at("proxy.conf"));
    let calls = [
        format!("etcd etcd {}", parts::etcd(client, peer)),
        format!(
            "api kube-apiserver {} --kubelet-client-certificate=admin.crt --kubelet-client-key=admin.key \
             --kubelet-preferred-address-types=InternalIP",
            parts::api(client, "0.0.0.0", ADDRESS, PORT)
        ),
        format!(
            "controllers kube-controller-manager {} --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16",
            parts::controllers(&folder.to_string_lossy(), 10257)
        ),
        format!(
            "scheduler kube-scheduler --kubeconfig={scheduler} --authentication-kubeconfig={scheduler} \
             --authorization-kubeconfig={scheduler} --leader-elect=false"
        ),
        format!("containerd containerd --config={}", at("containerd.toml")),
        format!(
            "kubelet kubelet --config={} --kubeconfig={} --hostname-override=node --node-ip={ADDRESS} --root-dir={}",
            at("kubelet.yaml"),
            at("kubelet.conf"),
            at("kubelet")
        ),
        format!(
            "proxy kube-proxy --kubeconfig={proxy} --hostname-override=node --proxy-mode=nftables \
             --cluster-cidr=10.244.0.0/16 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s \
             --conntrack-tcp-timeout-close-wait=0s"
        ),
        format!("names coredns -conf {}", at("Corefile")),
    ];
    calls.join("\n") + "\n"
}

/// A bridge of the pods, without a way out: what leaves is not given another address.
fn network() -> Value {
    json!({ "cniVersion": "0.4.0", "name": "pods", "plugins": [
        {
            "type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "ranges": [[{ "subnet": PODS }]], "routes": [{ "dst": "0.0.0.0/0" }],
            },
        },
        { "type": "portmap", "capabilities": { "portMappings": true } },
    ] })
}

fn kubelet(folder: &Path) -> Value {
    let at = |name: &str| folder.join(name);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false }, "webhook": { "enabled": true }, "x509": { "clientCAFile": at("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": at("kubelet.crt"), "tlsPrivateKeyFile": at("kubelet.key"),
        "cgroupDriver": "cgroupfs", "cgroupRoot": format!("/{}", group(folder)), "failCgroupV1": false,
        "failSwapOn": false, "enforceNodeAllocatable": [],
        "containerRuntimeEndpoint": format!("unix://{}", at("containerd.sock").display()),
        "clusterDNS": [ADDRESS], "clusterDomain": "cluster.local", "resolvConf": at("resolv.conf"),
        "podCIDR": PODS, "podLogsDir": at("pods"),
        "evictionHard": { "memory.available": "100Mi" },
        // A root that no device stands for can not be measured.
        "localStorageCapacityIsolation": false,
        "registryPullQPS": 0, "eventRecordQPS": 0,
        "syncFrequency": "10s", "nodeStatusUpdateFrequency": "5s",
    })
}

/// A container without a capability that the machine may not have can not change how soon it is killed for memory.
fn containerd(folder: &Path, plugins: &Path) -> String {
    let (at, plugins) = (folder.display(), plugins.display());
    format!(
        r#"version = 3
root = "{at}/containerd/root"
state = "{at}/containerd/state"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
  address = "{at}/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{at}/cni"
"#,
        pause = super::PAUSE
    )
}

/// The names of Services. It runs beside the pods, as the parts of the control plane do.
fn names(folder: &Path) -> String {
    format!(
        ".:53 {{\n  bind {ADDRESS}\n  errors\n  kubernetes cluster.local in-addr.arpa {{\n    kubeconfig {}\n    pods \
         insecure\n  }}\n  cache 5\n}}\n",
        folder.join("inside.conf").display()
    )
}
