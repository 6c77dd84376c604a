//! Owners of an archive, for tests: what the log holds, who claims, what landed.

use crate::landed;
use crate::postgres::{Logging, event_of, open, slices};
use crate::s3_proxy::client;
use crate::s3_store::BUCKET;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use turbo_core::shard::{Shard, Slices};
use turbo_sim::{World, WorldConfig};
use turbo_testkit::{Postgres, S3};
use turbo_worker::commands::segments;
use turbo_worker::log::nats;
use turbo_worker::log::{Content, Entry, Item, Numbered};
use turbo_worker::sinks::archive::sharded::{self, AskLog, Options};
use turbo_worker::sinks::archive::{Format, Store};
use turbo_worker::sinks::feed::{Order, SinkHandle, SinkPosition};
use turbo_worker::sinks::postgres::{Database, Fence, Segment};

/// How long anything here may take before it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A catalog and a log.
pub struct Bench {
    pub slices: Arc<Slices>,
    pub database: Database,
    pub pool: sqlx::PgPool,
    /// The log, by sequence.
    pub log: Vec<Numbered>,
}

/// A claim as the catalog gives it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub shard: Shard,
    pub epoch: u64,
    pub position: SinkPosition,
}

impl Bench {
    pub async fn new(postgres: &Postgres) -> Self {
        Self::at(&postgres.url()).await
    }

    pub async fn at(url: &str) -> Self {
        let slices = slices();
        let database = open(url, &slices).await;
        let pool = sqlx::PgPool::connect(url).await.unwrap();
        Self { slices, database, pool, log: Vec::new() }
    }

    /// A log of a world where much is hard to digest, over some hours; a few entries are no events.
    pub fn write_log(&mut self, events: usize, rate: f64) {
        let config =
            WorldConfig { accounts: 90, rate, nasty: 0.05, resyncs: 0.003, removals: 0.003, ..WorldConfig::seeded(17) };
        let (mut world, mut logging) = (World::new(config), Logging::default());
        let mut dead = 0;
        for n in 0..events {
            for mut numbered in logging.log(&self.slices, event_of(&world.next())) {
                if n % 97 == 13 {
                    // The log's numbers stay as they are; the entry is no event.
                    numbered.entry.item = unreadable();
                    dead += 1;
                }
                self.log.push(numbered);
            }
        }
        assert!(dead > 0 || events < 20);
    }

    pub fn of(&self, shard: Shard) -> impl Iterator<Item = &Numbered> {
        self.log.iter().filter(move |numbered| numbered.entry.shard == shard)
    }

    /// The shard with the most entries.
    pub fn busiest(&self) -> Shard {
        self.slices.shards().max_by_key(|shard| self.of(*shard).count()).unwrap()
    }

    /// The claim of a shard, as ownership will make it.
    pub async fn claim(&self, shard: Shard) -> Claim {
        let (epoch, seq, number): (i64, i64, i64) = sqlx::query_as(
            "INSERT INTO positions (slice, partition, sink, epoch, position) VALUES ($1, $2, 'archive', 1, 0)
             ON CONFLICT (slice, partition, sink) DO UPDATE SET epoch = positions.epoch + 1
             RETURNING epoch, position, number",
        )
        .bind(self.slices.name(shard).to_owned())
        .bind(i32::from(shard.partition))
        .fetch_one(&self.pool)
        .await
        .unwrap();
        Claim { shard, epoch: epoch as u64, position: SinkPosition { seq: seq as u64, number: number as u64 } }
    }

    pub fn fence(&self, claim: Claim) -> Fence {
        Fence::new(&self.slices, claim.shard, claim.epoch)
    }

    pub async fn position(&self, shard: Shard) -> u64 {
        let row = self.database.archive_position(&Fence::new(&self.slices, shard, 0)).await.unwrap();
        row.map_or(0, |(_, position)| position.seq)
    }

    /// Waits until the archive of these shards is at the end of the log.
    pub async fn caught_up(&self, shards: impl IntoIterator<Item = Shard>) {
        for shard in shards {
            let Some(last) = self.of(shard).last().map(|numbered| numbered.entry.seq) else { continue };
            eventually(&format!("{shard:?} is at {last}"), async || self.position(shard).await == last).await;
        }
    }

    pub async fn segments(&self) -> Vec<Segment> {
        self.database.segments(None, 10_000).await.unwrap()
    }

    /// Segments in this state.
    pub async fn count(&self, state: &str) -> usize {
        self.segments().await.iter().filter(|segment| segment.state == state).count()
    }

    /// What `turbo segments` says, and whether it ends well.
    pub async fn list(&self, store: &Store, json: bool) -> (String, Result<(), String>) {
        let mut out = Vec::new();
        let ask = segments::Ask { verify: true, json };
        let outcome = segments::list(&self.database, store, ask, &mut out).await;
        (String::from_utf8(out).unwrap(), outcome.map_err(|error| format!("{error:#}")))
    }

