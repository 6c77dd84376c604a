//! Each fault, as a client sees it.

use super::client::{Client, End, payload, refusal};
use super::{V1, V2, full, stepped, world};
use crate::{Fault, Garbage, HostConfig, Kind, Manners, Network, NetworkConfig, Pace, Schedule};
use futures_util::future::join;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const SHORT: Duration = Duration::from_millis(400);

/// A host with a hundred events and a live client of it.
async fn live(path: &str) -> (Network, Client) {
    let network = stepped(HostConfig::default());
    network.step(100);
    let client = Client::to(&network, path).await;
    while network.stats(0).subscriptions == 0 {
        tokio::task::yield_now().await;
    }
    (network, client)
}

fn seq(text: &str) -> u64 {
    payload(text)["seq"].as_u64().unwrap()
}

#[tokio::test]
async fn a_cut_ends_without_a_close_frame() {
    let (network, client) = live(V2).await;
    assert_eq!(network.fault(0, &Fault::Cut { mid_frame: false }), 1);
    assert_eq!(client.end().await.1, End::Dropped);
}

/// A raw subscription from the first event on.
async fn raw(network: &Network) -> TcpStream {
    let mut socket = TcpStream::connect(network.addr(0)).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let request = format!("GET {V2} HTTP/1.1\r\nHost: sim\r\n{upgrade}\r\nSec-WebSocket-Key: AAAA\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    while network.stats(0).subscriptions == 0 {
        tokio::task::yield_now().await;
    }
    socket
}

#[tokio::test]
async fn a_cut_may_come_in_the_middle_of_a_frame() {
    let network = stepped(HostConfig::default());
    let mut socket = raw(&network).await;
    network.step(3);
    while network.stats(0).rows < 3 {
        tokio::task::yield_now().await;
    }
    network.fault(0, &Fault::Cut { mid_frame: true });
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("\"payload\":").count(), 4, "three whole frames and the beginning of one");
    assert!(!bytes.ends_with(b"}}"));
}

