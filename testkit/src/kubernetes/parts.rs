//! How the parts of the control plane are called. They run in a folder with the files of [`super::pki`].

/// The database, which listens on these addresses.
pub(super) fn etcd(client: &str, peer: &str) -> String {
    format!(
        "--data-dir=data --unsafe-no-fsync --listen-client-urls={client} --advertise-client-urls={client} \
         --listen-peer-urls={peer} --initial-advertise-peer-urls={peer} --initial-cluster=default={peer} --log-level=warn"
    )
}

/// The API server on a port of these addresses.
pub(super) fn api(etcd: &str, listen: &str, advertise: &str, port: u16) -> String {
    format!(
        "--etcd-servers={etcd} --bind-address={listen} --advertise-address={advertise} --secure-port={port} \
         --service-cluster-ip-range=10.96.0.0/16 --authorization-mode=Node,RBAC \
         --allow-privileged=true --client-ca-file=ca.crt --tls-cert-file=api.crt --tls-private-key-file=api.key \
         --service-account-issuer=https://kubernetes.default.svc --service-account-key-file=sa.pub \
         --service-account-signing-key-file=sa.key --requestheader-client-ca-file=ca.crt \
         --requestheader-allowed-names=front-proxy --requestheader-username-headers=X-Remote-User \
         --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
         --proxy-client-cert-file=front.crt --proxy-client-key-file=front.key --enable-aggregator-routing=true \
         --shutdown-delay-duration=0s"
    )
}

/// The controller manager on a port of this machine, with the files of `folder`.
pub(super) fn controllers(folder: &str, port: u16) -> String {
    let config = format!("{folder}/controllers.conf");
    format!(
        "--kubeconfig={config} --authentication-kubeconfig={config} --authorization-kubeconfig={config} \
         --bind-address=127.0.0.1 --secure-port={port} --leader-elect=false --use-service-account-credentials \
         --service-account-private-key-file={folder}/sa.key --root-ca-file={folder}/ca.crt \
         --cluster-signing-cert-file={folder}/ca.crt --cluster-signing-key-file={folder}/ca.key \
         --horizontal-pod-autoscaler-sync-period=2s --horizontal-pod-autoscaler-downscale-stabilization=10s"
    )
}
