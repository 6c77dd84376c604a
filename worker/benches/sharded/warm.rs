//! The whole path with a warm cache, and without hydration. The first half of the events warms the cache up: a gate before
//! the source holds the rest back until everything that has landed is complete.

use crate::shared::gate::Gate;
use crate::shared::{EVENT, FROM, RECORDS, hydrated_network, known};
use crate::stage::Stage;
use crate::usage::cpu_seconds;
use sqlx::PgConnection;
use std::time::{Duration, Instant};

const SHARDS: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(300);
/// For so long nothing may land, or wait to be completed.
const REST: Duration = Duration::from_secs(6);
const TARGETS: &str = ", hydrate: {author: 1h, mentions: 1h, reply: 1h, quote: 1h, subject: 1h}";

/// Events a second behind the gate, without hydration and with it.
pub(crate) async fn turn(events: usize) -> (f64, f64) {
    let (_network, source, appview) = hydrated_network(2 * events);
    let hydration = format!("hydration: {{hosts: ['{appview}'], requestsPerSecond: 1000, cache: 256Mi}}");
    (rate(&source, 2 * events, "", "").await, rate(&source, 2 * events, TARGETS, &hydration).await)
}

async fn rate(source: &str, events: usize, slice: &str, hydration: &str) -> f64 {
    let gate = Gate::before(source.trim_start_matches("ws://"), events as u64 / 2 * EVENT);
    let source = format!("{{endpoints: ['ws://{}'], cursor: {FROM}, compression: none}}", gate.address);
    let stage = Stage::with(&source, SHARDS, slice, hydration);
    let mut connection = stage.connect().await;
    let worker = [stage.process("work")];
    stage.owned(&mut connection, &worker).await;
    let ingest = stage.process("ingest");
    let all = [&worker[0], &ingest];
    stage.entries(&mut connection, events as i64 / 4, &all).await;
    let warm = settled(&stage, &mut connection).await;
    let landed = || RECORDS.map(|of| worker[0].metric(of));
    let used = || {
        let of = |pid: Option<u32>| pid.map_or(0.0, cpu_seconds);
        [of(Some(ingest.pid())), of(Some(worker[0].pid())), of(stage.nats.pid()), of(stage.postgres.pid())]
    };
    gate.open();
    // Who has waited long connects anew, which is none of it.
    let (first, before) = stage.entries(&mut connection, warm + 1, &all).await;
    let (used_before, landed_before) = (used(), landed());
    let (last, after) = stage.entries(&mut connection, events as i64, &all).await;
    let (counted, seconds) = ((after - before) as f64, (last - first).as_secs_f64());
    let (used_after, landed_after) = (used(), landed());
    let hydrated: [f64; 3] = std::array::from_fn(|at| landed_after[at] - landed_before[at]);
    let cpu: [f64; 4] = std::array::from_fn(|at| (used_after[at] - used_before[at]) * 1e6 / counted);
    println!(
        "  {}: {:.0}/s; CPU for each event: ingest {:.0}, work {:.0}, NATS {:.0}, PostgreSQL {:.0} microseconds",
        match hydration {
            "" => "without hydration".to_owned(),
            _ => format!("with a warm cache, {}", known(hydrated)),
        },
        counted / seconds,
        cpu[0],
        cpu[1],
        cpu[2],
        cpu[3]
    );
    counted / seconds
}

/// Waits until nothing more lands, and nothing waits to be completed. Returns what has landed.
async fn settled(stage: &Stage, connection: &mut PgConnection) -> i64 {
    let (began, mut last, mut since) = (Instant::now(), (0, i64::MAX), Instant::now());
    while since.elapsed() < REST || last.1 > 0 {
        assert!(began.elapsed() < PATIENCE, "it does not come to rest: {last:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (_, landed) = stage.entries(connection, 0, &[]).await;
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM hydration_queue").fetch_one(&mut *connection).await.unwrap();
        if (landed, waiting) != last {
            (last, since) = ((landed, waiting), Instant::now());
        }
    }
    last.0
}
