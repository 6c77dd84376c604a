//! A pipeline of many processes: this one reads the source, owns shards, or both.

mod beginning;
mod certificate;
pub(super) mod connection;
mod gate;
mod hydrating;
mod ingest;
pub(super) mod open;
mod patience;
pub(super) mod sinks;
mod work;

use super::{Begun, Role};
use crate::http;
use crate::ingest::Ended;
use crate::live::Live;
use crate::signals::Ending;
use crate::telemetry::progress;
use anyhow::anyhow;
use open::Opened;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Runs this process's part until a signal comes, or the source has ended and everything is committed.
///
/// # Errors
/// A part can not be set up.
pub(super) async fn run(begun: Begun, role: Role) -> anyhow::Result<()> {
    let Begun { name, namespace, generation, spec, slices, secrets, stop, metrics, port } = begun;
    let max_bytes = spec.log_max_bytes().bytes();
    let live = Arc::new(Live::sharded(&name, role.reads(), role.works(), max_bytes));
    let startup = http::Startup::default();
    let server = http::Server::start(port, live.clone(), startup.clone(), metrics.clone(), stop.clone())?;
    tracing::info!(pipeline = name, "listening on http://{}", server.address());
    let setting = open::Setting { name, namespace, generation, spec, slices, secrets };
    let Some(opened) = Opened::open(&setting, role.works(), &live, &stop).await? else { return Ok(()) };
    if !role.works() {
        startup.done();
    }
    let _background = background(live.clone(), metrics);
    let watching = work::watch_log(opened.log.clone(), setting.slices.clone(), role.reads(), live.clone());
    let _watching = AbortOnDropHandle::new(tokio::spawn(watching));
    let _shown = AbortOnDropHandle::new(tokio::spawn(progress::show(live.clone(), None)));

    // What was read is committed, for as long as the signal's limit allows.
    let (done, ending) = (CancellationToken::new(), Ending::new(stop.clone()));
    let read = async {
        let read = match role.reads() {
            true => ingest::run(&setting, &opened, &live, &ending, &stop).await,
            false => idle(&stop).await,
        };
        if role == Role::Run && matches!(read, Ok(Some(Ended::Source))) {
            opened.all_is_committed(&setting.slices, &stop).await;
        }
        done.cancel();
        read
    };
    let worked = async {
        let worked = match role.works() {
            true => work::run(&setting, &opened, &live, &startup, &ending, &done).await,
            false => Ok(()),
        };
        if worked.is_err() {
            // Nothing goes on without it.
            stop.cancel();
        }
        worked
    };
    let (read, worked) = tokio::join!(read, worked);
    progress::clear();
    server.stop().await;
    let _ = tokio::time::timeout(Duration::from_secs(5), opened.database.close()).await;
    worked?;
    match read? {
        Some(Ended::OtherSource(why) | Ended::Broken(why)) => return Err(anyhow!(why)),
        Some(Ended::Source) => tracing::info!("the source was read to its end"),
        Some(Ended::Log(_)) | None => tracing::info!("ended in good order"),
    }
    Ok(())
}

async fn idle(stop: &CancellationToken) -> anyhow::Result<Option<Ended>> {
    stop.cancelled().await;
    Ok(None)
}

/// Samples for the rates, upkeep of metrics.
fn background(live: Arc<Live>, metrics: metrics_exporter_prometheus::PrometheusHandle) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            live.sample();
            metrics.run_upkeep();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }))
}
