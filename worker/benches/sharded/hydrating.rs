//! What a second level that all workers share saves: the calls that two workers with cold caches make for the same events,
//! with it and without.

use crate::stage::Stage;
use std::time::{Duration, Instant};
use turbo_sim::{AppViewConfig, Network, NetworkConfig, Pace, WorldConfig};

const SHARDS: u16 = 4;
const WORKERS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(300);
/// For so long nothing may wait any more.
const REST: Duration = Duration::from_secs(6);
const TARGETS: &str = ", hydrate: {author: 1h, mentions: 1h, reply: 1h, quote: 1h, subject: 1h}";

/// Calls for each 1,000 events, without and with what is shared.
pub(crate) async fn turn(events: u64) -> (f64, f64) {
    (calls(events, "").await, calls(events, ", sharedCache: 64Mi").await)
}

async fn calls(events: u64, shared: &str) -> f64 {
    let latency = (Duration::from_millis(1), Duration::from_millis(2));
    let appview = Some(AppViewConfig { limit: u32::MAX, latency, ..AppViewConfig::default() });
    let world = WorldConfig { nasty: 0.0, ..WorldConfig::default() };
    let pace = Pace::Full { events };
    let network = Network::start(NetworkConfig { world, appview, pace, ..NetworkConfig::default() }).unwrap();
    let source = format!("{{endpoints: ['{}'], cursor: 0, compression: none}}", network.url(0));
    let url = network.appview_url().unwrap();
    let hydration = format!("hydration: {{hosts: ['{url}'], requestsPerSecond: 200{shared}}}");
    let stage = Stage::with(&source, SHARDS, TARGETS, &hydration);
    let mut connection = stage.connect().await;
    let workers: Vec<_> = (0..WORKERS).map(|_| stage.process("work")).collect();
    stage.owned(&mut connection, &workers).await;
    let ingest = stage.process("ingest");
    stage.entries(&mut connection, events as i64, &[&workers[0], &ingest]).await;
    let (began, mut busy) = (Instant::now(), Instant::now());
    while busy.elapsed() < REST {
        assert!(began.elapsed() < PATIENCE, "records still wait to be completed\n{}", workers[0].said());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM hydration_queue").fetch_one(&mut connection).await.unwrap();
        if waiting > 0 {
            busy = Instant::now();
        }
    }
    network.appview_stats().requests as f64 / events as f64 * 1000.0
}
