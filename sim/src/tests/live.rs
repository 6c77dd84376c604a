//! Events as they happen.

use super::client::Client;
use super::{V2, world};
use crate::{HostConfig, Network, NetworkConfig, Pace};
use std::time::{Duration, Instant};

fn time_us(text: &str) -> i64 {
    let payload = super::client::payload(text);
    payload["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

#[tokio::test]
async fn events_come_within_milliseconds_of_their_time() {
    let network = Network::start(NetworkConfig { world: world(1), ..NetworkConfig::default() }).unwrap();
    let mut client = Client::to(&network, V2).await;
    let mut late: Vec<i64> = Vec::new();
    for _ in 0..300 {
        let text = client.text().await;
        late.push(network.now_us() - time_us(&text));
    }
    assert!(late.iter().all(|late| *late >= 0), "none comes before its time: {late:?} µs");
    // A busy machine holds up many, but not each of ten times.
    let median = |some: &mut [i64]| {
        some.sort_unstable();
        some[some.len() / 2]
    };
    let medians: Vec<i64> = late.chunks_mut(30).map(median).collect();
    assert!(medians.iter().any(|median| *median < 20_000), "late by {medians:?} µs");
}

#[tokio::test]
async fn the_past_is_there_at_the_start_and_the_end_is_quiet() {
    let pace = Pace::Real { speed: 10.0 };
    let config =
        NetworkConfig { world: world(1), history_us: 4_000_000, events: Some(3_000), pace, ..NetworkConfig::default() };
    let start = Instant::now();
    let network = Network::start(config).unwrap();
    assert!((1_700..2_400).contains(&network.happened()), "{}", network.happened());
    assert!(network.wait_for(3_000, Duration::from_secs(20)));
    assert!(start.elapsed() < Duration::from_secs(10));
    let mut client = Client::to(&network, &format!("{V2}?cursor=1")).await;
    let texts = client.texts(3_000).await;
    assert!(texts.iter().map(|text| time_us(text)).collect::<Vec<_>>().is_sorted());
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn hosts_keep_the_order_of_each_did_and_have_clocks_of_their_own() {
    let host = HostConfig { skew_us: 300_000, ..HostConfig::default() };
    let hosts = host.several(3, Duration::from_secs(2));
    assert_eq!(hosts.iter().map(|host| host.clock_offset_us).collect::<Vec<_>>(), [0, -2_000_000, 2_000_000]);
    let pace = Pace::Full { events: 3_000 };
    let network = Network::start(NetworkConfig { world: world(1), hosts, pace, ..NetworkConfig::default() }).unwrap();
    let mut seen = Vec::new();
    for host in 0..3 {
        let url = format!("{}{V2}?cursor={}", network.url(host), network.stats(host).next_seq - 3_000);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut events = Vec::new();
        while events.len() < 3_000 {
            let message = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
            let payload = super::client::payload(message.to_text().unwrap());
            let name = ["collection", "rkey", "rev", "operation"].map(|key| payload[key].to_string()).join(" ");
            events.push((payload["did"].as_str().unwrap().to_owned(), name));
        }
        seen.push(events);
    }
    assert_ne!(seen[0], seen[1]);
    let by_did = |mut events: Vec<(String, String)>| {
        // Stable: the events of one DID stay in their order.
        events.sort_by(|a, b| a.0.cmp(&b.0));
        events
    };
    let first = by_did(seen[0].clone());
    assert!(seen.into_iter().all(|events| by_did(events) == first));
}
