//! From the socket to the committed row at the pace of a busy network: each row's time at the source against when the
//! position of its shard was first seen, by another connection, at or behind it.

use crate::stage::{Stage, standing};
use sqlx::{PgConnection, Row};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use turbo_sim::{Network, NetworkConfig, Pace, WorldConfig};

/// Events a second.
const RATE: f64 = 5000.0;
const SHARDS: u16 = 4;
/// What comes before this is not counted.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long what was sent last may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks. What is measured is too long by as much at most.
const LOOK: Duration = Duration::from_millis(2);

/// Milliseconds, and rows a second.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) rate: f64,
}

/// A network whose clock is this machine's.
pub(crate) fn live(rate: f64) -> Network {
    let start_us = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
    let world = WorldConfig { rate, start_us, nasty: 0.0, ..WorldConfig::default() };
    Network::start(NetworkConfig { world, pace: Pace::Real { speed: 1.0 }, ..NetworkConfig::default() }).unwrap()
}

/// When positions were seen: for each partition, the position and the time.
type Seen = BTreeMap<i32, Vec<(i64, i64)>>;

/// Looks at the positions until every shard has what happened until then.
async fn look(network: &Network, connection: &mut PgConnection, until_us: i64) -> Seen {
    let (mut seen, began) = (Seen::new(), Instant::now());
    loop {
        let standing = standing(connection).await;
        let now_us = network.now_us();
        let done = standing.values().filter(|shard| shard.time_us.is_some_and(|time_us| time_us > until_us));
        let done = done.count() == usize::from(SHARDS);
        for (partition, shard) in standing {
            let seen = seen.entry(partition).or_default();
            if seen.last().is_none_or(|(position, _)| *position < shard.position) {
                seen.push((shard.position, now_us));
            }
        }
        if done {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "the pipeline does not keep up");
        tokio::time::sleep(LOOK).await;
    }
}

/// Measures for so many seconds.
pub(crate) async fn turn(seconds: u64) -> Latency {
    let network = live(RATE);
    let source = format!("{{endpoints: ['{}'], compression: none}}", network.url(0));
    let stage = Stage::start(&source, SHARDS);
    let mut connection = stage.connect().await;
    let workers = [stage.process("work")];
    stage.owned(&mut connection, &workers).await;
    let ingest = stage.process("ingest");
    stage.entries(&mut connection, 1, &[&workers[0], &ingest]).await;
    tokio::time::sleep(WARM_UP).await;
    let from_us = network.now_us();
    let until_us = from_us + seconds as i64 * 1_000_000;
    let seen = look(&network, &mut connection, until_us).await;
    let sql = "SELECT partition, seq, time_us FROM record_state WHERE time_us BETWEEN $1 AND $2";
    let rows = sqlx::query(sql).bind(from_us).bind(until_us).fetch_all(&mut connection).await.unwrap();
    let took = |row: &sqlx::postgres::PgRow| {
        let (partition, seq, time_us): (i32, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let seen = &seen[&partition];
        let at = seen.partition_point(|(position, _)| *position < seq);
        (seen[at].1 - time_us) as f64 / 1000.0
    };
    let mut all: Vec<f64> = rows.iter().map(took).collect();
    all.sort_by(f64::total_cmp);
    let part = |part: f64| all[(all.len() as f64 * part) as usize];
    let latency = Latency { p50: part(0.5), p99: part(0.99), rate: all.len() as f64 / seconds as f64 };
    println!("  latency: p50 {:.0} ms, p99 {:.0} ms, {:.0} rows/s", latency.p50, latency.p99, latency.rate);
    latency
}