    /// Every event of these shards' log is in the folder's objects once, in its order, and nothing else; whatever else
    /// lies there is empty.
    pub async fn assert_exactly_once(&self, folder: &Path, shards: impl IntoIterator<Item = Shard>) {
        let rows = landed::archive(folder);
        let mut by_shard = BTreeMap::<(String, i32), Vec<String>>::new();
        for row in &rows {
            let what = row.record.clone().or(row.event.clone()).unwrap_or_default();
            let line = format!("{} {} {} {} {what}", row.seq, row.did, row.kind, row.time_us);
            by_shard.entry((row.slice.clone(), row.partition)).or_default().push(line);
        }
        for shard in shards {
            let expected: Vec<String> = self.of(shard).filter_map(line).collect();
            let found = by_shard.remove(&(self.slices.name(shard).to_owned(), i32::from(shard.partition)));
            let found = found.unwrap_or_default();
            let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
            assert_eq!(found.get(same), expected.get(same), "row {same} of {shard:?}");
            assert_eq!(found.len(), expected.len(), "{shard:?}");
        }
        assert!(by_shard.is_empty(), "rows of other shards");
    }
}

fn line(numbered: &Numbered) -> Option<String> {
    let event = numbered.entry.item.event()?;
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let what = match &event.body {
        turbo_core::event::Body::Commit(commit) => commit.record.as_ref().map(text).unwrap_or_default(),
        _ => text(&event.bytes),
    };
    Some(format!("{} {} {} {} {what}", numbered.entry.seq, event.key, event.kind().as_str(), event.time_us))
}

pub fn unreadable() -> Arc<Item> {
    let content = Content::Unreadable { bytes: Bytes::from_static(b"?"), reason: "no JSON".into() };
    Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None, rejoined: false })
}

/// Puts an entry that is no event behind the log of a shard.
pub fn dead_letter(after: &Numbered) -> Numbered {
    let entry = Entry::new(after.entry.seq + 1_000_000, after.entry.shard, unreadable());
    Numbered { entry, number: after.number + 1 }
}

/// What a log still has, as the archive may ask it, and what was announced there.
pub struct Held {
    pub entries: Vec<Numbered>,
    /// The highest sequence in an object that was announced.
    pub archived: AtomicU64,
}

impl Held {
    pub fn new(entries: Vec<Numbered>) -> Arc<Self> {
        Arc::new(Self { entries, archived: AtomicU64::default() })
    }
}

impl AskLog for Held {
    fn has_event<'a>(
        &'a self,
        _: &'a Slices,
        shard: Shard,
        behind: u64,
        before: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>> {
        let within = move |seq: u64| seq > behind && seq < before;
        let is = move |n: &Numbered| n.entry.shard == shard && within(n.entry.seq) && n.entry.item.event().is_some();
        Box::pin(async move { Ok(self.entries.iter().any(is)) })
    }

    fn announce_object<'a>(
        &'a self,
        _: &'a Slices,
        _: Shard,
        _: u64,
        last_seq: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>> {
        self.archived.fetch_max(last_seq, Ordering::SeqCst);
        Box::pin(async { Ok(true) })
    }
}

/// A running archive; dropping it is a crash.
pub struct Owner {
    pub handle: SinkHandle,
    pub folder: TempDir,
    pub log: Arc<Held>,
}

impl Owner {
    /// Small segments, short waits.
    pub fn start(bench: &Bench, store: Store, change: impl FnOnce(&mut Options)) -> Self {
        Self::over(bench, store, bench.log.clone(), change)
    }

    /// With a log that no longer has all of it.
    pub fn over(bench: &Bench, store: Store, log: Vec<Numbered>, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path().join("buffer"));
        (options.roll_size, options.roll_age) = (24 << 10, Duration::from_millis(400));
        options.format = Format::Parquet;
        change(&mut options);
        let log = Held::new(log);
        let handle = sharded::spawn(options, bench.database.clone(), bench.slices.clone(), store, log.clone());
        let handle = handle.unwrap();
        Self { handle, folder, log }
    }

    pub async fn claimed(&self, Claim { shard, epoch, position }: Claim) {
        self.tell(Order::Claimed { shard, epoch, position }).await;
    }

    pub async fn tell(&self, order: Order) {
        tokio::time::timeout(PATIENCE, self.handle.orders.send(order)).await.unwrap().unwrap();
    }

    pub async fn entries(&self, entries: impl IntoIterator<Item = Numbered>) {
        let entries: Vec<Numbered> = entries.into_iter().collect();
        self.tell(Order::Entries(entries.into())).await;
    }

    pub async fn release(&self, shard: Shard) {
        let (answer, released) = tokio::sync::oneshot::channel();
        self.tell(Order::Release(shard, answer)).await;
        tokio::time::timeout(PATIENCE, released).await.unwrap().unwrap();
    }

    pub fn error(&self) -> Option<String> {
        self.handle.report.now().error
    }

    pub async fn end(self) {
        let SinkHandle { orders, task, .. } = self.handle;
        drop(orders);
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

/// Waits until something holds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Copies every object below the prefix into a folder.
pub async fn download(s3: &S3, to: &Path) -> Vec<String> {
    let client = client(s3);
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        for key in page.unwrap().contents().iter().filter_map(|object| object.key()) {
            let object = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
            let place = to.join(key);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, object.body.collect().await.unwrap().to_vec()).unwrap();
            keys.push(key.to_owned());
        }
    }
    keys
}
