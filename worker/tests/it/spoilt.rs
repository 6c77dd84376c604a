//! The archive where its disk or its store spoils what was begun: nothing is lost, and nothing is left behind.

use crate::archiving::{object, servers};
use crate::landed;
use crate::owners::{Bench, Held, Owner, dead_letter, download, eventually};
use crate::pg_proxy;
use crate::postgres::Logging;
use crate::s3_proxy::{Act, Proxy, client};
use crate::s3_store::{BUCKET, options, store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};
use turbo_testkit::Postgres;
use turbo_worker::sinks::archive::sharded::{Archive, Options};
use turbo_worker::sinks::archive::{Folder, Store};
use turbo_worker::sinks::postgres::{Database, Intent};

const POSTS: &str = "app.bsky.feed.post";

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_and_can_not_be_read_back_is_read_from_the_log_again() {
    let Some(postgres) = Postgres::start() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(1500, 50.0);
    let shard = bench.busiest();
    let folder = tempfile::tempdir().unwrap();
    let owner = Owner::start(&bench, Store::Folder(Folder::open(folder.path()).unwrap()), |options| {
        (options.roll_size, options.roll_age) = (16 << 10, Duration::from_secs(3600));
    });
    let claim = bench.claim(shard).await;
    owner.claimed(claim).await;
    let (mut parts, mut waiting) = (bench.of(shard).cloned().collect::<Vec<_>>().into_iter(), None);
    owner.entries(parts.by_ref().take(10)).await;
    eventually("something waits", async || {
        let files = landed::files(&owner.folder.path().join("buffer"));
        waiting = files.into_iter().find(|file| {
            file.extension().is_some_and(|ending| ending == "chunks") && file.metadata().unwrap().len() > 0
        });
        waiting.is_some()
    })
    .await;
    // The disk has spoilt it.
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(waiting.unwrap()).unwrap();
    file.write_all_at(&[0xff; 16], 4).unwrap();
    owner.entries(parts).await;
    let mut dropped = Vec::new();
    eventually("the shard is dropped", async || {
        dropped = owner.handle.report.take_dropped();
        !dropped.is_empty()
    })
    .await;
    assert_eq!(dropped, [(shard, claim.epoch)]);
    assert_eq!(bench.position(shard).await, 0, "nothing of it has landed");
    // As the holder does then.
    owner.release(shard).await;
    owner.claimed(bench.claim(shard).await).await;
    owner.entries(bench.of(shard).cloned()).await;
    owner.entries([dead_letter(bench.of(shard).last().unwrap())]).await;
    owner.release(shard).await;
    owner.end().await;
    let last = Owner::start(&bench, Store::Folder(Folder::open(folder.path()).unwrap()), |_| {});
    let claim = bench.claim(shard).await;
    last.claimed(claim).await;
    last.entries(bench.of(shard).filter(|n| n.entry.seq > claim.position.seq).cloned()).await;
    bench.caught_up([shard]).await;
    bench.assert_exactly_once(folder.path(), [shard]).await;
}

