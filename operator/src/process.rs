//! One process of the operator: it gets the Lease, and acts while it has it.

use crate::cli::Run;
use crate::controller::{self, Context};
use crate::http::Server;
use crate::lease::{Lease, Options};
use crate::logging::Levels;
use crate::served::Served;
use crate::telemetry;
use anyhow::Context as _;
use kube::Client;
use metrics::gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long reconciles that are under way may take to end.
const END: Duration = Duration::from_secs(10);

/// Runs until a signal comes.
///
/// # Errors
/// The API server is not reached, or the Lease was lost: then the process begins anew, as one that stands by.
pub(crate) async fn run(options: &Run, levels: Levels) -> anyhow::Result<()> {
    let stop = signals()?;
    let metrics = telemetry::metrics()?;
    let ready = Arc::new(AtomicBool::new(false));
    let (server, address) =
        Server::start(options.listen, ready.clone(), metrics.clone(), levels).with_context(|| {
            format!("--listen (TURBO_LISTEN): {}: give an address and a port that are free", options.listen)
        })?;
    tracing::info!("health and metrics at http://{address}");
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            metrics.run_upkeep();
        }
    });
    let outcome = act(options, &ready, &stop).await;
    upkeep.abort();
    server.stop().await;
    outcome
}

async fn act(options: &Run, ready: &AtomicBool, stop: &CancellationToken) -> anyhow::Result<()> {
    let config =
        kube::Config::infer().await.context("no cluster: neither a kubeconfig nor a pod's account is there")?;
    let client = Client::try_from(config)?;
    let every = Duration::from_secs(options.discovery_seconds);
    let Some(served) = reached(&client, every, stop).await else { return Ok(()) };
    ready.store(true, Ordering::Relaxed);
    let lease_stop = CancellationToken::new();
    let (lease, mut leadership) = Lease::new(client.clone(), lease(options));
    let holding = tokio::spawn(lease.run(lease_stop.clone()));
    tokio::select! {
        _ = leadership.held() => {}
        () = stop.cancelled() => {}
    }
    let lost = if stop.is_cancelled() {
        false
    } else {
        gauge!(telemetry::LEADER).set(1.0);
        let context = Arc::new(Context::new(client, leadership.clone(), served, options.image.clone()));
        lead(options, context, leadership, stop).await
    };
    gauge!(telemetry::LEADER).set(0.0);
    // Given back after the last write.
    lease_stop.cancel();
    let _ = holding.await;
    anyhow::ensure!(
        !lost,
        "the Lease {} was lost: another operator acts, or the API server does not answer",
        options.lease
    );
    Ok(())
}

/// Waits for the API server; `None`: the token fired before.
async fn reached(client: &Client, every: Duration, stop: &CancellationToken) -> Option<Served> {
    while !stop.is_cancelled() {
        match Served::begin(client.clone(), every, stop.clone()).await {
            Ok(served) => return Some(served),
            Err(error) => tracing::warn!(%error, "the API server is not reached, and is waited for"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => {}
        }
    }
    None
}

/// One controller for each namespace, since one store fed by several watches would lose objects. Says whether the Lease was
/// lost.
async fn lead(
    options: &Run,
    context: Arc<Context>,
    mut leadership: crate::lease::Leadership,
    stop: &CancellationToken,
) -> bool {
    let ending = stop.child_token();
    let mut controllers = JoinSet::new();
    let namespaces: Vec<Option<String>> = match options.namespaces.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    for namespace in namespaces {
        controllers.spawn(controller::run(context.clone(), namespace, ending.clone()));
    }
    let lost = tokio::select! {
        () = leadership.lost() => true,
        () = stop.cancelled() => false,
        () = context.running.watch() => false,
    };
    ending.cancel();
    let _ = tokio::time::timeout(END, async { while controllers.join_next().await.is_some() {} }).await;
    lost
}

fn lease(options: &Run) -> Options {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "turbo-operator".to_owned());
    Options {
        namespace: options.namespace.clone(),
        name: options.lease.clone(),
        identity: options.identity.clone().unwrap_or_else(|| format!("{host}-{:08x}", rand::random::<u32>())),
        duration: Duration::from_secs(options.lease_seconds),
    }
}

/// A token that the first SIGTERM or SIGINT fires.
fn signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("a signal: reconciles under way come to their end");
        fired.cancel();
    });
    Ok(stop)
}
