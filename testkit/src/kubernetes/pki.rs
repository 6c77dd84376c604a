//! The certificates of a cluster: one authority for all, as the tests are one party.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use std::path::Path;

/// Writes `ca.crt`, and a certificate with its key for everyone who needs one, into a folder.
pub(crate) struct Pki<'a> {
    folder: &'a Path,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl<'a> Pki<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "testkit");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
        // The controller manager signs with it.
        std::fs::write(folder.join("ca.key"), authority.key().serialize_pem()).unwrap();
        // Service accounts have a key without a certificate.
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("sa.pub"), key.public_key_pem()).unwrap();
        Self { folder, authority }
    }

    /// The files of the parts of a control plane, whose API server has these addresses and is reached at `url`.
    pub(crate) fn control_plane(&self, addresses: &[&str], url: &str) {
        let names = ["localhost", "kubernetes.default.svc"];
        self.certificate("api", "kube-apiserver", None, &[addresses, &names].concat());
        self.certificate("front", "front-proxy", None, &[]);
        self.client("admin", "admin", Some("system:masters"), url);
        self.client("controllers", "system:kube-controller-manager", None, url);
    }

    /// Certificate, key and `<file>.conf` of a client.
    pub(crate) fn client(&self, file: &str, name: &str, group: Option<&str>, url: &str) {
        self.certificate(file, name, group, &[]);
        self.kubeconfig(file, url);
    }

    /// `<file>.crt` and `<file>.key` of whoever has this name, in this group, at these addresses.
    pub(crate) fn certificate(&self, file: &str, name: &str, group: Option<&str>, addresses: &[&str]) {
        let addresses: Vec<String> = addresses.iter().map(|&address| address.to_owned()).collect();
        let mut params = CertificateParams::new(addresses).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        group.into_iter().for_each(|group| params.distinguished_name.push(DnType::OrganizationName, group));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.folder.join(format!("{file}.crt")), certificate.pem()).unwrap();
        std::fs::write(self.folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    /// `<file>.conf`, by which a client reaches the API server with the certificate of `file`.
    pub(crate) fn kubeconfig(&self, file: &str, url: &str) {
        self.kubeconfig_as(file, file, url);
    }

    /// The same under another name.
    pub(crate) fn kubeconfig_as(&self, name: &str, file: &str, url: &str) {
        let path = |name: String| self.folder.join(name).to_string_lossy().into_owned();
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": path("ca.crt".to_owned())}}],
            "users": [{"name": "u", "user": {
                "client-certificate": path(format!("{file}.crt")),
                "client-key": path(format!("{file}.key")),
            }}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        });
        std::fs::write(self.folder.join(format!("{name}.conf")), config.to_string()).unwrap();
    }
}
