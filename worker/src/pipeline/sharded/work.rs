//! A worker: a member that beats and plans, a holder that owns shards, a keeper that announces and purges.

use super::hydrating::{hydrate, shared};
use super::open::{Opened, Setting, URL};
use super::sinks;
use crate::http::Startup;
use crate::live::Live;
use crate::log::nats::Log;
use crate::ownership::{Announcements, Holder, Keeper, Member, Parts, View};
use crate::pipeline::hydration::{Hydration, hydrating};
use crate::signals::Ending;
use crate::sinks::postgres::projections::{Backfill, BackfillOptions};
use crate::sinks::postgres::{Committer, Retention, Upkeep, UpkeepOptions};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::budget::Share;
use turbo_core::shard::Slices;

/// How often it is looked at what waits in the log.
const LOOK: Duration = Duration::from_secs(5);

/// For how long the bucket may take nothing before that is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Works until the token fires, then releases everything, within the drain.
///
/// # Errors
/// A sink can not be set up, or a task ended unexpectedly.
pub(super) async fn run(
    setting: &Setting,
    opened: &Opened,
    live: &Arc<Live>,
    startup: &Startup,
    ending: &Ending,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let workers = &setting.spec.workers;
    let (slices, log, database) = (&setting.slices, &opened.log, &opened.database);
    let weights = slices.shards().map(|shard| (shard, 1)).collect();
    let report = report(live.clone());
    let shared = tokio::select! {
        shared = shared(setting, log, live) => shared?,
        () = stop.cancelled() => return Ok(()),
    };
    let hydration = Hydration::begin(&setting.spec, setting.secrets.as_deref(), Share::default(), shared.clone())?;
    let share = hydration.as_ref().map(|hydration| hydration.share.clone());
    let member = Member::new(log, &opened.me, weights, &opened.catalog, workers.lease.as_std(), report);
    let member = member.with_share(share);
    let went_back = Arc::<Notify>::default();
    let _upkeep = upkeep(setting, opened, &went_back, stop);
    let announcements = Announcements::default();
    let keeper = Keeper::new(log.clone(), slices.clone(), database.clone(), announcements.clone());
    let Some(sinks) = sinks::start(setting, opened, live, stop).await? else { return Ok(()) };
    // The last step: whoever is refused for anything else has taken nobody's place.
    tokio::select! {
        taken = opened.take_place(setting, live) => taken?,
        () = stop.cancelled() => return Ok(()),
    }
    let (epochs, owned) = watch::channel(BTreeMap::new());
    let looking_up = hydration.map(|hydration| hydrate(hydration, setting, opened, live, owned, shared));
    let parts = Parts {
        log: log.clone(),
        slices: slices.clone(),
        database: database.clone(),
        committer: Committer::new(database.clone(), slices.clone())
            .with_projections(&opened.projections)?
            .with_hydration(hydrating(&setting.spec)),
        hydrator: looking_up.as_ref().map(|hydrating| hydrating.hydrator.clone()),
        epochs,
        wanted: opened.wanted.clone(),
        went_back,
        sinks,
        me: opened.me.clone(),
        live: live.clone(),
        announcements,
    };
    let (to, view) = watch::channel(View::default());
    let replaced = replaced(view.clone(), &opened.catalog);
    // The holder goes first: it releases while its worker still lives.
    let released = CancellationToken::new();
    let member = tokio::spawn(member.run(to, released.clone()));
    let keeper = tokio::spawn(keeper.run(released.clone()));
    live.began();
    startup.done();
    let holder = AbortOnDropHandle::new(tokio::spawn(Holder::new(parts, stop.clone()).run(view)));
    let held = tokio::select! {
        held = holder => held.map_err(Into::into),
        why = replaced => Err(why),
        () = ending.passed(workers.drain.as_std()) => {
            tracing::warn!("not everything was finished within spec.workers.drain; the next owners read it again");
            Ok(())
        }
    };
    // Also where the holder has failed: a worker that beats keeps others from its shards.
    released.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(5), async { tokio::join!(member, keeper) }).await;
    held
}

/// Waits until the bucket says another catalog than this worker's; why the worker is to end.
async fn replaced(mut view: watch::Receiver<View>, mine: &str) -> anyhow::Error {
    match view.wait_for(|view| view.replaced_by.is_some()).await.map(|view| view.replaced_by.clone()) {
        Ok(theirs) => anyhow::anyhow!(
            "{URL}: workers with another database (catalog {}) have taken the place of this one's (catalog {mine}); give all \
             workers the same",
            theirs.unwrap_or_default()
        ),
        Err(_) => std::future::pending().await,
    }
}

/// What goes on in the database beside the commits: tombstones and what retention names go, projections that are new are
/// filled. Each of them runs in one worker at a time, whoever that is.
fn upkeep(
    setting: &Setting,
    opened: &Opened,
    went_back: &Arc<Notify>,
    stop: &CancellationToken,
) -> [AbortOnDropHandle<()>; 2] {
    let retention = setting.spec.sinks.postgres.iter().flat_map(|postgres| &postgres.retention);
    let retention =
        retention.map(|one| Retention { collections: one.collections.clone(), age: one.age.as_std() }).collect();
    let upkeep = Upkeep::new(opened.database.clone(), UpkeepOptions { retention, ..UpkeepOptions::default() });
    let (projections, generation) = (sinks::projections(&setting.spec), setting.generation);
    let (went_back, stop) = (went_back.clone(), stop.clone());
    let backfill = Backfill::new(opened.database.clone(), BackfillOptions::default());
    let stopped = stop.clone();
    let filling = async move { backfill.keep(&projections, generation, &went_back, stopped).await };
    [AbortOnDropHandle::new(tokio::spawn(upkeep.run(stop.clone()))), AbortOnDropHandle::new(tokio::spawn(filling))]
}

/// Looks now and then whether the log answers, and its bucket takes what is written, and at what waits, so that a worker that
/// is held says how much: where the process reads the source, the gate knows it.
pub(super) async fn watch_log(log: Log, slices: Arc<Slices>, reads: bool, live: Arc<Live>) {
    loop {
        let answer = if reads {
            log.end().await.map(drop)
        } else {
            log.depths(&slices).await.map(|depths| live.waiting(depths.values().map(|depth| depth.waiting).sum()))
        };
        if answer.is_err() {
            log.bucket_is_away();
        }
        live.bucket_refuses(log.names.bucket(), log.bucket_refuses(PATIENCE));
        live.log_away(answer.err().map(|error| error.to_string()));
        tokio::time::sleep(LOOK).await;
    }
}

/// What a heartbeat says of this worker, as JSON: shards owned, rate, lag, error, one sentence.
fn report(live: Arc<Live>) -> Box<dyn Fn() -> Bytes + Send> {
    Box::new(move || {
        let stats = live.stats();
        let report = serde_json::json!({
            "shards": stats.shards.len(),
            "committed_per_second": stats.rates.committed,
            "lag_seconds": stats.source.lag_seconds,
            "error": stats.sinks.iter().find_map(|sink| sink.error.clone()).or(stats.log.error),
            "summary": stats.summary,
        });
        report.to_string().into()
    })
}
