//! The archive where its disk or its store spoils what was begun: nothing is lost, and nothing is left behind.

use crate::archiving::servers;
use crate::landed;
use crate::owners::{Bench, Owner, dead_letter, eventually};
use crate::postgres::Logging;
use crate::s3_proxy::{Act, Proxy, client};
use crate::s3_store::{BUCKET, options, store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};
use turbo_testkit::Postgres;
use turbo_worker::sinks::archive::{Folder, Store};

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
