//! The archive over a catalog that was restored from a backup: what the store holds of the time since is part of it, once.

use crate::archiving::servers;
use crate::owners::{Bench, Claim, Owner, download, eventually};
use crate::postgres::worker;
use crate::s3_proxy::{Act, Proxy};
use crate::s3_store::{options, store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::Shard;
use turbo_testkit::{Postgres, S3};
use turbo_worker::log::Numbered;
use turbo_worker::sinks::archive::store::Put;
use turbo_worker::sinks::archive::{Folder, Stamp, Store};
use turbo_worker::sinks::postgres::{Fence, Seen, Wanted};

/// A shard with a third of its log in the archive, a backup of the catalog, and more in the archive since.
struct Case {
    bench: Bench,
    shard: Shard,
    wanted: Wanted,
    store: Store,
    /// Paths that were committed before the catalog was restored.
    committed: BTreeSet<String>,
    /// The position in the backup, and the last one before the restore.
    backed_up: u64,
    reached: u64,
}

/// What a claimer has seen of the shard before the restore.
const SEEN: Seen = Seen { epoch: 5, position: 1, purged: 0, object: (0, 0) };

impl Case {
    async fn new(postgres: &Postgres, database: &str, store: Store) -> Self {
        let mut bench = Bench::at(&postgres.create_database(database)).await;
        bench.write_log(3000, 50.0);
        let wanted = bench.database.introduce("test", "posts rest", &bench.slices, vec!["archive"], None, true);
        let (wanted, shard) = (wanted.await.unwrap(), bench.busiest());
        let committed = BTreeSet::new();
        let mut case = Self { bench, shard, wanted, store, committed, backed_up: 0, reached: 0 };
        let owner = Owner::start(&case.bench, case.store.clone(), |options| options.roll_size = 4 << 10);
        // A claim after a claim, so that there are lower epochs.
        for _ in 0..4 {
            case.claim(Seen::default()).await;
        }
        owner.claimed(case.claim(Seen::default()).await).await;
        let log: Vec<Numbered> = case.bench.of(shard).cloned().collect();
        let third = log.len() / 3;
        for part in log[..third].chunks(50) {
            owner.entries(part.iter().cloned()).await;
        }
        case.backed_up = case.archived(log[third - 1].entry.seq).await;
        case.sql("CREATE TABLE backup_p AS TABLE positions").await;
        case.sql("CREATE TABLE backup_s AS TABLE segments").await;
        for part in log[third..2 * third].chunks(50) {
            owner.entries(part.iter().cloned()).await;
        }
        case.reached = case.archived(log[2 * third - 1].entry.seq).await;
        owner.end().await;
        case.committed = case.segments("committed").await;
        case
    }

    async fn sql(&self, sql: &'static str) -> u64 {
        sqlx::query(sql).execute(&self.bench.pool).await.unwrap().rows_affected()
    }

    async fn archived(&self, seq: u64) -> u64 {
        eventually("it is archived so far", async || self.bench.position(self.shard).await == seq).await;
        seq
    }

    async fn segments(&self, state: &str) -> BTreeSet<String> {
        let segments = self.bench.segments().await.into_iter();
        segments.filter(|segment| segment.state == state).map(|segment| segment.object.path).collect()
    }

    /// What was committed since the backup, in the order of the log.
    async fn since(&self) -> Vec<String> {
        let segments = self.bench.segments().await.into_iter();
        segments.filter(|s| s.object.first_seq > self.backed_up).map(|s| s.object.path).collect()
    }

    async fn claim(&self, seen: Seen) -> Claim {
        let Self { bench, shard, wanted, .. } = self;
        let me = worker("me");
        let claim = bench.database.claim(&bench.slices, *shard, &me, seen, &[], wanted);
        let claimed = claim.await.unwrap().unwrap();
        Claim { shard: *shard, epoch: claimed.owned.epoch(), position: claimed.sinks["archive"].position }
    }

    /// The catalog as it was.
    async fn restore(&self) {
        self.sql("TRUNCATE positions, segments").await;
        self.sql("INSERT INTO positions SELECT * FROM backup_p").await;
        self.sql("INSERT INTO segments OVERRIDING SYSTEM VALUE SELECT * FROM backup_s").await;
        self.sql("SELECT setval(pg_get_serial_sequence('segments', 'id'), (SELECT max(id) FROM segments))").await;
    }

    /// The object at this name is put again under another epoch, as by a writer of then.
    async fn zombie(&self, path: &str, epoch: u64) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("object");
        self.store.get(path, &file, u64::MAX - 1).await.unwrap().unwrap();
        let at = path.find("-e").unwrap() + 2;
        let late = format!("{}{epoch:06}{}", &path[..at], &path[at + 6..]);
        assert_eq!(self.store.put_new(&late, &file, &Stamp::of(&file).unwrap()).await.unwrap(), Put::New);
        late
    }

    /// Claims as after the restore, and archives what is left of the log behind `from`.
    async fn goes_on(&self, owner: &Owner, seen: Seen, from: u64) {
        owner.claimed(self.claim(seen).await).await;
        owner.entries(self.log(from)).await;
        self.bench.caught_up([self.shard]).await;
    }

    fn log(&self, from: u64) -> Vec<Numbered> {
        self.bench.of(self.shard).filter(|numbered| numbered.entry.seq >= from).cloned().collect()
    }

    /// Every event is there once, by the files alone and by the catalog.
    async fn assert_exactly_once(&self, folder: &Path) {
        self.bench.assert_exactly_once(folder, [self.shard]).await;
        let (said, well) = self.bench.list(&self.store, false).await;
        assert_eq!((well, self.bench.count("intent").await), (Ok(()), 0), "{said}");
        let segments = self.bench.segments().await;
        let rows: u64 = segments.iter().filter(|s| s.state == "committed").map(|s| s.object.rows).sum();
        let events = self.bench.of(self.shard).filter(|numbered| numbered.entry.item.event().is_some()).count();
        assert_eq!(rows, events as u64, "{said}");
    }
}

