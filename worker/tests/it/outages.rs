//! Outages longer than hosts keep, hosts that load, and TLS.

use crate::harness::{PATIENCE, Pipeline, eventually};
use crate::landed::Db;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use turbo_sim::{HostConfig, Network, NetworkConfig, Pace, WorldConfig};

const FROM: u64 = 1_000_000_000_000_000;

fn stepped(host: HostConfig) -> Network {
    let start_us = jiff::Timestamp::now().as_microsecond() - 24 * 3600 * 1_000_000;
    let world = WorldConfig { accounts: 100, start_us, ..WorldConfig::seeded(9) };
    Network::start(NetworkConfig { world, hosts: vec![host], pace: Pace::Stepped, ..NetworkConfig::default() }).unwrap()
}

fn pipeline(url: &str, more: &str) -> Pipeline {
    let source = format!("{{jetstream: {{endpoints: ['{url}'], cursor: {FROM}, compression: none{more}}}}}");
    Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite}}", "")
}

fn entries(pipeline: &Pipeline) -> i64 {
    Db::open(&pipeline.path("out.sqlite")).number("SELECT coalesce(sum(entries), 0) FROM shards")
}

#[test]
fn an_outage_longer_than_the_host_keeps_is_one_gap_and_the_stream_goes_on() {
    // Two minutes of 500 events/s are 60,000 events: the host keeps less than the shortest rewind.
    outage(10_000);
}

#[test]
fn so_it_is_where_more_comes_than_is_held_back_before_a_join() {
    // About 28 MB, while 16 MiB may wait for a known event.
    outage(55_000);
}

fn outage(keep: usize) {
    let host = HostConfig { keep, segment_us: 5_000_000, ..HostConfig::default() };
    let network = stepped(host);
    network.step(2000);
    let pipeline = pipeline(&network.url(0), "");
    let mut process = pipeline.start();
    process.address();
    eventually(PATIENCE, "the first events are in", || entries(&pipeline) == 2000);
    process.signal("TERM");
    assert!(process.wait().success());
    network.step(200_000);
    let process = pipeline.start();
    let had = 2000 + keep as i64 - 1000;
    eventually(Duration::from_secs(120), "what the host still has is in", || entries(&pipeline) > had);
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    let gaps: Vec<(i64, i64)> = db.rows("SELECT from_us, to_us FROM gaps");
    assert_eq!(gaps.len(), 1, "{}", process.log());
    assert!(gaps[0].1 - gaps[0].0 > 200 * 1_000_000, "of 280 to 380 s: {gaps:?}");
    assert_eq!(process.stats()["source"]["gaps"], 1);
    // What is on its way still is less than what comes now.
    let before = entries(&pipeline);
    network.step(500);
    eventually(PATIENCE, "it goes on", || entries(&pipeline) >= before + 400);
}

#[test]
fn a_sequence_that_the_host_no_longer_has_ends_the_process_and_names_the_field() {
    let network = stepped(HostConfig { segment_us: 1_000_000, lookback_us: 10_000_000, ..HostConfig::default() });
    network.step(20_000);
    let source = format!("{{jetstream: {{endpoints: ['{}'], cursor: 5, compression: none}}}}", network.url(0));
    let pipeline = Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite}}", "");
    let mut process = pipeline.start();
    assert_eq!(process.wait().code(), Some(1));
    let log = process.log();
    let said = format!("spec.source.jetstream.cursor: 5 is older than what {} has: ", network.addr(0));
    assert!(log.contains(&said) && log.contains("; give a later one, or a time in microseconds since 1970"), "{log}");
}

#[test]
fn a_dictionary_comes_from_its_host_and_from_nowhere_else() {
    let world = |seed| WorldConfig { accounts: 100, ..WorldConfig::seeded(seed) };
    let start = |seed| {
        let network = NetworkConfig { world: world(seed), pace: Pace::Stepped, ..NetworkConfig::default() };
        Network::start(network).unwrap()
    };
    let (one, two) = (start(1), start(2));
    let source = format!("{{jetstream: {{endpoints: ['{}'], cursor: {FROM}}}}}", one.url(0));
    let pipeline = Pipeline::with_sinks(&source, "{sqlite: {path: out.sqlite}}", "");
    // Somebody has put another network's dictionary, with the same id, wherever one was once looked for.
    two.step(1000);
    let (id, planted) = two.v2_dictionary(0).unwrap();
    for folder in ["dictionaries", "turbo/dictionaries"] {
        std::fs::create_dir_all(pipeline.path(folder)).unwrap();
        std::fs::write(pipeline.path(folder).join(format!("{id}.zdict")), &planted).unwrap();
    }
    one.step(1000);
    let temporary = pipeline.path("");
    let process = pipeline.start_as("run", &[("TMPDIR", temporary.to_str().unwrap())]);
    process.address();
    eventually(PATIENCE, "the network is in", || entries(&pipeline) == 1000);
    assert!(!process.log().contains("inflated"), "{}", process.log());
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM dead_letters"), 0);
}

#[test]
fn a_host_that_is_still_loading_is_waited_for() {
    let network = stepped(HostConfig::default());
    network.step(100);
    network.set_loading(0, Duration::from_secs(2));
    let pipeline = pipeline(&network.url(0), "");
    let process = pipeline.start();
    eventually(PATIENCE, "it says why it waits", || {
        process.stats()["summary"].as_str().unwrap().contains("the host is not ready: 503")
    });
    assert_eq!(process.get("/health/ready").0, 503);
    eventually(PATIENCE, "all is in", || entries(&pipeline) == 100);
    assert_eq!(process.get("/health/ready").0, 200);
}

/// Speaks TLS with a certificate of an authority of its own, and passes everything on to `to`. Returns its address and
/// the authority's certificate as PEM.
fn tls_in_front_of(to: SocketAddr) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    });
    (address, authority.pem())
}

#[test]
fn wss_needs_a_trusted_certificate_and_ca_from_gives_one() {
    let network = stepped(HostConfig::default());
    network.step(500);
    let (address, authority) = tls_in_front_of(network.addr(0));
    let untrusted = pipeline(&format!("wss://{address}"), "");
    let process = untrusted.start();
    eventually(PATIENCE, "it says that it does not trust", || {
        process.stats()["source"]["error"].as_str().is_some_and(|error| error.contains("certificate"))
    });
    drop(process);
    let trusted = pipeline(&format!("wss://{address}"), ", caFrom: {file: ca.pem}");
    std::fs::write(trusted.path("ca.pem"), authority).unwrap();
    let process = trusted.start();
    process.address();
    eventually(PATIENCE, "all is in", || entries(&trusted) == 500);
    std::fs::write(trusted.path("ca.pem"), "no certificate").unwrap();
    let again = Pipeline::with_sinks(
        &format!(
            "{{jetstream: {{endpoints: ['wss://{address}'], caFrom: {{file: '{}'}}}}}}",
            trusted.path("ca.pem").display()
        ),
        "{sqlite: {path: out.sqlite}}",
        "",
    );
    let mut refused = again.start();
    assert_eq!(refused.wait().code(), Some(1));
    assert!(refused.log().contains("spec.source.jetstream.caFrom: no certificate is in it"), "{}", refused.log());
}