/// A log of one shard whose object is so large that it is put in parts.
fn large(bench: &mut Bench) -> Shard {
    let (mut logging, mut random) = (Logging::default(), 7u64);
    let shard = bench.slices.of_record("did:plc:a", POSTS);
    for n in 0..120 {
        let text = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:08x}", random >> 32)
        });
        let text: String = text.take(15_000).collect();
        let rev = turbo_core::tid::encode(1_783_175_888_000_000 + n, 0);
        let line = format!(
            r#"{{"did":"did:plc:a","time_us":{},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"{POSTS}","rkey":"{n}","record":{{"text":"{text}"}},"cid":"c{n}"}}}}"#,
            1_783_175_888_000_000 + n
        );
        let Ok(Frame::Event(event)) = decode(&line.into()) else { panic!("no event") };
        bench.log.extend(logging.log(&bench.slices, event));
    }
    shard
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_could_not_be_aborted_in_an_outage_is_aborted_before_the_next_attempt() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    let shard = large(&mut bench);
    let proxy = Proxy::start(&s3).await;
    let away = Arc::new(AtomicU32::new(0));
    let count = away.clone();
    // Uploads can be begun, and then all is away for a while: also what would abort them.
    proxy.rule(move |asked| match (asked.method, asked.target.contains("uploadId=")) {
        ("PUT" | "DELETE", true) if count.fetch_add(1, Ordering::Relaxed) < 6 => Act::Answer(503, ""),
        _ => Act::Pass,
    });
    let owner = Owner::start(&bench, store(options(&s3, &proxy.url())), |options| options.roll_size = 1 << 30);
    owner.claimed(bench.claim(shard).await).await;
    owner.entries(bench.of(shard).cloned()).await;
    bench.caught_up([shard]).await;
    owner.end().await;
    assert!(away.load(Ordering::Relaxed) > 6);
    let open = client(&s3).list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(open.uploads().len(), 0, "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_has_put_where_an_intent_names_it_is_left_alone() {
    let Some((postgres, s3)) = servers() else { return };
    let bench = Bench::new(&postgres).await;
    let folder = tempfile::tempdir().unwrap();
    let shard = bench.slices.shards().next().unwrap();
    let below = Store::Folder(Folder::open(&folder.path().join("archive")).unwrap());
    for store in [store(options(&s3, &s3.url())), below] {
        let claim = bench.claim(shard).await;
        let path = format!("slice=posts/date=2026-07-04/hour=15/p000-e{:06}-1.parquet", claim.epoch);
        let checksum = "xxh3:0000000000000001".to_owned();
        let intent = Intent { path: path.clone(), first_seq: 1, last_seq: 9, rows: 9, bytes: 10, checksum };
        bench.database.intend(&bench.fence(claim), &intent).await.unwrap().unwrap();
        let (file, stamp) = object(folder.path(), "rows of another catalog");
        store.put_over(&path, &file, &stamp).await.unwrap();
        let next = Owner::start(&bench, store.clone(), |options| {
            (options.upkeep, options.burnt_stays) = (Duration::from_millis(50), Duration::ZERO);
        });
        next.claimed(bench.claim(shard).await).await;
        eventually("the intent is void", async || bench.segments().await.is_empty()).await;
        assert_eq!(store.head(&path).await.unwrap(), Some(stamp), "burnt and swept, and still there");
        assert_eq!(next.error(), None);
        next.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_belongs_to_one_catalog() {
    let Some((postgres, s3)) = servers() else { return };
    let (one, other) = (Bench::new(&postgres).await, Bench::at(&postgres.create_database("other")).await);
    let folder = tempfile::tempdir().unwrap();
    let below = Store::Folder(Folder::open(&folder.path().join("archive")).unwrap());
    for store in [store(options(&s3, &s3.url())), below] {
        let prepared = async |bench: &Bench| {
            let options = Options::new(folder.path().join("buffer"));
            let log = Held::new(Vec::new());
            let archive = Archive::open(options, bench.database.clone(), bench.slices.clone(), store.clone(), log);
            archive.unwrap().prepare().await
        };
        prepared(&one).await.unwrap();
        prepared(&one).await.unwrap();
        let refused = prepared(&other).await.unwrap_err();
        let said = refused.to_string();
        for name in [one.database.catalog().await.unwrap(), other.database.catalog().await.unwrap()] {
            assert!(said.contains(&name), "{said}");
        }
        assert!(said.contains("_turbo_owner") && !refused.is_outage(), "{said}");
        // As the message says.
        store.remove("_turbo_owner").await.unwrap();
        prepared(&other).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_begins_without_its_store_and_its_archive_lands_once_that_is_there() {
    let Some((postgres, s3)) = servers() else { return };
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(400, 50.0);
    let shard = bench.busiest();
    s3.kill();
    let folder = tempfile::tempdir().unwrap();
    let options_of = Options { roll_age: Duration::from_millis(200), ..Options::new(folder.path().join("buffer")) };
    let there = store(options(&s3, &s3.url()));
    let log = Held::new(bench.log.clone());
    let archive = Archive::open(options_of, bench.database.clone(), bench.slices.clone(), there, log.clone()).unwrap();
    assert!(archive.prepare().await.unwrap_err().is_outage());
    let owner = Owner { handle: archive.start(false), folder, log };
    owner.claimed(bench.claim(shard).await).await;
    owner.entries(bench.of(shard).cloned()).await;
    eventually("it says why", async || owner.error().is_some()).await;
    // Nothing is under way, so a release waits for nothing.
    owner.release(shard).await;
    owner.claimed(bench.claim(shard).await).await;
    owner.entries(bench.of(shard).cloned()).await;
    s3.restart();
    bench.caught_up([shard]).await;
    eventually("it says that this is over", async || owner.error().is_none()).await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_of_the_catalog_lands_nothing_twice() {
    let Some((postgres, s3)) = servers() else { return };
    let url = postgres.url();
    let server = url.split(['@', '/']).find(|part| part.contains("127.0.0.1:")).unwrap().to_owned();
    let proxy = pg_proxy::Proxy::start(server.clone(), 3).await;
    let mut bench = Bench::new(&postgres).await;
    bench.write_log(2000, 50.0);
    bench.database = Database::open(&url.replace(&server, proxy.address()), 6).unwrap();
    let owner = Owner::start(&bench, store(options(&s3, &s3.url())), |options| options.roll_size = 4 << 10);
    for shard in bench.slices.shards() {
        owner.claimed(bench.claim(shard).await).await;
    }
    for part in bench.log.chunks(200) {
        owner.entries(part.iter().cloned()).await;
    }
    bench.database = Database::open(&url, 6).unwrap();
    bench.caught_up(bench.slices.shards()).await;
    assert!(proxy.lost() > 10, "{}", proxy.lost());
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    bench.assert_exactly_once(folder.path(), bench.slices.shards()).await;
}
