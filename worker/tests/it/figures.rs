//! Measurements, which assert nothing: `cargo test -p turbo-worker --test it figures -- --ignored --nocapture`.

use crate::postgres::{Logging, claim_all, event_of, open, slices};
use std::time::Instant;
use turbo_core::event::Event;
use turbo_core::ownership::Row;
use turbo_sim::{World, WorldConfig};
use turbo_testkit::Postgres;
use turbo_worker::log::Numbered;
use turbo_worker::sinks::postgres::Committer;
use turbo_worker::sinks::postgres::projections::names;

const SIZES: [usize; 6] = [250, 500, 1000, 2000, 5000, 10_000];
const EVENTS: usize = 20_000;
const ROUNDS: usize = 3;

/// Events per second by the size of a batch, the sizes taking turns on one growing database.
#[tokio::test]
#[ignore = "a measurement of a minute or two"]
async fn rate_of_commits_by_the_size_of_a_batch() {
    let Some(postgres) = Postgres::options().fsync(true).setting("max_wal_size", "4GB").start() else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let mut owned = claim_all(&database, &slices, "one", &[]).await;
    let plain = Committer::new(database.clone(), slices.clone());
    let projecting = Committer::new(database.clone(), slices.clone());
    let all: Vec<String> = names().map(str::to_owned).collect();
    let projecting = projecting.with_projections(&all).unwrap();
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(3) });
    let mut logging = Logging::default();
    for _ in 0..ROUNDS {
        for (what, committer) in [("records alone", &plain), ("all projections", &projecting)] {
            for size in SIZES {
                let events: Vec<Box<Event>> = (0..EVENTS).map(|_| event_of(&world.next())).collect();
                let entries: Vec<Numbered> = events.into_iter().flat_map(|event| logging.log(&slices, event)).collect();
                let (began, mut longest) = (Instant::now(), 0.0f64);
                for batch in entries.chunks(size) {
                    let commit = Instant::now();
                    for (shard, totals) in committer.commit(&owned, batch).await.unwrap().shards {
                        let one = owned.remove(&shard).unwrap();
                        let row = Row { epoch: one.epoch(), owner: None, position: totals.position };
                        owned.insert(shard, one.go_on(&row).unwrap());
                    }
                    longest = longest.max(commit.elapsed().as_secs_f64());
                }
                let rate = entries.len() as f64 / began.elapsed().as_secs_f64();
                eprintln!(
                    "{what}, {size:6} in a batch: {rate:7.0} entries/s, longest commit {:4.0} ms",
                    longest * 1000.0
                );
            }
        }
    }
}
