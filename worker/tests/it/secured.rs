//! NATS behind credentials and certificates, as a user has it.

use crate::harness::{PATIENCE, Pipeline, eventually};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use turbo_testkit::{Nats, Postgres};

/// PEM of an authority, and of a certificate with its key that it has signed for this machine.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

fn certificates() -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap().pem();
    Certificates { authority, certificate, key: key.serialize_pem() }
}

fn pipeline(postgres: &Postgres, nats: &str) -> Pipeline {
    let source = "{jetstream: {endpoints: [\"ws://127.0.0.1:9\"]}}";
    let more = format!("log: {{nats: {nats}}}\n  workers: {{lease: 3s}}");
    let pipeline = Pipeline::with_sinks(source, "{postgres: {urlFrom: {file: url}}}", &more);
    std::fs::write(pipeline.path("url"), postgres.url()).unwrap();
    pipeline
}

#[test]
fn an_nkey_over_mutual_tls_is_let_in_and_without_the_certificate_it_is_not() {
    let (seed, certificates) = (nkeys::KeyPair::new_user(), certificates());
    let Some(postgres) = Postgres::start() else { return };
    let nats = Nats::options()
        .file("ca.pem", certificates.authority.clone())
        .file("cert.pem", certificates.certificate.clone())
        .file("key.pem", certificates.key.clone())
        .config("tls { cert_file: cert.pem, key_file: key.pem, ca_file: ca.pem, verify: true }")
        .config(&format!("authorization {{ users: [{{ nkey: {} }}] }}", seed.public_key()));
    let Some(nats) = nats.start() else { return };
    let url = nats.url().replace("nats://", "tls://");
    let tls = "caFrom: {file: ca.pem}";
    let both = format!("{tls}, certificateFrom: {{file: cert.pem}}, keyFrom: {{file: key.pem}}");
    let written = |nats: String| {
        let pipeline = pipeline(&postgres, &nats);
        std::fs::write(pipeline.path("seed"), seed.seed().unwrap()).unwrap();
        std::fs::write(pipeline.path("other"), nkeys::KeyPair::new_user().seed().unwrap()).unwrap();
        std::fs::write(pipeline.path("ca.pem"), &certificates.authority).unwrap();
        std::fs::write(pipeline.path("cert.pem"), &certificates.certificate).unwrap();
        std::fs::write(pipeline.path("key.pem"), &certificates.key).unwrap();
        pipeline
    };
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: seed}}, tls: {{{both}}}}}"));
    let mut worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it is let in", || worker.get("/health/ready").0 == 200);
    worker.signal("TERM");
    assert!(worker.wait().success(), "{}", worker.log());
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: seed}}, tls: {{{tls}}}}}"));
    let worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it is not let in", || worker.log().contains("waiting for NATS: spec.log.nats.url"));
    drop(worker);
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: other}}, tls: {{{both}}}}}"));
    let mut worker = pipeline.start_as("work", &[]);
    assert!(!worker.wait().success());
    assert!(worker.log().contains("spec.log.nats: the server refuses"), "{}", worker.log());
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: cert.pem}}, tls: {{{both}}}}}"));
    let mut worker = pipeline.start_as("work", &[]);
    assert!(!worker.wait().success());
    assert!(worker.log().contains("spec.log.nats.nkeyFrom: is no seed of an NKey"), "{}", worker.log());
}