/// A folder as a store, and where it is.
fn folder() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::open(folder.path()).unwrap());
    (folder, store)
}

/// `purged`: of the log there is left only what begins in the middle of what was archived since the backup.
async fn taken_up(case: &Case, purged: bool, files: impl AsyncFn() -> tempfile::TempDir) {
    let since = case.since().await;
    assert!(since.len() > 2, "{since:?}");
    let zombie = case.zombie(&since[1], 4).await;
    // The first of them was an intent when the backup was made.
    case.sql("INSERT INTO backup_s SELECT * FROM segments WHERE first_seq > (SELECT max(last_seq) FROM backup_s) ORDER BY first_seq LIMIT 1").await;
    case.sql("UPDATE backup_s SET state = 'intent' WHERE last_seq = (SELECT max(last_seq) FROM backup_s)").await;
    case.restore().await;
    assert_eq!(case.segments("intent").await, BTreeSet::from([since[0].clone()]));
    let from = if purged { (case.backed_up + case.reached) / 2 } else { 0 };
    let owner = Owner::over(&case.bench, case.store.clone(), case.log(from), |options| {
        options.upkeep = Duration::from_millis(50);
    });
    case.goes_on(&owner, SEEN, from).await;
    let committed = case.segments("committed").await;
    assert!(committed.is_superset(&case.committed), "all that was committed is, under its own name");
    assert_eq!(case.segments("burnt").await, BTreeSet::from([zombie]), "what was never committed is burnt");
    case.assert_exactly_once(files().await.path()).await;
    // One that was paused since before the restore wakes up.
    let late = case.zombie(&since[2], 3).await;
    eventually("what came late is burnt", async || case.segments("burnt").await.contains(&late)).await;
    case.assert_exactly_once(files().await.path()).await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_has_seen_more_than_the_catalog_writes_it_down_until_it_is_mended() {
    let Some(postgres) = Postgres::start() else { return };
    let bench = Bench::new(&postgres).await;
    let wanted =
        bench.database.introduce("test", "posts rest", &bench.slices, vec!["archive"], None, true).await.unwrap();
    let (shard, me) = (bench.busiest(), worker("me"));
    let claim = async |seen: Seen| {
        let claimed = bench.database.claim(&bench.slices, shard, &me, seen, &[], &wanted).await.unwrap().unwrap();
        let fence = Fence::new(&bench.slices, shard, claimed.owned.epoch());
        let recalled = bench.database.recall(&fence).await.unwrap().unwrap();
        (fence, claimed.went_back, recalled.to_mend)
    };
    let mended = async |fence: &Fence| bench.database.mend(fence, &[], &[]).await.unwrap();
    let none = Seen::default();
    let (first, went_back, to_mend) = claim(none).await;
    assert_eq!((went_back, to_mend), (false, None));
    let (_, went_back, to_mend) = claim(Seen { epoch: first.epoch, ..none }).await;
    assert_eq!((went_back, to_mend), (false, None), "the epoch of the row itself");
    let (later, went_back, to_mend) = claim(Seen { epoch: 40, ..none }).await;
    assert_eq!((later.epoch, went_back, to_mend), (41, true, Some(0)));
    assert_eq!(bench.database.recall(&first).await.unwrap(), None, "a claim that is lost finds nothing");
    assert!(!mended(&first).await && mended(&later).await);
    assert_eq!(claim(none).await.2, None);
    assert_eq!(claim(Seen { position: 1, ..none }).await.2, Some(0));
    let (last, went_back, to_mend) = claim(none).await;
    assert_eq!((went_back, to_mend), (false, Some(0)), "the claim before it has not mended it");
    assert!(mended(&last).await);
    // The checkpoint is where it was seen, but the log was purged beyond the archive's position.
    let (last, went_back, to_mend) = claim(Seen { purged: 1, ..none }).await;
    assert_eq!((went_back, to_mend), (false, Some(0)));
    assert!(mended(&last).await);
    let watched = bench.database.watched(&[last.clone(), first], 3600.0).await.unwrap();
    assert_eq!(watched.iter().map(|one| (&one.of, one.over)).collect::<Vec<_>>(), [(&last, false)]);
    assert!(bench.database.watched(std::slice::from_ref(&last), 0.0).await.unwrap()[0].over);
    bench.database.unwatch(&last).await.unwrap();
    assert_eq!(bench.database.watched(&[last], 0.0).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_archived_since_the_backup_is_taken_up_and_what_overlaps_is_burnt() {
    let Some((postgres, s3)) = servers() else { return };
    for purged in [false, true] {
        let (place, below) = folder();
        let case = Case::new(&postgres, &format!("folder_{purged}"), below).await;
        taken_up(&case, purged, async || {
            let copy = tempfile::tempdir().unwrap();
            let done = std::process::Command::new("cp").arg("-r").arg(place.path()).arg(copy.path()).status();
            assert!(done.unwrap().success());
            copy
        })
        .await;
        let prefix = format!("raw/{purged}");
        let options = turbo_worker::sinks::archive::s3::Options { prefix: prefix.clone(), ..options(&s3, &s3.url()) };
        let case = Case::new(&postgres, &format!("s3_{purged}"), store(options)).await;
        taken_up(&case, purged, async || below_prefix(&s3, &prefix).await).await;
    }
}

/// A copy of what is below a prefix.
async fn below_prefix(s3: &S3, prefix: &str) -> tempfile::TempDir {
    let (all, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    download(s3, all.path()).await;
    std::fs::rename(all.path().join(prefix), copy.path().join("archive")).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_lacks_the_last_objects_alone_is_told_by_what_was_announced_of_them() {
    let Some(postgres) = Postgres::start() else { return };
    let (place, below) = folder();
    let case = Case::new(&postgres, "behind", below).await;
    let since = case.since().await;
    // An intent that the catalog knows is no sign of anything.
    let known = Seen { object: (5, case.reached), ..Seen::default() };
    let to_mend = async |claim: Claim| {
        let fence = Fence::new(&case.bench.slices, case.shard, claim.epoch);
        case.bench.database.recall(&fence).await.unwrap().unwrap().to_mend
    };
    assert_eq!(to_mend(case.claim(known).await).await, None);
    case.sql("UPDATE positions SET position = (SELECT max(first_seq) - 1 FROM segments) WHERE sink = 'archive'").await;
    case.sql("UPDATE segments SET state = 'intent' WHERE last_seq = (SELECT max(last_seq) FROM segments)").await;
    assert_eq!(to_mend(case.claim(known).await).await, None);
    // A copy that is a little behind takes the place: checkpoints and epochs are as they were announced. What an earlier
    // claim has intended as far as that is not what is missing.
    case.restore().await;
    case.sql("INSERT INTO segments (slice, partition, epoch, path, first_seq, last_seq, rows, bytes, checksum, state, changed_at)
              SELECT slice, partition, 4, 'none', position + 1, position + 1000000, 1, 1, '', 'burnt', now()
              FROM positions WHERE sink = 'archive' AND position > 0").await;
    let owner = Owner::start(&case.bench, case.store.clone(), |_| {});
    case.goes_on(&owner, known, 0).await;
    assert!(case.segments("committed").await.is_superset(&since.into_iter().collect()));
    case.assert_exactly_once(place.path()).await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_announced_before_it_is_put_so_that_none_is_forgotten_with_its_intent() {
    let Some((postgres, s3)) = servers() else { return };
    let case = Case::new(&postgres, "announced", store(options(&s3, &s3.url()))).await;
    let proxy = Proxy::start(&s3).await;
    let (gate, met) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let (hold, seen) = (gate.clone(), met.clone());
    proxy.rule(move |asked| {
        let puts = asked.method == "PUT" && asked.target.contains(".parquet");
        if !puts {
            return Act::Pass;
        }
        seen.store(true, Ordering::Relaxed);
        Act::HoldReply(hold.clone())
    });
    // A copy from before the intent, and after the claim.
    let claim = case.claim(Seen::default()).await;
    let epoch = claim.epoch;
    case.sql("DROP TABLE backup_p").await;
    case.sql("DROP TABLE backup_s").await;
    case.sql("CREATE TABLE backup_p AS TABLE positions").await;
    case.sql("CREATE TABLE backup_s AS TABLE segments").await;
    let dies = Owner::start(&case.bench, store(options(&s3, &proxy.url())), |_| {});
    dies.claimed(claim).await;
    dies.entries(case.log(0)).await;
    eventually("an object is put", async || met.load(Ordering::Relaxed)).await;
    let object = (epoch, dies.log.archived.load(Ordering::SeqCst));
    assert!(object.1 > case.reached, "{object:?}");
    drop(dies);
    gate.cancel();
    case.restore().await;
    let next = Owner::start(&case.bench, case.store.clone(), |_| {});
    case.goes_on(&next, Seen { object, ..Seen::default() }, 0).await;
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    case.assert_exactly_once(folder.path()).await;
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_object_is_gone_the_log_is_read_again_and_without_it_the_rest_is_kept() {
    let Some(postgres) = Postgres::start() else { return };
    for purged in [false, true] {
        let (place, below) = folder();
        let mut case = Case::new(&postgres, &format!("hole_{purged}"), below).await;
        let gone = case.since().await.remove(1);
        let lost = case.bench.segments().await.into_iter().find(|s| s.object.path == gone).unwrap().object;
        std::fs::remove_file(place.path().join(&gone)).unwrap();
        case.restore().await;
        let from = if purged { lost.last_seq + 1 } else { 0 };
        let owner = Owner::over(&case.bench, case.store.clone(), case.log(from), |_| {});
        case.goes_on(&owner, SEEN, from).await;
        if purged {
            // Nobody has these any more.
            case.bench.log.retain(|numbered| {
                let seq = numbered.entry.seq;
                seq < lost.first_seq || seq > lost.last_seq || numbered.entry.shard != case.shard
            });
            assert!(case.segments("burnt").await.is_empty());
        } else {
            assert!(!case.segments("burnt").await.is_empty(), "what lies behind it is written anew");
        }
        case.assert_exactly_once(place.path()).await;
        owner.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimer_that_dies_while_it_looks_through_the_store_is_followed_by_one_that_does_it_again() {
    let Some((postgres, s3)) = servers() else { return };
    let case = Case::new(&postgres, "dies", store(options(&s3, &s3.url()))).await;
    case.restore().await;
    let proxy = Proxy::start(&s3).await;
    let (gate, met) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let (hold, seen) = (gate.clone(), met.clone());
    proxy.rule(move |asked| {
        let reads = asked.method == "GET" && asked.target.contains(".parquet");
        if !reads {
            return Act::Pass;
        }
        seen.store(true, Ordering::Relaxed);
        Act::Hold(hold.clone())
    });
    let dies = Owner::start(&case.bench, store(options(&s3, &proxy.url())), |_| {});
    dies.claimed(case.claim(SEEN).await).await;
    eventually("it reads an object back", async || met.load(Ordering::Relaxed)).await;
    drop(dies);
    gate.cancel();
    // Its announcement stands in the place of the one that told of the restore.
    let last = Owner::start(&case.bench, case.store.clone(), |_| {});
    case.goes_on(&last, Seen::default(), 0).await;
    assert!(case.segments("committed").await.is_superset(&case.committed));
    assert!(case.segments("burnt").await.is_empty());
    // One that comes after it finds nothing to be done, and passes over the same.
    case.goes_on(&last, Seen::default(), 0).await;
    let folder = tempfile::tempdir().unwrap();
    download(&s3, folder.path()).await;
    case.assert_exactly_once(folder.path()).await;
    last.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_passes_over_what_was_taken_up_may_die_before_its_position_is_there() {
    let Some(postgres) = Postgres::start() else { return };
    let (place, below) = folder();
    let case = Case::new(&postgres, "passes", below).await;
    case.restore().await;
    let first = Owner::start(&case.bench, case.store.clone(), |_| {});
    first.claimed(case.claim(SEEN).await).await;
    eventually("they are taken up", async || case.segments("committed").await == case.committed).await;
    assert_eq!(case.bench.position(case.shard).await, case.backed_up, "the position waits for the log");
    drop(first);
    let next = Owner::start(&case.bench, case.store.clone(), |_| {});
    case.goes_on(&next, Seen::default(), 0).await;
    case.assert_exactly_once(place.path()).await;
    next.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_finds_its_position_lower_has_the_next_claim_look_through_the_store() {
    let Some(postgres) = Postgres::start() else { return };
    let (place, below) = folder();
    let case = Case::new(&postgres, "astray", below).await;
    let owner = Owner::start(&case.bench, case.store.clone(), |_| {});
    let claim = case.claim(Seen::default()).await;
    owner.claimed(claim).await;
    let log = case.log(case.reached + 1);
    let (some, more) = log.split_at(log.len() / 2);
    owner.entries(some.iter().cloned()).await;
    case.archived(some.last().unwrap().entry.seq).await;
    // A server took over that did not have the last commits: the epoch is the same.
    case.restore().await;
    let back = format!("UPDATE positions SET epoch = {} WHERE slice = $1 AND partition = $2", claim.epoch);
    let back = sqlx::query(sqlx::AssertSqlSafe(back)).bind(case.bench.slices.name(case.shard).to_owned());
    back.bind(i32::from(case.shard.partition)).execute(&case.bench.pool).await.unwrap();
    owner.entries(more.iter().cloned()).await;
    eventually("the shard is dropped", async || owner.handle.report.now().positions.is_empty()).await;
    case.goes_on(&owner, Seen::default(), 0).await;
    case.assert_exactly_once(place.path()).await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_lists_what_is_asked_for_however_much_there_is() {
    let Some((_, s3)) = servers() else { return };
    let (place, below) = folder();
    let file = place.path().join(".object");
    std::fs::write(&file, "x").unwrap();
    let stamp = Stamp::of(&file).unwrap();
    for store in [below, store(options(&s3, &s3.url()))] {
        assert_eq!(store.list("slice=a/", |_| true).await.unwrap(), Vec::<String>::new());
        let names = (0..1100).map(|n| format!("slice=a/date=2026-07-04/hour={:02}/{n:04}.parquet", n % 24));
        let names: BTreeSet<String> = names.collect();
        for name in names.iter().chain([&"slice=ab/other.parquet".to_owned()]) {
            assert_eq!(store.put_new(name, &file, &stamp).await.unwrap(), Put::New);
        }
        let listed: BTreeSet<String> = store.list("slice=a/", |_| true).await.unwrap().into_iter().collect();
        assert_eq!(listed, names);
        let some = store.list("slice=a/", |path| path.ends_with("1099.parquet")).await.unwrap();
        assert_eq!(some, ["slice=a/date=2026-07-04/hour=19/1099.parquet"]);
    }
}
