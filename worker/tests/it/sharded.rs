//! Several workers over one log and one database: whoever crashes, every event lands once and in order.

use crate::owners::eventually;
use crate::postgres::{Logging, assert_same, event_of, open, slices, worker};
use async_nats::{ConnectOptions, HeaderMap};
use futures_util::TryStreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use turbo_core::shard::Slices;
use turbo_sim::{World, WorldConfig};
use turbo_testkit::{Nats, Postgres};
use turbo_worker::live::Live;
use turbo_worker::log::nats::{Log, Options, Writer};
use turbo_worker::log::{Batch, Numbered};
use turbo_worker::ownership::{Announcements, Holder, Keeper, Member, Parts, View};
use turbo_worker::sinks::feed::{Order, Report, SinkHandle};
use turbo_worker::sinks::postgres::{Committer, Database};
use turbo_worker::sinks::sqlite;

const LIMIT: Duration = Duration::from_millis(2000);

/// A worker of this test; dropping its tasks is a crash.
pub struct Running {
    name: String,
    stop: CancellationToken,
    pub live: Arc<Live>,
    tasks: [JoinHandle<()>; 3],
}

impl Running {
    pub async fn start(nats: &Nats, postgres: &Postgres, slices: &Arc<Slices>, name: &str) -> Self {
        Self::start_with(nats, postgres, slices, name, Vec::new()).await
    }

    async fn start_with(
        nats: &Nats,
        postgres: &Postgres,
        slices: &Arc<Slices>,
        name: &str,
        sinks: Vec<SinkHandle>,
    ) -> Self {
        Self::start_at(nats, &postgres.url(), slices, name, sinks).await
    }

    pub async fn start_at(
        nats: &Nats,
        postgres: &str,
        slices: &Arc<Slices>,
        name: &str,
        sinks: Vec<SinkHandle>,
    ) -> Self {
        let (log, me) = (log(nats).await, worker(name));
        let database = Database::open(postgres, 2).unwrap();
        let beside = sinks.iter().map(|sink| sink.name).collect();
        let wanted = database.introduce("test", "posts rest", slices, beside, None, true).await.unwrap();
        let announcements = Announcements::default();
        let keeper = Keeper::new(log.clone(), slices.clone(), database.clone(), announcements.clone());
        let weights = slices.shards().map(|shard| (shard, 1)).collect();
        let member = Member::new(&log, &me, weights, "catalog", LIMIT, Box::new(|| bytes::Bytes::from_static(b"{}")));
        let (to, view) = watch::channel(View::default());
        let stop = CancellationToken::new();
        let live = Arc::new(Live::sharded("test", false, true, 0));
        let parts = Parts {
            log,
            slices: slices.clone(),
            committer: Committer::new(database.clone(), slices.clone()),
            hydrator: None,
            epochs: watch::Sender::default(),
            database,
            wanted,
            went_back: Arc::default(),
            sinks,
            me,
            live: live.clone(),
            announcements,
        };
        let holder = Holder::new(parts, stop.clone());
        // The holder goes first: it releases while its worker still lives.
        let released = CancellationToken::new();
        let (after, kept) = (released.clone(), released.clone());
        let tasks = [
            tokio::spawn(async move {
                holder.run(view).await;
                after.cancel();
            }),
            tokio::spawn(async move { member.run(to, released).await }),
            tokio::spawn(async move { keeper.run(kept).await }),
        ];
        Self { name: name.to_owned(), stop, live, tasks }
    }

