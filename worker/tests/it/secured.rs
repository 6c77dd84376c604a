//! NATS behind credentials and certificates, as a user has it.

use crate::harness::{PATIENCE, Pipeline, eventually};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use turbo_sim::{Network, NetworkConfig, Pace, WorldConfig};
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
    let nats = nats.strip_suffix('}').unwrap();
    let more = format!("log: {{nats: {nats}, stream: {{maxBytes: 64Mi}}}}}}\n  workers: {{lease: 3s}}");
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
    for (tls, field) in [(format!(", tls: {{{tls}}}"), "certificateFrom"), (String::new(), "caFrom")] {
        let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: seed}}{tls}}}"));
        let mut worker = pipeline.start_as("work", &[]);
        assert!(!worker.wait().success());
        assert!(worker.log().contains(&format!("turbo: spec.log.nats.tls.{field}: ")), "{}", worker.log());
    }
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: other}}, tls: {{{both}}}}}"));
    let mut worker = pipeline.start_as("work", &[]);
    assert!(!worker.wait().success());
    assert!(worker.log().contains("spec.log.nats: the server refuses"), "{}", worker.log());
    let pipeline = written(format!("{{url: \"{url}\", nkeyFrom: {{file: cert.pem}}, tls: {{{both}}}}}"));
    let mut worker = pipeline.start_as("work", &[]);
    assert!(!worker.wait().success());
    assert!(worker.log().contains("spec.log.nats.nkeyFrom: is no seed of an NKey"), "{}", worker.log());
}

#[test]
fn a_certificate_that_was_rotated_is_shown_at_the_next_connection() {
    let (old, new) = (certificates(), certificates());
    let Some(postgres) = Postgres::start() else { return };
    let nats = Nats::options()
        .file("clients.pem", old.authority.clone())
        .file("cert.pem", old.certificate.clone())
        .file("key.pem", old.key.clone())
        .config("tls { cert_file: cert.pem, key_file: key.pem, ca_file: clients.pem, verify: true }");
    let Some(nats) = nats.start() else { return };
    let url = nats.url().replace("nats://", "tls://");
    let tls = "caFrom: {file: ca.pem}, certificateFrom: {file: cert.pem}, keyFrom: {file: key.pem}";
    let pipeline = pipeline(&postgres, &format!("{{url: \"{url}\", tls: {{{tls}}}}}"));
    std::fs::write(pipeline.path("ca.pem"), &old.authority).unwrap();
    let show = |certificates: &Certificates| {
        std::fs::write(pipeline.path("cert.pem"), &certificates.certificate).unwrap();
        std::fs::write(pipeline.path("key.pem"), &certificates.key).unwrap();
    };
    show(&old);
    let worker = pipeline.start_as("work", &[]);
    eventually(PATIENCE, "it is let in", || worker.get("/health/ready").0 == 200);
    // From now on the server trusts the new authority alone.
    nats.stop();
    std::fs::write(nats.folder().join("clients.pem"), &new.authority).unwrap();
    show(&new);
    nats.start();
    eventually(PATIENCE, "it is let in again", || worker.log().contains("connected to NATS again"));
}

#[test]
fn the_permissions_that_the_docs_name_are_enough() {
    let docs = include_str!("../../../docs/sharded.md");
    let list = |verb: &str| {
        let (_, list) = docs.split_once(&format!("{verb}: [")).unwrap();
        let (list, _) = list.split_once(']').unwrap();
        format!("[{list}]").replace("<namespace>", "default").replace("<name>", "test")
    };
    let (publish, subscribe) = (list("publish"), list("subscribe"));
    let Some(postgres) = Postgres::start() else { return };
    let user = format!("{{ user: u, password: p, permissions: {{ publish: {publish}, subscribe: {subscribe} }} }}");
    let Some(nats) = Nats::options().config(&format!("authorization {{ users: [{user}] }}")).start() else { return };
    let world = WorldConfig { accounts: 50, ..WorldConfig::seeded(5) };
    let network = NetworkConfig { world, pace: Pace::Full { events: 2_000 }, ..NetworkConfig::default() };
    let network = Network::start(network).unwrap();
    let source = format!("{{jetstream: {{endpoints: ['{}'], cursor: 1}}}}", network.url(0));
    let log = format!(
        "{{url: \"{}\", user: {{name: u, passwordFrom: {{file: password}}}}, stream: {{maxBytes: 64Mi}}}}",
        nats.url()
    );
    let sinks = "{postgres: {urlFrom: {file: url}}, enriched: {nats: {maxBytes: 64Mi}}}";
    let pipeline = Pipeline::with_sinks(&source, sinks, &format!("log: {{nats: {log}}}\n  workers: {{lease: 3s}}"));
    std::fs::write(pipeline.path("url"), postgres.url()).unwrap();
    std::fs::write(pipeline.path("password"), "p").unwrap();
    let process = pipeline.start_as("run", &[]);
    let published = || {
        assert!(!nats.log().contains("Violation"), "{}", nats.log());
        let stats = process.stats();
        stats["sinks"].as_array().unwrap().iter().all(|sink| sink["entries"].as_u64() > Some(1_500))
    };
    eventually(PATIENCE, "it is committed and published", published);
    process.signal("TERM");
    eventually(PATIENCE, "it ends", || process.log().contains("ended in good order"));
    assert!(!nats.log().contains("Violation"), "{}", nats.log());
}
