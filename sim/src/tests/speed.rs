//! How fast it is. Run by hand: `cargo test --release -p turbo-sim speed -- --ignored --nocapture`.

use super::client::Client;
use super::{V1, V2};
use crate::{HostConfig, Network, NetworkConfig, Pace, Wire, WorldConfig};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const EVENTS: u64 = 1_000_000;

#[test]
#[ignore = "takes long, and a release build"]
fn speed() {
    let start = Instant::now();
    let world = WorldConfig { nasty: 0.0, ..WorldConfig::seeded(1) };
    let (hosts, pace) = (vec![HostConfig::default()], Pace::Full { events: EVENTS });
    let network = Network::start(NetworkConfig { world, hosts, pace, ..NetworkConfig::default() }).unwrap();
    rate("made", EVENTS, start);
    for wire in [Wire::V1, Wire::V2, Wire::V2Zstd] {
        let start = Instant::now();
        network.prepare(0, wire).unwrap();
        rate(&format!("encoded {wire:?}"), EVENTS, start);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (id, _) = network.v2_dictionary(0).unwrap();
    for path in [format!("{V2}?cursor=1"), format!("{V2}?cursor=1&zstdDictionary={id}"), format!("{V1}?cursor=1")] {
        let v1 = path.starts_with(V1);
        let count = if v1 { EVENTS - 100_000 } else { EVENTS };
        let start = Instant::now();
        runtime.block_on(async {
            let mut client = Client::to(&network, &path).await;
            for _ in 0..count {
                client.message().await;
            }
        });
        rate(&format!("WebSocket client of {path}"), count, start);
        let start = Instant::now();
        let bytes = runtime.block_on(drain(&network, &path));
        rate(&format!("bytes drained of {path} ({bytes})"), EVENTS, start);
    }
}

fn rate(what: &str, count: u64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {seconds:.2} s, {:.0} events/s", count as f64 / seconds);
}

/// Reads until nothing comes for a while.
async fn drain(network: &Network, path: &str) -> usize {
    let mut socket = TcpStream::connect(network.addr(0)).await.unwrap();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let request = format!("GET {path} HTTP/1.1\r\nHost: sim\r\n{upgrade}\r\nSec-WebSocket-Key: AAAA\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut buffer, mut total) = (vec![0; 1 << 18], 0);
    while let Ok(Ok(count @ 1..)) =
        tokio::time::timeout(std::time::Duration::from_millis(20), socket.read(&mut buffer)).await
    {
        total += count;
    }
    total
}
