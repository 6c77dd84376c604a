//! The enriched stream when things go wrong: two owners, lost answers, crashes, servers that are killed or full.

use crate::enriched::{Found, Owner, Source, assert_published, catalog, claim, log, options, read, slices, stream};
use async_nats::jetstream::stream::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use turbo_core::shard::Slices;
use turbo_testkit::{Nats, Postgres};
use turbo_worker::log::Numbered;
use turbo_worker::log::nats::Log;
use turbo_worker::sinks::enriched::{NAME, Options};
use turbo_worker::sinks::feed::Order;
use turbo_worker::sinks::postgres::Database;

/// Waits for something, within two minutes.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..2400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to be: {what}");
}

async fn messages(stream: &Stream) -> u64 {
    stream.get_info().await.map_or(0, |info| info.state.messages)
}

/// A place where the sink runs: servers, log, catalog, and events to come.
struct Stage {
    nats: Nats,
    postgres: Postgres,
    slices: Arc<Slices>,
    log: Log,
    database: Database,
    source: Source,
}

impl Stage {
    async fn set(partitions: u16, seed: u64) -> Option<Self> {
        let (nats, postgres) = (Nats::start()?, Postgres::start()?);
        let slices = slices(partitions);
        let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
        let source = Source::seeded(seed, &slices);
        Some(Self { nats, postgres, slices, log, database, source })
    }

    async fn owner(&self, epoch: u64) -> Owner {
        Owner::start(&self.log, &self.database, &self.slices, epoch).await
    }

