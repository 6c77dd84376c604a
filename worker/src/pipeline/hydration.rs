//! Hydration as the pipeline file asks for it.

use crate::hydration::cache::Cache;
use crate::hydration::client::AppView;
use crate::hydration::completer::{Completer, Keep, Queue};
use crate::hydration::fetcher::{Fetcher, Handle};
use crate::hydration::hydrator::{Hydrator, Targets};
use crate::hydration::pacer::Shared;
use crate::hydration::references::Target;
use crate::hydration::report::Report;
use crate::hydration::session::Credentials;
use crate::hydration::shared::SharedCache;
use crate::secrets;
use crate::sources::jetstream::client_config;
use anyhow::{Context, anyhow};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::budget::Share;
use turbo_crds::{Hydrate, TurboPipelineSpec};

const PASSWORD: &str = "spec.hydration.session.passwordFrom";

/// For a connection: a host that is not reached is told apart from one that does not answer.
const CONNECT: Duration = Duration::from_secs(5);
/// When a source has ended and so long nothing is completed, what waits is left to the next start: longer than a host that fails
/// is left alone.
const QUIET: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(500);
/// Between two words on what waits.
const TELL: Duration = Duration::from_secs(10);

/// What looks up for the records of this process. Nobody is asked any more when it is dropped.
pub(super) struct Hydration {
    pub(super) hydrator: Hydrator,
    pub(super) report: Report,
    /// This process's share of the budget.
    pub(super) share: Shared,
    keep: Keep,
    _fetching: AbortOnDropHandle<()>,
}

impl Hydration {
    /// Begins to look up; `None` where no slice asks for anything.
    ///
    /// # Errors
    /// A certificate is missing, or is none; an address is none.
    pub(super) fn begin(
        spec: &TurboPipelineSpec,
        secrets: Option<&Path>,
        share: Share,
        shared: Option<SharedCache>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(options) = spec.hydration() else { return Ok(None) };
        let slices = slices(spec);
        let hosts = hosts(&options, secrets)?;
        let report = Report::default();
        let cache = Arc::new(Cache::new(options.cache.bytes()));
        let handle = Handle::new(cache.clone());
        let share = Shared::new(share);
        let (rate, share_of) = (options.requests_per_second, share.clone());
        let fetcher = Fetcher::new(handle.clone(), hosts, rate, share_of, report.clone()).sharing(shared);
        let _fetching = AbortOnDropHandle::new(tokio::spawn(fetcher.run(CancellationToken::new())));
        let keep = Keep { records: options.queue.records, age: options.queue.age.as_std() };
        Ok(Some(Self { hydrator: Hydrator::new(cache, handle, slices), report, share, keep, _fetching }))
    }

    /// Completes what waits in this queue, until it is dropped.
    pub(super) fn complete(&self, queue: impl Queue + 'static) -> AbortOnDropHandle<()> {
        let completer = Completer::new(queue, self.hydrator.clone(), self.keep, self.report.clone());
        AbortOnDropHandle::new(tokio::spawn(completer.run(CancellationToken::new())))
    }
}

/// Where the source has ended nothing more comes: waits until nothing waits in the queue, or nothing was completed for a while.
pub(super) async fn completed(queue: &impl Queue) {
    let (mut least, mut since, mut told) = (u64::MAX, Instant::now(), Instant::now());
    loop {
        let waiting = match queue.depth().await {
            Ok((0, _)) => return,
            Ok((waiting, _)) => waiting,
            Err(error) => return tracing::warn!(%error, "records may still lack something of what they point at"),
        };
        if waiting < least {
            (least, since) = (waiting, Instant::now());
        }
        if since.elapsed() >= QUIET {
            tracing::warn!(
                "{waiting} records still lack something of what they point at, and none of them was completed for {QUIET:?}; \
                 the next start goes on with them"
            );
            return;
        }
        if told.elapsed() >= TELL {
            tracing::info!("the source has ended; {waiting} records wait to be completed");
            told = Instant::now();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What each slice looks up.
fn slices(spec: &TurboPipelineSpec) -> Vec<Targets> {
    spec.slices.iter().map(|slice| slice.hydrate.as_ref().map(targets).unwrap_or_default()).collect()
}

/// The slices that look anything up.
pub(super) fn hydrating(spec: &TurboPipelineSpec) -> BTreeSet<u16> {
    (0..).zip(slices(spec)).filter(|(_, targets)| !targets.is_empty()).map(|(slice, _)| slice).collect()
}

/// How long an answer counts at most.
pub(super) fn longest(spec: &TurboPipelineSpec) -> Duration {
    slices(spec).iter().flat_map(Targets::values).max().copied().unwrap_or_default()
}

fn hosts(options: &turbo_crds::Hydration, secrets: Option<&Path>) -> anyhow::Result<Vec<AppView>> {
    let ca = options.ca_from.as_ref().map(|from| secrets::read("spec.hydration.caFrom", from, secrets)).transpose()?;
    let tls = client_config(ca.as_deref()).context("spec.hydration.caFrom")?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .user_agent(concat!("turbo/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .build()
        .context("spec.hydration: no client can be made")?;
    let credentials = credentials(options, secrets)?;
    let host = |(at, host): (usize, &String)| {
        let url = host.parse().with_context(|| format!("spec.hydration.hosts[{at}]: {host}"))?;
        Ok(AppView::new(client.clone(), url).asked_by(credentials.clone()))
    };
    options.hosts.iter().enumerate().map(host).collect()
}

fn credentials(options: &turbo_crds::Hydration, secrets: Option<&Path>) -> anyhow::Result<Credentials> {
    if let Some(tokens) = &options.tokens {
        let url: url::Url = tokens.url.parse().with_context(|| format!("spec.hydration.tokens.url: {}", tokens.url))?;
        return Ok(Credentials::Service(url));
    }
    let Some(session) = &options.session else { return Ok(Credentials::Anonymous) };
    let (reference, folder) = (session.password_from.clone(), secrets.map(Path::to_owned));
    let read = move || -> Result<String, String> {
        let bytes = secrets::read(PASSWORD, &reference, folder.as_deref()).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{PASSWORD}: is no text; give an app password"))?;
        match text.trim() {
            "" => Err(format!("{PASSWORD}: is empty; give an app password")),
            text => Ok(text.to_owned()),
        }
    };
    // What is missing shows at the start.
    read().map_err(|error: String| anyhow!(error))?;
    Ok(Credentials::Account { identifier: session.identifier.clone(), password: Arc::new(read) })
}

fn targets(hydrate: &Hydrate) -> Targets {
    let all = [
        (Target::Author, hydrate.author),
        (Target::Mentions, hydrate.mentions),
        (Target::Reply, hydrate.reply),
        (Target::Quote, hydrate.quote),
        (Target::Subject, hydrate.subject),
    ];
    all.into_iter().filter_map(|(target, ttl)| Some((target, ttl?.as_std()))).collect()
}
