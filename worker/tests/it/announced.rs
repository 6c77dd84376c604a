//! What owners announce of their shards on a real server: depths, and what a later owner knows by them.

use crate::nats_log::{append, open, slices};
use crate::owners::eventually;
use crate::sharded;
use std::collections::BTreeSet;
use turbo_core::position::GENERATION;
use turbo_core::shard::Shard;
use turbo_testkit::{Nats, Postgres};
use turbo_worker::log::nats::{Announced, Writer};

fn at(epoch: u64, seq: u64) -> Announced {
    Announced { epoch, seq, ..Announced::default() }
}

#[tokio::test]
async fn an_announcement_is_never_put_over_a_later_one() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let shard = slices.shards().next().unwrap();
    let announce = async |epoch, seq| log.announce(&slices, shard, at(epoch, seq)).await.unwrap();
    let there = async || log.announced(&slices, shard).await.unwrap().unwrap().0;
    assert!(announce(3, 50).await && announce(3, 60).await);
    assert!(!announce(3, 59).await && !announce(2, 90).await, "an owner of before is late");
    assert_eq!(there().await, at(3, 60));
    assert!(announce(4, 10).await, "the catalog went back, and the epoch is above");
    assert_eq!(there().await, at(4, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_announce_at_once_the_latest_stands() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let shards: Vec<Shard> = slices.shards().collect();
    let tasks = (1..=20u64).flat_map(|epoch| shards.iter().map(move |shard| (epoch, *shard))).map(|(epoch, shard)| {
        let (log, slices) = (log.clone(), slices.clone());
        tokio::spawn(async move {
            for seq in [1, 3, 2] {
                log.announce(&slices, shard, at(epoch, seq)).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    for shard in shards {
        let (there, revision) = log.announced(&slices, shard).await.unwrap().unwrap();
        assert_eq!(there, at(20, 3));
        assert!(revision > 0);
    }
}

#[tokio::test]
async fn what_is_announced_of_the_archive_only_grows_and_a_later_claim_refuses_it() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let shard = slices.shards().next().unwrap();
    let there = async || log.announced(&slices, shard).await.unwrap().unwrap().0;
    assert!(log.announce_object(&slices, shard, 2, 50).await.unwrap(), "also where nothing is announced");
    log.announce(&slices, shard, at(2, 30)).await.unwrap();
    assert_eq!(there().await, Announced { archived: 50, ..at(2, 30) });
    assert!(log.announce_object(&slices, shard, 2, 40).await.unwrap());
    assert_eq!(there().await, Announced { archived: 50, ..at(2, 30) });
    // A catalog that went back has lower positions, and objects of the new claim may end before those of the old.
    assert!(log.announce_claim(&slices, shard, at(3, 20)).await.unwrap());
    assert_eq!(there().await, at(3, 20));
    assert!(log.announce_object(&slices, shard, 3, 40).await.unwrap());
    assert!(!log.announce_object(&slices, shard, 2, 70).await.unwrap());
    assert_eq!(there().await, Announced { archived: 40, ..at(3, 20) });
}

#[tokio::test]
async fn of_two_claims_of_one_epoch_only_one_counts() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let shard = slices.shards().next().unwrap();
    let claims = (0..8).map(|seq| log.announce_claim(&slices, shard, at(4, seq)));
    let counted: Vec<bool> = futures_util::future::try_join_all(claims).await.unwrap();
    assert_eq!(counted.iter().filter(|counted| **counted).count(), 1, "{counted:?}");
    assert!(!log.announce_claim(&slices, shard, at(3, 99)).await.unwrap());
    assert!(log.announce_claim(&slices, shard, at(5, 0)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_lands_under_a_claim_that_is_not_announced() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = crate::postgres::slices();
    let database = crate::postgres::open(&postgres.url(), &slices).await;
    let log = sharded::log(&nats).await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer, &slices, 0, 0, 200).await;
    let logged = log.lasts(&slices).await.unwrap().into_values().filter(|last| *last > 0).count();
    let running = sharded::Running::start(&nats, &postgres, &slices, "one").await;
    let mut landed = BTreeSet::new();
    eventually("it lands", async || {
        for (shard, row) in database.rows(&slices).await.unwrap() {
            if row.position > 0 {
                let announced = log.announced(&slices, shard).await.unwrap().unwrap_or_default().0;
                assert!(announced.epoch >= row.epoch, "{shard:?}: {announced:?}");
                landed.insert(shard);
            }
        }
        landed.len() == logged && logged > 0
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn depths_are_right_without_any_worker_and_unknown_where_nothing_is_announced() {
    let Some(nats) = Nats::start() else { return };
    let (log, slices) = (open(&nats).await, slices());
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer, &slices, 0, 0, 200).await;
    let numbers = writer.numbers().clone();
    assert_eq!(numbers.len(), 5, "every shard has messages");
    let waiting = async |of: Shard| log.depths(&slices).await.unwrap()[&of].waiting;
    for shard in slices.shards() {
        assert_eq!(waiting(shard).await, None, "nobody has said what is committed");
    }
    let (owned, idle) = (slices.shards().next().unwrap(), slices.shards().last().unwrap());
    let committed = Announced { number: 7, ..at(2, 30) };
    log.announce(&slices, owned, committed).await.unwrap();
    log.announce_beginnings(&slices).await.unwrap();
    assert_eq!(log.announced(&slices, owned).await.unwrap().unwrap().0, committed, "what an owner said stays");
    assert_eq!(log.announced(&slices, idle).await.unwrap().unwrap().0, Announced::default());
    for shard in slices.shards() {
        let had = if shard == owned { 7 } else { 0 };
        assert_eq!(waiting(shard).await, Some(numbers[&shard] - had), "{shard:?}");
    }
    // In a log that is begun anew numbers begin anew too.
    let end = log.end().await.unwrap();
    log.begin_anew(end.unwrap(), end).await.unwrap();
    assert_eq!(waiting(owned).await, Some(0));
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer, &slices, 1, 0, 200).await;
    assert_eq!(waiting(owned).await, Some(writer.numbers()[&owned]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_moves_keeps_what_was_announced_of_its_purge() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = crate::postgres::slices();
    crate::postgres::open(&postgres.url(), &slices).await;
    let log = sharded::log(&nats).await;
    let purged = Announced { purged: 77, number: 90, ..at(5, 0) };
    for shard in slices.shards() {
        log.announce(&slices, shard, purged).await.unwrap();
    }
    let running = sharded::Running::start(&nats, &postgres, &slices, "next").await;
    for shard in slices.shards() {
        let mut announced = purged;
        eventually("the next owner announces it", async || {
            announced = log.announced(&slices, shard).await.unwrap().unwrap().0;
            announced.epoch > purged.epoch
        })
        .await;
        assert_eq!(announced.purged, 77, "{announced:?}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_that_an_owner_finds_are_in_its_status() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = crate::postgres::slices();
    let database = crate::postgres::open(&postgres.url(), &slices).await;
    let log = sharded::log(&nats).await;
    // The catalog is of before the log was begun anew, and the shard's last owner was in the new one.
    let shard = slices.shards().next().unwrap();
    log.announce(&slices, shard, at(5, GENERATION + 5)).await.unwrap();
    let running = sharded::Running::start(&nats, &postgres, &slices, "one").await;
    eventually("the gap is counted", async || running.live.stats().source.gaps == 1).await;
    // Three messages go before they were read: one gap.
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    running.end().await;
    let entries = crate::unanswered::numbered_events(&slices);
    writer.append(&entries, |why| eprintln!("{why}")).await.unwrap();
    let of = entries.iter().zip(1..).filter(|(entry, _)| entry.shard == entries[100].shard);
    let of: Vec<u64> = of.map(|(_, seq)| seq).collect();
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let stream = context.get_stream(log.names.stream()).await.unwrap();
    for seq in &of[4..7] {
        assert!(stream.delete_message(*seq).await.unwrap());
    }
    let running = sharded::Running::start(&nats, &postgres, &slices, "two").await;
    sharded::caught_up(&log, &database, &slices).await;
    assert_eq!(running.live.stats().source.gaps, 1);
    running.end().await;
    let reasons = postgres.execute("postgres", "SELECT reason FROM gaps ORDER BY id");
    let reasons: Vec<&str> = reasons.lines().collect();
    assert!(reasons[0].contains("went back to 0 in a log that is gone"), "{reasons:?}");
    assert!(reasons[1].contains("no longer has the messages 5 to 7"), "{reasons:?}");
    assert_eq!(reasons.len(), 2);
}
