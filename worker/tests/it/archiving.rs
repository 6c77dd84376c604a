//! The archive of the sharded data plane: whoever is paused, killed or cut off, every event is in it once.

use crate::landed;
use crate::owners::{Bench, Owner, PATIENCE, dead_letter, download, eventually};
use crate::s3_proxy::{Act, Asked, Proxy};
use crate::s3_store::{BUCKET, options, store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::Shard;
use turbo_testkit::{PgBouncer, Postgres, S3};
use turbo_worker::log::Numbered;
use turbo_worker::sinks::archive::store::Put;
use turbo_worker::sinks::archive::{Folder, Format, Stamp, Store};
use turbo_worker::sinks::feed::Order;
use turbo_worker::sinks::postgres::{Database, Intent};

pub fn servers() -> Option<(Postgres, S3)> {
    let servers = (Postgres::start()?, S3::start()?);
    servers.1.create_bucket(BUCKET);
    Some(servers)
}

/// The file of an object of one's own making.
pub fn object(folder: &std::path::Path, text: &str) -> (std::path::PathBuf, Stamp) {
    let file = folder.join("object");
    std::fs::write(&file, text).unwrap();
    let stamp = Stamp::of(&file).unwrap();
    (file, stamp)
}

/// The protocol without its service: an owner that has written its intent is overtaken, at its put or at its commit.
async fn what_was_burnt_never_comes_back(bench: &Bench, store: &Store, put_before: bool) {
    let shard = bench.slices.shards().next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, stamp) = object(folder.path(), "rows of a zombie");
    let claim = bench.claim(shard).await;
    let old = bench.fence(claim);
    let path = format!("slice=posts/date=2026-07-04/hour=15/p000-e{:06}-{:020}.parquet", claim.epoch, 1);
    let Stamp { bytes, checksum } = stamp.clone();
    let intent = Intent { path: path.clone(), first_seq: 1, last_seq: 9, rows: 9, bytes, checksum };
    let id = bench.database.intend(&old, &intent).await.unwrap().unwrap();
    assert_eq!(bench.database.intend(&old, &intent).await.unwrap(), Some(id), "a lost answer makes no second row");
    if put_before {
        assert_eq!(store.put_new(&path, &file, &stamp).await.unwrap(), Put::New);
    }

    let next = Owner::start(bench, store.clone(), |_| {});
    next.claimed(bench.claim(shard).await).await;
    eventually("the intent is burnt", async || bench.count("burnt").await > 0 && bench.count("intent").await == 0)
        .await;

    assert_eq!(store.put_new(&path, &file, &stamp).await.unwrap(), Put::Taken, "a late put meets the empty file");
    let to = turbo_worker::sinks::feed::SinkPosition { seq: 9, number: 9 };
    assert!(
        !bench.database.commit_segment(&old, Some(id), claim.position, (to, None)).await.unwrap(),
        "a late commit is fenced"
    );
    assert_eq!(bench.database.intend(&old, &Intent { path: "other".into(), ..intent }).await.unwrap(), None);
    // Also under the right fence, what was burnt is not committed.
    let (epoch, position) = bench.database.archive_position(&old).await.unwrap().unwrap();
    let fence = turbo_worker::sinks::postgres::Fence { epoch, ..old };
    assert!(!bench.database.commit_segment(&fence, Some(id), position, (to, None)).await.unwrap());
    assert_eq!(bench.position(shard).await, position.seq, "and the position has not moved");
    let back = folder.path().join("back.parquet");
    store.get(&path, &back, 1 << 20).await.unwrap().unwrap();
    assert_eq!(landed::object(&back), vec![], "a valid file without rows");
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_at_the_put_or_at_the_commit_lands_nothing() {
    let Some((postgres, s3)) = servers() else { return };
    let bench = Bench::new(&postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = Store::Folder(Folder::open(folder.path()).unwrap());
    for store in [store(options(&s3, &s3.url())), folder] {
        what_was_burnt_never_comes_back(&bench, &store, false).await;
        what_was_burnt_never_comes_back(&bench, &store, true).await;
    }
}

/// An owner whose put is held (or the reply to it) while another takes over.
async fn overtaken(postgres: &Postgres, s3: &S3, at_the_put: bool) {
    let mut bench = Bench::new(postgres).await;
    bench.write_log(400, 50.0);
    let shard = bench.busiest();
    let proxy = Proxy::start(s3).await;
    let (gate, met) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let (hold, seen) = (gate.clone(), met.clone());
    proxy.rule(move |asked: &Asked<'_>| match asked.method == "PUT" && !seen.swap(true, Ordering::Relaxed) {
        true if at_the_put => Act::Hold(hold.clone()),
        true => Act::HoldReply(hold.clone()),
        false => Act::Pass,
    });
    let zombie = Owner::start(&bench, store(options(s3, &proxy.url())), |_| {});
    zombie.claimed(bench.claim(shard).await).await;
    zombie.entries(bench.of(shard).cloned()).await;
    eventually("its put is under way", async || met.load(Ordering::Relaxed)).await;

    let direct = store(options(s3, &s3.url()));
    let next = Owner::start(&bench, direct.clone(), |_| {});
    let claim = bench.claim(shard).await;
    assert_eq!(claim.position.seq, 0, "nothing was committed");
    next.claimed(claim).await;
    eventually("what it intended is burnt", async || bench.count("burnt").await == 1).await;
    gate.cancel();
    eventually("the zombie has seen that it is one", async || zombie.handle.report.now().positions.is_empty()).await;
    next.entries(bench.of(shard).cloned()).await;
    bench.caught_up([shard]).await;
    zombie.end().await;
    next.end().await;
    let folder = tempfile::tempdir().unwrap();
    download(s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), [shard]).await;
    let (said, well) = bench.list(&direct, false).await;
    assert_eq!((well, bench.count("burnt").await, bench.count("intent").await), (Ok(()), 1, 0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_paused_before_its_put_meets_what_was_burnt() {
    let Some((postgres, s3)) = servers() else { return };
    overtaken(&postgres, &s3, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_paused_before_its_commit_meets_the_fence() {
    let Some((postgres, s3)) = servers() else { return };
    overtaken(&postgres, &s3, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_of_the_store_lands_nothing_twice() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(600, 50.0);
    let proxy = Proxy::start(&s3).await;
    let (puts, lost) = (AtomicU32::new(0), Arc::new(AtomicU32::new(0)));
    let count = lost.clone();
    proxy.rule(move |asked| match asked.method {
        "PUT" if puts.fetch_add(1, Ordering::Relaxed) % 2 == 0 => {
            count.fetch_add(1, Ordering::Relaxed);
            Act::LoseReply
        }
        _ => Act::Pass,
    });
    let owner = Owner::start(&bench, store(options(&s3, &proxy.url())), |_| {});
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    owner.entries(bench.log.iter().cloned()).await;
    bench.caught_up(bench.slices.shards()).await;
    assert!(lost.load(Ordering::Relaxed) > 0);
    let folder = tempfile::tempdir().unwrap();
    let keys = download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), bench.slices.shards()).await;
    assert_eq!(keys.len(), bench.count("committed").await, "an object for each segment");
    let told = || owner.handle.report.now();
    eventually("it says so", async || told().entries == bench.log.len() as u64 && told().error.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_is_killed_again_and_again_lands_nothing_twice() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(2000, 50.0);
    let owner = Owner::start(&bench, store(options(&s3, &s3.url())), |options| options.roll_size = 4 << 10);
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    for part in bench.log.chunks(200) {
        owner.entries(part.iter().cloned()).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Whatever is under way loses its answer, and some of it has landed.
        postgres.kill();
        postgres.restart();
    }
    bench.caught_up(bench.slices.shards()).await;
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), bench.slices.shards()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_it_waits_says_so_and_takes_no_more_than_it_may() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(6000, 50.0);
    let quick = options(&s3, &s3.url());
    let quick = turbo_worker::sinks::archive::s3::Options { attempt_timeout: Duration::from_secs(2), ..quick };
    let bound = 200 << 10;
    let owner = Owner::start(&bench, store(quick), |options| {
        (options.buffer_bytes, options.roll_size, options.roll_age) = (bound, 1 << 30, Duration::from_secs(3600));
    });
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    s3.pause();
    let mut parts = bench.log.chunks(100).map(<[Numbered]>::to_vec).peekable();
    let mut turned_away = 0;
    while parts.peek().is_some() && turned_away < 20 {
        let order = Order::Entries(parts.peek().unwrap().clone().into());
        match owner.handle.orders.try_send(order) {
            Ok(()) => (turned_away, _) = (0, parts.next()),
            Err(_) => {
                turned_away += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    assert!(parts.peek().is_some(), "a full buffer takes no more orders");
    eventually("it says so", async || owner.error().is_some()).await;
    let buffered: u64 = landed::files(&owner.folder.path().join("buffer"))
        .iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "chunks" || ending == "object"))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    let order = 32 << 10;
    assert!(buffered > bound / 4 && buffered < bound + order, "{buffered}");
    assert_eq!(bench.count("committed").await, 0);
    s3.resume();
    for part in parts {
        owner.entries(part).await;
    }
    // What the bound does not close stays open until the shards move on.
    for shard in bench.slices.shards() {
        owner.release(shard).await;
    }
    owner.end().await;
    let last = Owner::start(&bench, store(options(&s3, &s3.url())), |_| {});
    for shard in bench.slices.shards() {
        let claim = bench.claim(shard).await;
        assert!(claim.position.seq > 0, "segments of {shard:?} landed as soon as the store was back");
        last.claimed(claim).await;
        last.entries(bench.of(shard).filter(|n| n.entry.seq > claim.position.seq).cloned()).await;
    }
    bench.caught_up(bench.slices.shards()).await;
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), bench.slices.shards()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_moves_the_position_without_an_object() {
    let Some(postgres) = Postgres::start() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(12, 50.0);
    let shard = bench.busiest();
    let folder = tempfile::tempdir().unwrap();
    let owner = Owner::start(&bench, Store::Folder(Folder::open(folder.path()).unwrap()), |options| {
        options.format = Format::Jsonl;
    });
    owner.claimed(bench.claim(shard).await).await;
    owner.entries(bench.of(shard).cloned()).await;
    bench.caught_up([shard]).await;
    let objects = landed::files(folder.path());
    let mut dead = bench.of(shard).last().unwrap().clone();
    for _ in 0..3 {
        dead = dead_letter(&dead);
        bench.log.push(dead.clone());
        owner.entries([dead.clone()]).await;
    }
    bench.caught_up([shard]).await;
    assert_eq!(landed::files(folder.path()), objects);
    let number = || owner.handle.report.now().positions[&shard].number;
    eventually("it says so", async || number() == dead.number).await;
    bench.assert_exactly_once(folder.path(), [shard]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_others_have_changed_takes_nothing_more_until_the_next_claim() {
    let Some(postgres) = Postgres::start() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(300, 50.0);
    let shard = bench.busiest();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::open(folder.path()).unwrap());
    let owner = Owner::start(&bench, store, |_| {});
    owner.claimed(bench.claim(shard).await).await;
    let middle = bench.of(shard).nth(50).unwrap().entry.seq;
    let sql = "UPDATE positions SET position = $1 WHERE sink = 'archive'";
    sqlx::query(sql).bind(middle as i64).execute(&bench.pool).await.unwrap();
    owner.entries(bench.of(shard).cloned()).await;
    eventually("the shard is dropped", async || owner.handle.report.now().positions.is_empty()).await;
    assert_eq!(owner.handle.report.take_dropped(), [(shard, 1)], "the holder is told which claim is over");
    assert_eq!((bench.segments().await, bench.position(shard).await), (vec![], middle));
    let claim = bench.claim(shard).await;
    owner.claimed(claim).await;
    owner.entries(bench.of(shard).cloned()).await;
    bench.caught_up([shard]).await;
    let landed = landed::archive(folder.path());
    assert!(!landed.is_empty() && landed.iter().all(|row| row.seq as u64 > middle), "what is below is passed over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burnt_file_is_looked_after_and_goes_after_its_time() {
    let Some((postgres, s3)) = servers() else { return };
    let bench = Bench::new(&postgres).await;
    let store = store(options(&s3, &s3.url()));
    what_was_burnt_never_comes_back(&bench, &store, true).await;
    let burnt = bench.segments().await.pop().unwrap();
    let keeps = Owner::start(&bench, store.clone(), |options| options.upkeep = Duration::from_millis(50));
    let shard = bench.slices.shards().next().unwrap();
    keeps.claimed(bench.claim(shard).await).await;
    // A store that lets a late completion through: what lies over the burnt file is covered again.
    let folder = tempfile::tempdir().unwrap();
    let (file, stamp) = object(folder.path(), "rows of a zombie");
    let empty = store.head(&burnt.object.path).await.unwrap();
    store.put_over(&burnt.object.path, &file, &stamp).await.unwrap();
    eventually("it is covered again", async || store.head(&burnt.object.path).await.unwrap() == empty).await;
    assert_eq!(bench.count("burnt").await, 1, "a day is not over");
    keeps.end().await;
    let sweeps = Owner::start(&bench, store.clone(), |options| {
        (options.upkeep, options.burnt_stays) = (Duration::from_millis(50), Duration::ZERO);
    });
    // Others look after theirs.
    let other = bench.slices.shards().nth(1).unwrap();
    sweeps.claimed(bench.claim(other).await).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.count("burnt").await, 1);
    sweeps.claimed(bench.claim(shard).await).await;
    eventually("its row is gone", async || bench.count("burnt").await == 0).await;
    assert_eq!(store.head(&burnt.object.path).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_waits_for_a_put_that_is_under_way_but_not_for_long() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(400, 50.0);
    let shard = bench.busiest();
    let proxy = Proxy::start(&s3).await;
    for waits in [true, false] {
        let (gate, met) = (CancellationToken::new(), CancellationToken::new());
        let (hold, seen) = (gate.clone(), met.clone());
        proxy.rule(move |asked| match asked.method {
            // The empty file of a burnt segment is no put of this owner's.
            "PUT" if asked.head.to_lowercase().contains("if-none-match") => {
                seen.cancel();
                Act::HoldReply(hold.clone())
            }
            _ => Act::Pass,
        });
        let owner = Owner::start(&bench, store(options(&s3, &proxy.url())), |options| {
            options.release = if waits { Duration::from_secs(60) } else { Duration::from_millis(200) };
        });
        let claim = bench.claim(shard).await;
        owner.claimed(claim).await;
        let left = bench.of(shard).filter(|n| n.entry.seq > claim.position.seq);
        owner.entries(left.take(if waits { 40 } else { usize::MAX }).cloned()).await;
        tokio::time::timeout(PATIENCE, met.cancelled()).await.unwrap();
        if waits {
            let opens = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                gate.cancel();
            });
            owner.release(shard).await;
            opens.await.unwrap();
            assert!(bench.position(shard).await > claim.position.seq, "the put was waited for");
        } else {
            owner.release(shard).await;
            assert_eq!(bench.position(shard).await, claim.position.seq);
            assert_eq!(bench.count("intent").await, 1, "the next owner burns it");
        }
        let told = owner.handle.report.now();
        assert!(told.positions.is_empty(), "nothing is one's own any more");
        let left = landed::files(&owner.folder.path().join("buffer"));
        assert_eq!(left.iter().filter(|file| !file.ends_with(".lock")).count(), 0, "{left:?}");
    }
    proxy.rule(|_| Act::Pass);
    let last = Owner::start(&bench, store(options(&s3, &s3.url())), |_| {});
    let claim = bench.claim(shard).await;
    last.claimed(claim).await;
    last.entries(bench.of(shard).filter(|n| n.entry.seq > claim.position.seq).cloned()).await;
    bench.caught_up([shard]).await;
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), [shard]).await;
}

/// One step of what may happen to a shard.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_lands_once_over_several_owners_and_kills() {
    let Some((postgres, s3)) = servers() else { return };
    let Some(bouncer) = PgBouncer::start(&postgres) else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(6000, 0.4);
    // From here on by way of a pool that lends connections by the transaction.
    bench.database = Database::open(&bouncer.url(), 6).unwrap();
    let direct = store(options(&s3, &s3.url()));
    let start = |n: u64| {
        Owner::start(&bench, direct.clone(), |options| {
            options.format = if n % 3 == 2 { Format::Jsonl } else { Format::Parquet };
            options.roll_age = Duration::from_millis(100);
        })
    };
    let mut chance = Chance(3);
    let mut owners: Vec<Owner> = (0..3).map(start).collect();
    let shards: Vec<Shard> = bench.slices.shards().collect();
    let mut held = vec![None::<(usize, u64)>; shards.len()];
    for round in 0..60 {
        for (at, shard) in shards.iter().enumerate() {
            // Another claims: the one before is told in time, too late, or never, as when it is paused.
            if held[at].is_none() || chance.below(8) == 0 {
                if let Some((owner, _)) = held[at] {
                    match chance.below(3) {
                        0 => owners[owner].release(*shard).await,
                        1 => owners[owner].tell(Order::Lost(*shard)).await,
                        _ => {}
                    }
                }
                let (claim, owner) = (bench.claim(*shard).await, chance.below(3) as usize);
                owners[owner].claimed(claim).await;
                held[at] = Some((owner, claim.position.seq));
            }
            let Some((owner, read)) = held[at] else { continue };
            let end = bench.log.len() as u64 * (round + 1) / 60;
            let next: Vec<Numbered> =
                bench.of(*shard).filter(|n| n.entry.seq > read && n.entry.seq <= end).take(150).cloned().collect();
            let Some(last) = next.last() else { continue };
            held[at] = Some((owner, last.entry.seq));
            owners[owner].entries(next).await;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
        if chance.below(5) == 0 {
            // Killed: its shards are claimed anew in the next round.
            let crashed = chance.below(3) as usize;
            let Owner { handle, folder, log: _ } = std::mem::replace(&mut owners[crashed], start(round));
            handle.task.abort();
            let _ = handle.task.await;
            drop(folder);
            held.iter_mut()
                .filter(|held| held.is_some_and(|(owner, _)| owner == crashed))
                .for_each(|held| *held = None);
        }
        if round % 20 == 10 {
            s3.kill();
            s3.restart();
        }
    }
    let last = start(0);
    for shard in &shards {
        let claim = bench.claim(*shard).await;
        last.claimed(claim).await;
        last.entries(bench.of(*shard).filter(|n| n.entry.seq > claim.position.seq).cloned()).await;
    }
    bench.caught_up(shards.clone()).await;
    for owner in owners.into_iter().chain([last]) {
        owner.end().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let keys = download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), shards).await;
    let (committed, burnt) = (bench.count("committed").await, bench.count("burnt").await);
    assert_eq!((keys.len(), bench.count("intent").await), (committed + burnt, 0), "every object has its row");
    let (said, well) = bench.list(&direct, false).await;
    assert_eq!(well, Ok(()), "{said}");
    eprintln!("{}", said.lines().last().unwrap());
    let hours: std::collections::BTreeSet<_> = keys.iter().filter_map(|key| key.split('/').nth(4)).collect();
    assert!(hours.len() > 2, "{hours:?}");
}