    async fn found(&self) -> Vec<Found> {
        read(&stream(&self.log, &self.nats.url()).await, "").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replaced_owner_sends_is_refused_whole_and_it_drops_its_shards() {
    let Some(mut stage) = Stage::set(2, 31).await else { return };
    let entries = stage.source.take(900);
    let (old, new) = entries.split_at(entries.len() / 3);
    let zombie = stage.owner(1).await;
    zombie.give(old, 100).await;
    // It has all of that in the stream, and knows where the stream ends.
    let wanted = old.iter().filter(|numbered| numbered.entry.item.event().is_some()).count() as u64;
    let published = stream(&stage.log, &stage.nats.url()).await;
    until("the first part stands there", async || messages(&published).await == wanted).await;
    let owner = stage.owner(claim(&stage.postgres)).await;
    owner.give(&entries, 100).await;
    owner.release().await;
    // It wakes up, and goes on with what it had.
    zombie.give(new, 2048).await;
    zombie.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries);
    let told = zombie.sink.report.now();
    assert_eq!((told.entries, told.positions.len()), (wanted, 0), "nothing of it landed, and it has no shard any more");
    zombie.give(new, 2048).await;
    zombie.release().await;
    assert_eq!(messages(&published).await as usize, entries.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_all_send_at_once_double_nothing_and_keep_the_order() {
    let Some(mut stage) = Stage::set(2, 32).await else { return };
    let mut entries = Vec::new();
    let mut owners: Vec<Owner> = Vec::new();
    for round in 0..8 {
        // The owners before do not know that they are replaced, and send the same things at the same time.
        let epoch = if round == 0 { 1 } else { claim(&stage.postgres) };
        owners.push(stage.owner(epoch).await);
        let more = stage.source.take(150);
        entries.extend(more.iter().cloned());
        let sent = owners.iter().rev().take(3).enumerate().map(|(n, owner)| {
            let part: &[Numbered] = if n == 0 { &entries } else { &more };
            owner.give(part, 20 + 13 * n)
        });
        futures_util::future::join_all(sent).await;
    }
    for owner in owners.iter().rev() {
        owner.release().await;
    }
    assert_published(&stage.slices, &stage.found().await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_up_and_nothing_is_published_twice() {
    let Some(mut stage) = Stage::set(2, 33).await else { return };
    let entries = stage.source.take(600);
    let (first, second) = entries.split_at(entries.len() / 2);
    let owner = stage.owner(1).await;
    owner.give(first, 50).await;
    // The server takes what is sent, and answers long after the owner has given up.
    stage.nats.pause();
    let resumed = async {
        until("the owner says that it waits", async || owner.sink.report.now().error.is_some()).await;
        stage.nats.resume();
    };
    tokio::join!(owner.give(second, 50), resumed);
    owner.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries);
    assert_eq!(owner.sink.report.now().error, None, "it says that this is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_before_the_catalog_knows_the_next_owner_goes_on_behind_what_stands_there() {
    let Some(mut stage) = Stage::set(2, 34).await else { return };
    let entries = stage.source.take(800);
    let owner = stage.owner(1).await;
    // No position can be written any more.
    stage.postgres.kill();
    owner.give(&entries[..500], 100).await;
    let published = stream(&stage.log, &stage.nats.url()).await;
    until("it is published", async || messages(&published).await == 500).await;
    owner.crash().await;
    stage.postgres.restart();
    for shard in stage.slices.shards() {
        let (_, position) = stage.database.sink_position(&stage.slices, NAME, shard).await.unwrap().unwrap();
        assert_eq!(position.seq, 0, "the catalog knows nothing of it");
    }
    let next = stage.owner(claim(&stage.postgres)).await;
    // It is given what stands in the stream already, and says where the source was there, not on the way there.
    next.give(&entries[..300], 100).await;
    next.release().await;
    assert_placed(&stage, &entries[..500]);
    let next = stage.owner(claim(&stage.postgres)).await;
    next.give(&entries, 100).await;
    next.release().await;
    assert_placed(&stage, &entries);
    assert_published(&stage.slices, &stage.found().await, &entries);
}

/// The catalog says where the source was at the last event of each shard.
fn assert_placed(stage: &Stage, entries: &[Numbered]) {
    for shard in stage.slices.shards() {
        let events = entries.iter().filter(|numbered| numbered.entry.shard == shard);
        let last = events.rev().find_map(|numbered| numbered.entry.source()).unwrap();
        let sql = format!(
            "SELECT host || '|' || coalesce(cursor, time_us) FROM positions WHERE sink = 'enriched' AND slice = '{}' AND partition = {}",
            stage.slices.name(shard),
            shard.partition
        );
        assert_eq!(stage.postgres.execute("postgres", &sql), last.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_at_any_moment_lose_and_double_nothing() {
    let Some(mut stage) = Stage::set(2, 35).await else { return };
    let mut entries = Vec::new();
    let mut epoch = 1;
    for round in 0..12u64 {
        let owner = stage.owner(epoch).await;
        entries.extend(stage.source.take(200));
        let giving = owner.give(&entries, 70);
        let _ = tokio::time::timeout(Duration::from_millis(5 + 11 * (round * 7 % 12)), giving).await;
        owner.crash().await;
        epoch = claim(&stage.postgres);
    }
    let owner = stage.owner(epoch).await;
    owner.give(&entries, 2048).await;
    owner.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_retention_took_the_last_message_the_catalog_counts() {
    let Some(mut stage) = Stage::set(1, 36).await else { return };
    let entries = stage.source.take(300);
    let owner = stage.owner(1).await;
    owner.give(&entries[..100], 100).await;
    owner.release().await;
    let published = stream(&stage.log, &stage.nats.url()).await;
    assert_eq!(messages(&published).await, 100);
    published.purge().await.unwrap();
    // A new owner goes on behind the catalog's position.
    let owner = stage.owner(claim(&stage.postgres)).await;
    owner.give(&entries[..200], 50).await;
    until("it goes on", async || messages(&published).await == 100).await;
    assert_published(&stage.slices, &stage.found().await, &entries[100..200]);
    // So does one whose last message goes while it publishes.
    published.purge().await.unwrap();
    owner.give(&entries[200..], 50).await;
    owner.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries[200..]);
    // What the catalog does not know of is sent again, and is known by its log sequence.
    published.purge().await.unwrap();
    stage.postgres.execute("postgres", "UPDATE positions SET position = 0, number = 0 WHERE sink = 'enriched'");
    let owner = stage.owner(claim(&stage.postgres)).await;
    owner.give(&entries, 500).await;
    owner.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_is_made_again_and_goes_on_behind_what_it_had() {
    let Some(mut stage) = Stage::set(2, 39).await else { return };
    let entries = stage.source.take(900);
    let owner = stage.owner(1).await;
    let context = async_nats::jetstream::new(async_nats::connect(stage.nats.url()).await.unwrap());
    let name = stage.log.names.enriched_stream();
    let published = stream(&stage.log, &stage.nats.url()).await;
    for (had, part) in [(0, &entries[..300]), (300, &entries[300..600])] {
        owner.give(part, 50).await;
        until("it is published", async || messages(&published).await == 300).await;
        assert_published(&stage.slices, &stage.found().await, &entries[had..had + 300]);
        context.delete_stream(name).await.unwrap();
    }
    // So it is where the next owner finds it gone.
    owner.crash().await;
    let owner = stage.owner(claim(&stage.postgres)).await;
    context.delete_stream(name).await.unwrap();
    owner.give(&entries[600..], 50).await;
    owner.release().await;
    assert_published(&stage.slices, &stage.found().await, &entries[600..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_loses_its_oldest_messages_only() {
    let Some(mut stage) = Stage::set(1, 37).await else { return };
    let entries = stage.source.take(3000);
    let small = Options { max_bytes: 300_000, ..options() };
    let owner = Owner::with(&small, &stage.log, &stage.database, &stage.slices, 1).await;
    owner.give(&entries, 100).await;
    owner.release().await;
    let found = stage.found().await;
    assert!(found.len() < entries.len() / 2, "{}", found.len());
    let first: Vec<u64> = found.iter().map(|found| found.seq).collect();
    let left: Vec<Numbered> = entries.iter().filter(|numbered| first.contains(&numbered.entry.seq)).cloned().collect();
    assert_published(&stage.slices, &found, &left);
    for shard in stage.slices.shards() {
        let last = entries.iter().rfind(|numbered| numbered.entry.shard == shard).unwrap();
        let row = stage.database.sink_position(&stage.slices, NAME, shard).await.unwrap();
        assert_eq!(row.unwrap().1.seq, last.entry.seq);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_under_load_loses_and_doubles_nothing() {
    let Some(mut stage) = Stage::set(4, 38).await else { return };
    let entries = stage.source.take(6000);
    let owner = stage.owner(1).await;
    let killing = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            stage.nats.kill();
            stage.nats.restart();
        }
    };
    let giving = async {
        for part in entries.chunks(400) {
            owner.give(part, 40).await;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        owner.release().await;
    };
    tokio::join!(giving, killing);
    assert_published(&stage.slices, &stage.found().await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_of_three_that_are_killed_lose_and_double_nothing() {
    let (Some(cluster), Some(postgres)) = (Nats::cluster(3), Postgres::start()) else { return };
    let slices = slices(2);
    let (log, database) = (log(&cluster.url(), 3).await, catalog(&postgres, &slices).await);
    let entries = Source::seeded(39, &slices).take(4000);
    let three = Options { replicas: 3, ..options() };
    let owner = Owner::with(&three, &log, &database, &slices, 1).await;
    let killing = async {
        for _ in 0..3 {
            let leader = async || cluster.stream_leader(log.names.enriched_stream());
            until("there is a leader", async || leader().await.is_some()).await;
            let Some(leader) = leader().await else { continue };
            cluster.nodes()[leader].kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            cluster.nodes()[leader].start();
            cluster.settle();
        }
    };
    let giving = async {
        for (n, part) in entries.chunks(250).enumerate().take(12) {
            owner.give(part, 60).await;
            tokio::time::sleep(Duration::from_millis(100 + 20 * (n as u64 % 3))).await;
        }
        // A second owner takes over, and the first does not know it.
        let next = Owner::with(&three, &log, &database, &slices, claim(&postgres)).await;
        tokio::join!(next.give(&entries, 300), owner.give(&entries[3000..], 60));
        next.release().await;
        owner.release().await;
    };
    tokio::join!(giving, killing);
    assert_published(&slices, &read(&stream(&log, &cluster.url()).await, "").await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_stands_still_orders_wait_and_an_end_is_an_end() {
    let Some(mut stage) = Stage::set(2, 40).await else { return };
    let entries = stage.source.take(4000);
    let owner = stage.owner(1).await;
    owner.give(&entries[..100], 100).await;
    let published = stream(&stage.log, &stage.nats.url()).await;
    until("it runs", async || messages(&published).await == 100).await;
    stage.nats.pause();
    // Orders are taken until so many wait, and no more.
    let mut parts = entries[100..].chunks(20).cycle();
    let mut part = parts.next().unwrap();
    let mut held = 0;
    until("orders wait", async || {
        match owner.sink.orders.try_send(Order::Entries(part.to_vec().into())) {
            Ok(()) => (part, held) = (parts.next().unwrap(), 0),
            Err(TrySendError::Full(_)) => held += 1,
            Err(TrySendError::Closed(_)) => panic!("it has ended"),
        }
        held > 10
    })
    .await;
    let Owner { sink, slices } = owner;
    drop(sink.orders);
    tokio::time::timeout(Duration::from_secs(120), sink.task).await.expect("it ends").unwrap();
    stage.nats.resume();
    let next = Owner::start(&stage.log, &stage.database, &slices, claim(&stage.postgres)).await;
    next.give(&entries, 500).await;
    next.release().await;
    assert_published(&slices, &stage.found().await, &entries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_away_holds_nothing_back_and_is_told() {
    let Some(mut stage) = Stage::set(2, 41).await else { return };
    let entries = stage.source.take(600);
    let owner = stage.owner(1).await;
    stage.postgres.kill();
    owner.give(&entries, 100).await;
    let published = stream(&stage.log, &stage.nats.url()).await;
    until("it is published", async || messages(&published).await as usize == entries.len()).await;
    until("it says why the position stays", async || owner.sink.report.now().error.is_some()).await;
    stage.postgres.restart();
    until("the position moves", async || {
        let told = owner.sink.report.now();
        let end = entries.iter().map(|numbered| numbered.entry.seq).max();
        told.error.is_none() && told.positions.values().map(|position| position.seq).max() == end
    })
    .await;
    // One that stands still holds up neither what comes nor the end.
    let more = stage.source.take(100);
    stage.postgres.pause();
    owner.give(&more, 10).await;
    let all = entries.len() + more.len();
    until("it is published", async || messages(&published).await as usize == all).await;
    drop(owner.sink.orders);
    tokio::time::timeout(Duration::from_secs(120), owner.sink.task).await.expect("it ends").unwrap();
    stage.postgres.resume();
    assert_published(&stage.slices, &stage.found().await, &[entries, more].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_room_for_one_batch_gets_those_of_eight_shards() {
    let limits = "limits { batch { max_inflight_per_stream: 1 } }";
    let (Some(nats), Some(postgres)) = (Nats::options().jetstream(limits).start(), Postgres::start()) else { return };
    let slices = slices(4);
    let (log, database) = (log(&nats.url(), 1).await, catalog(&postgres, &slices).await);
    let entries = Source::seeded(42, &slices).take(2000);
    let owner = Owner::start(&log, &database, &slices, 1).await;
    owner.give(&entries, 500).await;
    owner.release().await;
    assert_published(&slices, &read(&stream(&log, &nats.url()).await, "").await, &entries);
}
