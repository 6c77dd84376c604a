//! Crash take-over: a worker that owns everything is killed, another one is started at that moment, and every shard has to
//! have a commit of it.

use crate::latency::live;
use crate::stage::{Stage, standing};
use std::time::{Duration, Instant};

/// Events a second: each shard has something to commit soon.
const RATE: f64 = 500.0;
const SHARDS: u16 = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds from the kill to the first commit of the other worker for the last shard, with the default lease.
pub(crate) async fn turn() -> f64 {
    let network = live(RATE);
    let stage = Stage::start(&format!("{{endpoints: ['{}'], compression: none}}", network.url(0)), SHARDS);
    let mut connection = stage.connect().await;
    let first = [stage.process("work")];
    stage.owned(&mut connection, &first).await;
    let ingest = stage.process("ingest");
    stage.entries(&mut connection, RATE as i64, &[&first[0], &ingest]).await;
    let began = Instant::now();
    // Dropping kills it, as `kill -9` does.
    drop(first);
    let second = stage.process("work");
    let before = standing(&mut connection).await;
    loop {
        let now = standing(&mut connection).await;
        let over = now.iter().filter(|(partition, shard)| {
            let before = &before[*partition];
            shard.epoch > before.epoch && shard.position > before.position
        });
        if over.count() == usize::from(SHARDS) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "not taken over: {now:?}\n{}", second.said());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("  take-over: {seconds:.1} s");
    seconds
}
