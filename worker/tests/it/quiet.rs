//! A host that is there, but tells nothing.

use crate::harness::PATIENCE;
use std::sync::Arc;
use std::time::Duration;
use turbo_core::join::Ask;
use turbo_core::shard::{Slice, Slices};
use turbo_sim::{Fault, HostConfig, Network, NetworkConfig, Pace, WorldConfig};
use turbo_worker::ingest::{Ingest, Start};
use turbo_worker::live::Live;
use turbo_worker::log::embedded;
use turbo_worker::sinks::sqlite::Loaded;
use turbo_worker::sources::jetstream::{self, Filters, Jetstream, Version, client_config};
use turbo_worker::sources::{Connection, Lost, Source};

fn source(network: &Network) -> Jetstream {
    let options = jetstream::Options {
        version: Version::V2,
        endpoints: (0..network.hosts()).map(|host| network.url(host).parse().unwrap()).collect(),
        filters: Filters::default(),
        max_frame: 1 << 20,
        quiet: Duration::from_secs(1),
        // What is given up here is not silent: it answers pings.
        silent: 10 * PATIENCE,
    };
    Jetstream::new(options, client_config(None).unwrap(), None).unwrap()
}

async fn until(holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_answers_pings_but_sends_no_event_is_given_up_for_another() {
    let world = WorldConfig { accounts: 50, resyncs: 0.0, removals: 0.0, ..WorldConfig::seeded(5) };
    let hosts = HostConfig::default().several(2, Duration::ZERO);
    let network = NetworkConfig { world, hosts, pace: Pace::Stepped, ..NetworkConfig::default() };
    let network = Network::start(network).unwrap();
    network.step(200);
    let mut source = source(&network);
    let lost = source.connect(Ask::Tip, None).await.unwrap().next().await.unwrap_err();
    assert!(matches!(lost, Lost::Quiet(1)), "{lost}");

    let slices = Slices::new(vec![Slice { name: "default".into(), collections: None, partitions: 1 }]);
    let slices = Arc::new(slices.unwrap());
    let loaded = Loaded { start: Start::default(), claims: Vec::new() };
    let live = Arc::new(Live::new("test", &slices, &loaded, 1 << 26, false));
    let (appender, _reader) = embedded::log(1 << 26);
    let given = Some(1_000_000_000_000_000);
    let reading = tokio::spawn(Ingest::new(source, Start::default(), slices, appender, live.clone(), given).run());
    until(|| live.stats().source.events == 200).await;
    let hour = Duration::from_secs(3600);
    until(|| network.fault(0, &Fault::Stall { lasts: hour }) + network.fault(1, &Fault::Stall { lasts: hour }) > 0)
        .await;
    network.step(200);
    // That connection gives none of them.
    until(|| live.stats().source.events == 400).await;
    assert_eq!(live.stats().source.gaps, 0);
    reading.abort();
}