#[tokio::test]
async fn a_stall_sends_nothing_but_pongs() {
    let (network, mut client) = live(V2).await;
    let start = Instant::now();
    network.fault(0, &Fault::Stall { lasts: SHORT });
    network.step(1);
    client.say(Message::Ping("x".into())).await;
    assert_eq!(client.pong().await, "x");
    assert!(start.elapsed() < SHORT);
    assert_eq!(seq(&client.text().await), 101);
    assert!(start.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_half_open_connection_is_silent_for_good() {
    let (network, mut client) = live(V2).await;
    network.fault(0, &Fault::HalfOpen);
    network.step(1);
    client.say(Message::Ping("x".into())).await;
    assert!(tokio::time::timeout(SHORT, client.pong()).await.is_err());
    assert!(client.is_quiet().await);
}

#[tokio::test]
async fn events_may_come_twice_with_the_same_sequences() {
    let (network, mut client) = live(V2).await;
    network.step(5);
    let once = client.texts(5).await;
    network.fault(0, &Fault::Duplicate { last: 3, new_sequences: false });
    assert_eq!(client.texts(3).await, once[2..]);
    network.step(1);
    assert_eq!(seq(&client.text().await), 106);
}

#[tokio::test]
async fn events_may_come_twice_with_new_sequences() {
    let (network, mut client) = live(V2).await;
    network.step(5);
    let once = client.texts(5).await;
    network.fault(0, &Fault::Duplicate { last: 3, new_sequences: true });
    for (at, text) in client.texts(3).await.iter().enumerate() {
        assert_eq!(seq(text), 106 + at as u64);
        let (mut again, mut before) = (payload(text), payload(&once[2 + at]));
        for event in [&mut again, &mut before] {
            event.as_object_mut().unwrap().retain(|key, _| key != "seq" && key != "time");
        }
        assert_eq!(again, before);
    }
}

#[tokio::test]
async fn garbage_comes_besides_or_in_place_of_an_event() {
    let (network, mut client) = live(V2).await;
    for what in [Garbage::NotJson, Garbage::Truncated, Garbage::OtherShape, Garbage::NoObject] {
        network.fault(0, &Fault::Garbage { what, instead: false });
        assert!(client.text().await.len() > 5);
    }
    network.fault(0, &Fault::Garbage { what: Garbage::Bytes, instead: false });
    assert!(matches!(client.message().await, Message::Binary(_)));
    network.fault(0, &Fault::Garbage { what: Garbage::NotJson, instead: true });
    assert!(client.is_quiet().await, "it waits for an event");
    network.step(2);
    assert!(client.text().await.starts_with("<html>"));
    assert_eq!(seq(&client.text().await), 102);
    let mut again = Client::to(&network, &format!("{V2}?cursor=101")).await;
    assert_eq!(seq(&again.text().await), 101, "the event itself comes upon the next connection");
}

#[tokio::test]
async fn a_frame_may_be_too_large() {
    for path in [V1, V2] {
        let (network, mut client) = live(path).await;
        network.fault(0, &Fault::Oversized { bytes: 9 << 20 });
        assert!(client.text().await.len() > 9 << 20);
        network.step(1);
        assert!(client.text().await.contains("did:"));
    }
}

#[tokio::test]
async fn a_host_may_load_again_refuse_and_go_down() {
    let (network, client) = live(V2).await;
    network.fault(0, &Fault::Loading { lasts: SHORT });
    assert_eq!(client.end().await.1, End::Dropped);
    assert_eq!(refusal(&network, V2).await.0, 503);
    tokio::time::sleep(SHORT).await;
    network.fault(0, &Fault::TooManyRequests { lasts: SHORT });
    assert_eq!(refusal(&network, V2).await.0, 429);
    tokio::time::sleep(SHORT).await;
    network.fault(0, &Fault::Down { lasts: SHORT });
    tokio::time::sleep(SHORT / 4).await;
    assert!(TcpStream::connect(network.addr(0)).await.is_err(), "nobody listens");
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(refusal(&network, V2).await.0, 426);
}

/// Everything from the oldest event on, without sequences and times; DIDs in order of coming, and each DID's events.
async fn told(network: &Network, count: usize) -> (Vec<u64>, Vec<String>, BTreeMap<String, Vec<String>>) {
    let mut client = Client::to(network, &format!("{V2}?cursor=1000000000000000")).await;
    assert_eq!(client.payload().await["name"], "OutdatedCursor");
    let (mut seqs, mut order, mut by_did) = (Vec::new(), Vec::new(), BTreeMap::<_, Vec<_>>::new());
    for text in client.texts(count).await {
        let mut event = payload(&text);
        seqs.push(event["seq"].as_u64().unwrap());
        event.as_object_mut().unwrap().retain(|key, _| key != "seq" && key != "time");
        let did = event["did"].as_str().unwrap().to_owned();
        by_did.entry(did.clone()).or_default().push(event.to_string());
        order.push(did);
    }
    (seqs, order, by_did)
}

#[tokio::test]
async fn sequences_may_start_anew_over_the_same_events() {
    let network = full(3_000, HostConfig::default());
    let client = Client::to(&network, V2).await;
    let before = told(&network, 3_000).await;
    network.fault(0, &Fault::NewSequences { base: 500 });
    assert_eq!(client.end().await.1, End::Dropped);
    let after = told(&network, 3_000).await;
    assert_eq!(after.0, (500..3_500).collect::<Vec<_>>());
    assert_eq!((before.1, before.2), (after.1, after.2));
}

#[tokio::test]
async fn dids_may_be_interleaved_anew_but_each_keeps_its_order() {
    let network = full(3_000, HostConfig { skew_us: 100_000, ..HostConfig::default() });
    let before = told(&network, 3_000).await;
    network.fault(0, &Fault::Reorder { within: Duration::from_millis(200), base: 7 });
    let after = told(&network, 3_000).await;
    assert_eq!(after.0, (7..3_007).collect::<Vec<_>>());
    assert_ne!(before.1, after.1);
    assert_eq!(before.2, after.2);
}

#[tokio::test]
async fn pings_must_be_answered() {
    let manners = Manners {
        ping_every: Duration::from_millis(100),
        pong_within: Duration::from_millis(200),
        ..Manners::default()
    };
    let network = stepped(HostConfig { manners, ..HostConfig::default() });
    let (mut client, mut silent) = (Client::to(&network, V2).await, raw(&network).await);
    // A client that reads answers pings by itself.
    let (quiet, gone) = join(client.is_quiet(), async {
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut bytes)).await.unwrap().unwrap();
        bytes
    })
    .await;
    assert!(quiet);
    assert!(gone.ends_with(&[0x89, 1, b'1']), "a ping that says 1, and then the end");
    assert!(client.is_quiet().await, "and is still there");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped() {
    let manners = Manners { write_within: SHORT, send_buffer: Some(16 << 10), ..Manners::default() };
    let network = full(50_000, HostConfig { manners, ..HostConfig::default() });
    let mut socket = TcpStream::connect(network.addr(0)).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let head = format!("GET {V1}?cursor=1 HTTP/1.1\r\nHost: sim\r\n{upgrade}\r\nSec-WebSocket-Key: AAAA\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(SHORT * 4).await;
    let mut bytes = Vec::new();
    // It ends; whether with a reset is the system's choice.
    let _ = tokio::time::timeout(SHORT * 10, socket.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes.len() < 20 << 20, "{} bytes", bytes.len());
    assert!(network.stats(0).rows < 50_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_clean_faults_a_client_that_goes_on_misses_nothing() {
    let pace = Pace::Real { speed: 20.0 };
    let config = NetworkConfig { world: world(4), pace, events: Some(20_000), ..NetworkConfig::default() };
    let network = Network::start(config).unwrap();
    let kinds =
        [Kind::Cut, Kind::Stall, Kind::Duplicate, Kind::Loading, Kind::Down, Kind::TooManyRequests, Kind::TooSlow];
    network.run(Schedule::seeded(1, Duration::from_millis(60), &kinds));
    let mut next = 1;
    while next <= 20_000 {
        next = follow(&network, next).await;
    }
}

/// Reads from a sequence on until the connection ends; returns the next sequence to ask for.
async fn follow(network: &Network, mut next: u64) -> u64 {
    let url = format!("{}{V2}?cursor={next}", network.url(0));
    let Ok((mut socket, _)) = tokio_tungstenite::connect_async(url).await else {
        tokio::time::sleep(Duration::from_millis(10)).await;
        return next;
    };
    while let Some(Ok(message)) = futures_util::StreamExt::next(&mut socket).await {
        let Message::Text(text) = message else { continue };
        if text.contains("ConsumerTooSlow") {
            break;
        }
        // Some come twice, none is left out.
        let seq = seq(&text);
        assert!(seq <= next, "{seq} after {next}");
        next = next.max(seq + 1);
        if next > 20_000 {
            break;
        }
    }
    next
}