    fn crash(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    pub async fn end(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

pub async fn log(nats: &Nats) -> Log {
    let options = Options {
        url: nats.url(),
        namespace: "test".into(),
        pipeline: "bluesky".into(),
        slices: "posts rest".into(),
        replicas: 1,
        max_bytes: 1 << 30,
    };
    Log::open(&options, ConnectOptions::new()).await.unwrap()
}

/// Waits until every shard's position is the last message of its log.
pub async fn caught_up(log: &Log, database: &Database, slices: &Slices) {
    for shard in slices.shards() {
        let last = log.last_of(slices, shard).await.unwrap();
        let mut position = 0;
        for _ in 0..2400 {
            position = database.row(slices, shard).await.unwrap().position;
            if position == last {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(position, last, "{shard:?} is at {:?}", database.row(slices, shard).await.unwrap());
    }
}

/// Waits until a worker owns a shard, so that its crash leaves one behind.
async fn owns_something(database: &Database, slices: &Slices, name: &str) {
    eventually("it owns something", async || owned(database, slices, name).await > 0).await;
}

async fn owns_everything(database: &Database, slices: &Slices, name: &str) {
    let all = slices.shards().count();
    eventually("it owns everything", async || owned(database, slices, name).await == all).await;
}

async fn owned(database: &Database, slices: &Slices, name: &str) -> usize {
    let rows = database.rows(slices).await.unwrap();
    rows.values().filter(|row| row.owner == Some(worker(name))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_crashes_every_event_lands_once_and_in_order() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let file = Arc::new(sqlite::Database::open(&path).await.unwrap());
    let claims = file.claim("test", &slices).await.unwrap().claims;
    let mut expected = sqlite::Committer::new(file, slices.clone(), &claims, None);

    let log = log(&nats).await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let config = WorldConfig { accounts: 80, nasty: 0.0, resyncs: 0.002, removals: 0.002, ..WorldConfig::seeded(11) };
    let (mut world, mut logging) = (World::new(config), Logging::default());
    let mut running = Vec::new();
    for round in 0..12u64 {
        // Two crash and one leaves in good order, in turns; two or three are there.
        match round % 4 {
            0 => running.push(Running::start(&nats, &postgres, &slices, &format!("w{round}")).await),
            1 => running.push(Running::start(&nats, &postgres, &slices, &format!("w{round}")).await),
            2 if running.len() > 1 => {
                let crashing = running.remove(0);
                owns_something(&database, &slices, &crashing.name).await;
                crashing.crash();
            }
            _ if running.len() > 1 => running.remove(0).end().await,
            _ => {}
        }
        for _ in 0..10 {
            let entries: Vec<Numbered> = (0..40).flat_map(|_| logging.log(&slices, event_of(&world.next()))).collect();
            let entries: Vec<_> = entries.into_iter().map(|numbered| numbered.entry).collect();
            writer.append(&entries, |why| eprintln!("{why}")).await.unwrap();
            expected.commit(&Batch { entries, ..Batch::default() }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20 + 17 * (round % 3))).await;
        }
    }
    caught_up(&log, &database, &slices).await;
    for running in running {
        running.end().await;
    }
    let mut moved = false;
    for shard in slices.shards() {
        let row = database.row(&slices, shard).await.unwrap();
        assert_eq!(row.owner, None, "who leaves in good order releases");
        moved |= row.epoch > 1;
    }
    assert!(moved, "what a crashed worker owned was taken over");
    assert_same(&path, &postgres.url(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_of_one_that_crashed_go_on_within_a_few_limits() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let log = log(&nats).await;
    let first = Running::start(&nats, &postgres, &slices, "first").await;
    owns_everything(&database, &slices, "first").await;
    first.crash();
    let second = Running::start(&nats, &postgres, &slices, "second").await;
    owns_everything(&database, &slices, "second").await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(3) });
    let mut logging = Logging::default();
    let entries = (0..500).flat_map(|_| logging.log(&slices, event_of(&world.next())));
    let entries: Vec<_> = entries.map(|numbered| numbered.entry).collect();
    writer.append(&entries[..entries.len().min(900)], |_| {}).await.unwrap();
    caught_up(&log, &database, &slices).await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_stop_during_an_outage_commits_nothing_behind_what_it_gave_up() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let pool = sqlx::PgPool::connect(&postgres.url()).await.unwrap();
    let log = log(&nats).await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(5) });
    let mut logging = Logging::default();
    let mut cuts = 0;
    for round in 0..6 {
        let running = Running::start(&nats, &postgres, &slices, &format!("w{round}")).await;
        caught_up(&log, &database, &slices).await;
        owns_something(&database, &slices, &running.name).await;
        // Commits wait for this lock, while the rows of the shards can be read.
        let mut lock = pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE counters").execute(&mut *lock).await.unwrap();
        for _ in 0..3 {
            let entries = (0..200).flat_map(|_| logging.log(&slices, event_of(&world.next())));
            let entries: Vec<_> = entries.map(|numbered| numbered.entry).collect();
            writer.append(&entries, |why| eprintln!("{why}")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let waiting = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
        // The commit is cut off when it is told to stop; what comes next would not be.
        running.stop.cancel();
        let mut cut: i64 = 0;
        for _ in 0..200 {
            cut = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
            if cut > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        lock.rollback().await.unwrap();
        running.end().await;
        cuts += cut;
        let holes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(p.number - c.entries), 0)::bigint FROM positions p JOIN counters c USING (slice, partition)
             WHERE p.sink = 'postgres'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(holes, 0, "the position has moved over what was given up");
    }
    assert!(cuts > 0, "no commit was cut off in any round");
}

/// A sink whose queue holds one order. One that stands still takes none until the test is over.
fn sink(stands_still: bool) -> SinkHandle {
    let (orders, mut taken) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        if stands_still {
            std::future::pending::<()>().await;
        }
        while let Some(order) = taken.recv().await {
            if let Order::Release(_, done) = order {
                let _ = done.send(());
            }
        }
    });
    SinkHandle { name: "archive", orders, report: Report::default(), task }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_stands_still_holds_its_worker_and_no_move() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let log = log(&nats).await;
    let first = Running::start_with(&nats, &postgres, &slices, "first", vec![sink(true)]).await;
    owns_everything(&database, &slices, "first").await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(9) });
    let mut logging = Logging::default();
    for _ in 0..30 {
        let entries = (0..20).flat_map(|_| logging.log(&slices, event_of(&world.next())));
        let entries: Vec<_> = entries.map(|numbered| numbered.entry).collect();
        writer.append(&entries, |why| eprintln!("{why}")).await.unwrap();
    }
    eventually("the sink holds", async || first.live.stats().summary.starts_with("held: the archive")).await;
    let second = Running::start_with(&nats, &postgres, &slices, "second", vec![sink(false)]).await;
    owns_something(&database, &slices, "second").await;
    first.crash();
    caught_up(&log, &database, &slices).await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_another_program_holds_its_shard_until_somebody_removes_it() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let log = log(&nats).await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    let mut world = World::new(WorldConfig { nasty: 0.0, ..WorldConfig::seeded(21) });
    let mut logging = Logging::default();
    let mut append = async |writer: &mut Writer| {
        let entries = (0..200).flat_map(|_| logging.log(&slices, event_of(&world.next())));
        let entries: Vec<_> = entries.map(|numbered| numbered.entry).collect();
        let shard = entries[0].shard;
        writer.append(&entries, |why| eprintln!("{why}")).await.map(|()| shard)
    };
    let shard = append(&mut writer).await.unwrap();
    let context = async_nats::jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let subject = format!("tp.test.bluesky.{}.{}", slices.name(shard), shard.partition);
    let last_of_shard = log.last_of(&slices, shard).await.unwrap();
    let foreign = context.publish(subject.clone(), "hello".into()).await.unwrap().await.unwrap().sequence;
    assert!(append(&mut writer).await.is_err(), "the log has another end than the writer wrote");
    let why = log.tail(&slices).await.err().unwrap().to_string();
    assert!(
        why.starts_with(&format!("message {foreign} of the log: ")) && why.ends_with("remove it (nats stream rmm)")
    );

    // What follows it is as it should be: an owner that passed over the stranger would take it.
    let stream = context.get_stream("tp_test_bluesky").await.unwrap();
    let last = stream.get_raw_message(last_of_shard).await.unwrap();
    let mut headers = HeaderMap::new();
    for (name, values) in last.headers.iter().filter(|(name, _)| name.to_string().starts_with("Turbo-")) {
        values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
    }
    let number: u64 = last.headers.get("Turbo-N").unwrap().as_str().parse().unwrap();
    headers.insert("Turbo-N", (number + 1).to_string());
    context.publish_with_headers(subject.clone(), headers, last.payload).await.unwrap().await.unwrap();

    let running = Running::start(&nats, &postgres, &slices, "one").await;
    let position = async || database.row(&slices, shard).await.unwrap().position;
    eventually("the shard is read up to the message", async || position().await == last_of_shard).await;
    let readers = async || {
        let consumers: Vec<_> = stream.consumers().try_collect().await.unwrap();
        let of_shard = consumers.into_iter().filter(|consumer| consumer.config.filter_subject == subject);
        of_shard.map(|consumer| consumer.name).collect::<BTreeSet<_>>()
    };
    let first = readers().await;
    eventually("it was met, and is looked at again", async || readers().await.difference(&first).next().is_some())
        .await;
    assert_eq!(position().await, last_of_shard, "nothing behind it is taken");
    let error = || running.live.stats().log.error;
    assert!(error().is_some_and(|error| error.contains(&format!("message {foreign} of the log"))), "{:?}", error());
    assert!(stream.delete_message(foreign).await.unwrap());
    eventually("it is no longer told of", async || error().is_none()).await;
    let mut writer = Writer::new(log.clone(), slices.clone(), &log.tail(&slices).await.unwrap());
    append(&mut writer).await.unwrap();
    caught_up(&log, &database, &slices).await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sink_drops_by_itself_is_claimed_anew() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    let slices = slices();
    let database = open(&postgres.url(), &slices).await;
    let sink = sink(false);
    let report = sink.report.clone();
    let running = Running::start_with(&nats, &postgres, &slices, "one", vec![sink]).await;
    owns_everything(&database, &slices, "one").await;
    let rows = database.rows(&slices).await.unwrap();
    let shard = *rows.keys().next().unwrap();
    let epoch = rows[&shard].epoch;
    // What was dropped under an earlier claim is long since claimed anew.
    report.dropped(shard, epoch - 1);
    report.dropped(*rows.keys().next_back().unwrap(), rows[rows.keys().next_back().unwrap()].epoch - 1);
    report.dropped(shard, epoch);
    eventually("it is claimed anew", async || {
        let row = database.row(&slices, shard).await.unwrap();
        row.epoch == epoch + 1 && row.owner == Some(worker("one"))
    })
    .await;
    let now = database.rows(&slices).await.unwrap();
    let others = |rows: &std::collections::BTreeMap<_, turbo_core::ownership::Row>| {
        rows.iter().filter(|(other, _)| **other != shard).map(|(_, row)| row.epoch).collect::<Vec<_>>()
    };
    assert_eq!(others(&now), others(&rows), "and nothing else is");
    running.end().await;
}
