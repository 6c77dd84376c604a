//! The example of `docs/enriched-stream.md`, run as its reader runs it.

use crate::enriched::{Found, Owner, Source, catalog, log, read, slices, stream};
use crate::harness::built;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use turbo_core::event::{Body, Operation};
use turbo_testkit::{Nats, Postgres};
use turbo_worker::log::Numbered;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_prints_every_post_and_goes_on_where_it_stopped() {
    let (Some(nats), Some(postgres), Some(example)) = (Nats::start(), Postgres::start(), built("examples/consume"))
    else {
        return;
    };
    let slices = slices(2);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let entries = Source::seeded(51, &slices).take(1200);
    let owner = Owner::start(&log, &database, &slices, 1).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place.json");
    let mut printed = Vec::new();
    for part in entries.chunks(entries.len().div_ceil(2)) {
        owner.give(part, 100).await;
        let posts = part.iter().filter(|numbered| is_new_post(numbered)).count();
        let mut command = Command::new(&example);
        command.args([&nats.url(), "test", "bluesky"]).arg(&place).stdout(Stdio::piped());
        let mut running = command.spawn().unwrap();
        let lines = BufReader::new(running.stdout.take().unwrap()).lines().take(posts);
        let lines = tokio::task::spawn_blocking(|| lines.collect::<Result<Vec<_>, _>>().unwrap()).await.unwrap();
        printed.extend(lines);
        // It writes down where it is within a second.
        let mut seen = 0;
        let last = part.iter().filter(|numbered| is_new_post(numbered)).map(|numbered| numbered.entry.seq).max();
        while seen < last.unwrap() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let text = std::fs::read_to_string(&place).unwrap_or_default();
            let place: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            seen = place["shards"]
                .as_object()
                .into_iter()
                .flat_map(|shards| shards.values())
                .filter_map(|seq| seq.as_u64())
                .max()
                .unwrap_or(0);
        }
        running.kill().unwrap();
        running.wait().unwrap();
    }
    owner.release().await;
    let dids: Vec<&str> = printed.iter().map(|line| line.split_once(": ").unwrap().0).collect();
    let found = read(&stream(&log, &nats.url()).await, "tpe.test.bluesky.*.*.app.bsky.feed.post").await;
    let wanted = found.iter().filter(|found| found.document.operation.as_deref() == Some("create"));
    let has_text =
        |found: &&Found| found.document.record.as_ref().is_some_and(|record| record.get().contains("\"text\":\""));
    let wanted: Vec<&str> = wanted.filter(has_text).map(|found| found.document.did.as_deref().unwrap()).collect();
    assert_eq!(dids, wanted, "each once, in the order of the stream");
}

/// Whether the example prints it.
fn is_new_post(numbered: &Numbered) -> bool {
    match &numbered.entry.item.event().unwrap().body {
        Body::Commit(commit) if &*commit.collection == "app.bsky.feed.post" => {
            let record = commit.record.as_deref().unwrap_or_default();
            commit.operation == Operation::Create && String::from_utf8_lossy(record).contains("\"text\":\"")
        }
        _ => false,
    }
}
