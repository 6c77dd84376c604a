//! Ingest over a shared log: one active reader, the others stand by.
//!
//! The lease says who should read; the log says who does: a batch behind another writer's is refused whole, and the
//! writer stands back and begins anew from the log's end.

use super::beginning::{self, Beginning};
use super::gate::{self, Gate};
use super::open::{Opened, Setting};
use crate::ingest::{Ended, Ingest, Start};
use crate::live::Live;
use crate::log::embedded::{self, Appender};
use crate::log::nats::{Lease, Refused, Tail, Writer, feed};
use crate::pipeline::source::{OpenSource, given};
use crate::signals::Ending;
use crate::sources::Source;
use crate::telemetry::events;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::shard::Slices;

/// The key of the lease.
const LEASE: &str = "lease.ingest";
/// How long the writing may take to finish where another process reads by now.
const FINISH: Duration = Duration::from_secs(5);
/// How long one waits that was refused, or that could not read the log's end.
const AGAIN: Duration = Duration::from_secs(1);

/// How being active ended.
enum Over {
    Ended(Ended),
    Stopped,
    Lost(String),
}

/// Reads the source whenever the lease is ours, until the source has ended or the token fires.
///
/// # Errors
/// The source can not be opened.
pub(super) async fn run(
    setting: &Setting,
    opened: &Opened,
    live: &Arc<Live>,
    ending: &Ending,
    stop: &CancellationToken,
) -> anyhow::Result<Option<Ended>> {
    // What can be refused is refused at once, also where another process is active.
    drop(OpenSource::open(&setting.spec, setting.secrets.as_deref())?);
    let term = setting.spec.workers.lease.as_std();
    let mut lease = Lease::new(opened.log.clone(), LEASE, opened.me.as_str(), term);
    let ended = loop {
        if !standby(&mut lease, live, stop).await {
            break None;
        }
        tracing::info!("this process reads the source");
        match active(setting, opened, live, &mut lease, ending, stop).await? {
            Over::Ended(ended) => break Some(ended),
            Over::Stopped => break None,
            Over::Lost(why) => {
                live.standing_by(&why);
                tokio::time::sleep(AGAIN).await;
            }
        }
    };
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "the lease of ingest runs out by itself");
    }
    Ok(ended)
}

/// Waits until the lease is ours. Returns false when the token fires first.
async fn standby(lease: &mut Lease, live: &Live, stop: &CancellationToken) -> bool {
    loop {
        match lease.keep().await {
            Ok(true) => return true,
            Ok(false) => live.standing_by("another process reads the source"),
            Err(error) => tracing::debug!(%error, "the lease of ingest is not to be had"),
        }
        tokio::select! {
            () = tokio::time::sleep(lease.term() / 5) => {}
            () = stop.cancelled() => return false,
        }
    }
}

/// Reads from where the log ends, for as long as the lease is ours and nobody else writes.
async fn active(
    setting: &Setting,
    opened: &Opened,
    live: &Arc<Live>,
    lease: &mut Lease,
    ending: &Ending,
    stop: &CancellationToken,
) -> anyhow::Result<Over> {
    let (log, slices) = (&opened.log, &setting.slices);
    // To read the end of a large log takes longer than a lease lasts.
    let began = tokio::select! {
        began = beginning::beginning(opened, slices, live) => began,
        why = lost(lease) => return Ok(Over::Lost(why.into())),
        () = stop.cancelled() => return Ok(Over::Stopped),
    };
    let tail = match began {
        Ok(Beginning::At(tail)) => *tail,
        Ok(Beginning::NotYet(why)) => return Ok(Over::Lost(why.into())),
        Err(error) => {
            let why = format!("the end of the log can not be read: {error}");
            tracing::warn!("{why}");
            return Ok(Over::Lost(why));
        }
    };
    live.active(tail.position.as_ref(), &tail.window);
    let gaps = slices.of_unreadable();
    let mut writer = Writer::new(log.clone(), slices.clone(), &tail);
    let (appender, queue) = embedded::log(setting.spec.log_max_bytes().bytes());
    let gate = Arc::new(Gate::new(setting, live.clone()));
    let watching = AbortOnDropHandle::new(tokio::spawn(gate::watch(gate.clone(), log.clone(), slices.clone())));
    let feeding = tokio::spawn(async move { feed(queue, &mut writer, gaps, &*gate).await });
    let Tail { position, window, last_seq: seq, rejoined, event_us, .. } = tail;
    let start = Start { position, window, seq, rejoined, event_us };
    let over = tokio::select! {
        ended = read_source(setting, start, appender, live.clone()) => Over::Ended(ended?),
        why = lost(lease) => Over::Lost(why.into()),
        () = stop.cancelled() => Over::Stopped,
    };
    // The reader is gone, and with it the queue's other side: what was read is written, and then the feed ends.
    let over = match (finished(feeding, setting, ending, &over).await, over) {
        (Some(Ok(Err(Refused))), _) => {
            events::LogRefused.emit();
            Over::Lost("another process has written to the log".into())
        }
        (Some(Err(error)), _) => return Err(error.into()),
        (_, over) => over,
    };
    drop(watching);
    Ok(over)
}

/// Waits for the feed: until the process has to end, or for a moment where another one reads by now.
async fn finished(
    feeding: tokio::task::JoinHandle<Result<(), Refused>>,
    setting: &Setting,
    ending: &Ending,
    over: &Over,
) -> Option<Result<Result<(), Refused>, JoinError>> {
    let feeding = AbortOnDropHandle::new(feeding);
    let given_up = async {
        match over {
            Over::Lost(_) => tokio::time::sleep(FINISH).await,
            Over::Ended(_) | Over::Stopped => ending.passed(setting.spec.workers.drain.as_std()).await,
        }
    };
    tokio::select! {
        fed = feeding => Some(fed),
        () = given_up => None,
    }
}

async fn read_source(setting: &Setting, start: Start, log: Appender, live: Arc<Live>) -> anyhow::Result<Ended> {
    let (slices, given) = (setting.slices.clone(), given(&setting.spec));
    Ok(match OpenSource::open(&setting.spec, setting.secrets.as_deref())? {
        OpenSource::Jetstream(source) => ingest(*source, start, slices, log, live, given).await,
        OpenSource::Recording(source) => ingest(source, start, slices, log, live, given).await,
    })
}

async fn ingest<S: Source>(
    source: S,
    start: Start,
    slices: Arc<Slices>,
    log: Appender,
    live: Arc<Live>,
    given: Option<u64>,
) -> Ended {
    Ingest::new(source, start, slices, log, live, given).run().await
}

/// Keeps the lease; ends when it is another's.
async fn lost(lease: &mut Lease) -> &'static str {
    loop {
        tokio::time::sleep(lease.term() / 5).await;
        match lease.keep().await {
            Ok(true) => {}
            Ok(false) => return "another process has the lease",
            // Whether it is held is not known; the log refuses whoever is second.
            Err(error) => tracing::debug!(%error, "the lease of ingest is not renewed for now"),
        }
    }
}
