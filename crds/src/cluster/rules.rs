//! What a cluster adds to the rules: a second list, run by `turbo check --cluster` and by the operator.

use crate::{SecretRef, TurboPipelineSpec, problem::Problem};

impl TurboPipelineSpec {
    /// Why the pipeline can not run on a cluster; empty where it can.
    #[must_use]
    pub fn not_for_clusters(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut needs = |there: bool, path: &str, mend: &str| {
            if !there {
                problems.push(Problem::at(path, "required on a cluster, but missing", mend));
            }
        };
        needs(self.log.as_ref().is_some_and(|log| log.nats.is_some()), "spec.log.nats", "give a NATS server");
        needs(self.sinks.postgres.is_some(), "spec.sinks.postgres", "give a PostgreSQL database");
        if self.sinks.archive.as_ref().is_some_and(|archive| archive.directory.is_some()) {
            let what = "a directory of a pod is gone with the pod";
            problems.push(Problem::at("spec.sinks.archive.directory", what, "give spec.sinks.archive.s3"));
        }
        let s3 = self.sinks.archive.as_ref().and_then(|archive| archive.s3.as_ref());
        if s3.is_some_and(|s3| s3.access_key_id_from.is_none()) {
            let what = "required on a cluster, but missing: the environment of a pod has no keys";
            let mend = "give it, and secretAccessKeyFrom";
            problems.push(Problem::at("spec.sinks.archive.s3.accessKeyIdFrom", what, mend));
        }
        if self.source.recording.is_some() {
            let what = "a file is not in the pod";
            problems.push(Problem::at("spec.source.recording", what, "give spec.source.jetstream"));
        }
        let ingest = self.ingest.as_ref().and_then(|ingest| ingest.pods.as_ref());
        for (path, pods) in [("spec.ingest.pods", ingest), ("spec.workers.pods", self.workers.pods.as_ref())] {
            problems.extend(pods.into_iter().flat_map(|pods| pods.problems(path)));
        }
        for (path, reference) in self.secrets() {
            if reference.secret.is_none() {
                let what = "env and file are of one's own machine";
                problems.push(Problem::at(path, what, "give secret: {name, key}"));
            }
        }
        problems
    }

    /// Every reference to a secret that the file makes, with its path.
    #[must_use]
    pub fn secrets(&self) -> Vec<(&'static str, &SecretRef)> {
        let hydration = self.hydration.as_ref();
        let jetstream = self.source.jetstream.as_ref();
        let nats = self.log.as_ref().and_then(|log| log.nats.as_ref());
        let tls = nats.and_then(|nats| nats.tls.as_ref());
        let postgres = self.sinks.postgres.as_ref();
        let s3 = self.sinks.archive.as_ref().and_then(|archive| archive.s3.as_ref());
        let rotate = self.sinks.sqlite.as_ref().and_then(|sqlite| sqlite.rotate.as_ref());
        let windows = rotate.and_then(|rotate| rotate.s3.as_ref());
        let all = [
            ("spec.source.jetstream.caFrom", jetstream.and_then(|jetstream| jetstream.ca_from.as_ref())),
            ("spec.hydration.caFrom", hydration.and_then(|hydration| hydration.ca_from.as_ref())),
            (
                "spec.hydration.session.passwordFrom",
                hydration.and_then(|hydration| Some(&hydration.session.as_ref()?.password_from)),
            ),
            ("spec.log.nats.credentialsFrom", nats.and_then(|nats| nats.credentials_from.as_ref())),
            ("spec.log.nats.nkeyFrom", nats.and_then(|nats| nats.nkey_from.as_ref())),
            ("spec.log.nats.user.passwordFrom", nats.and_then(|nats| Some(&nats.user.as_ref()?.password_from))),
            ("spec.log.nats.tls.caFrom", tls.and_then(|tls| tls.ca_from.as_ref())),
            ("spec.log.nats.tls.certificateFrom", tls.and_then(|tls| tls.certificate_from.as_ref())),
            ("spec.log.nats.tls.keyFrom", tls.and_then(|tls| tls.key_from.as_ref())),
            ("spec.sinks.postgres.urlFrom", postgres.map(|postgres| &postgres.url_from)),
            ("spec.sinks.postgres.directUrlFrom", postgres.and_then(|postgres| postgres.direct_url_from.as_ref())),
            ("spec.sinks.archive.s3.accessKeyIdFrom", s3.and_then(|s3| s3.access_key_id_from.as_ref())),
            ("spec.sinks.archive.s3.secretAccessKeyFrom", s3.and_then(|s3| s3.secret_access_key_from.as_ref())),
            ("spec.sinks.sqlite.rotate.s3.accessKeyIdFrom", windows.and_then(|s3| s3.access_key_id_from.as_ref())),
            (
                "spec.sinks.sqlite.rotate.s3.secretAccessKeyFrom",
                windows.and_then(|s3| s3.secret_access_key_from.as_ref()),
            ),
        ];
        all.into_iter().filter_map(|(path, reference)| Some((path, reference?))).collect()
    }
}
