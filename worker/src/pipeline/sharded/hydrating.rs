//! Hydration in a worker of many: what all share, what they tell each other, and what waits in one's own shards.

use super::open::{Opened, Setting};
use super::patience::patiently;
use crate::hydration::hydrator::Hydrator;
use crate::hydration::shared::{self, SharedCache};
use crate::live::Live;
use crate::log::nats::Log;
use crate::ownership::Telling;
use crate::pipeline::hydration::{Hydration, hydrating, longest};
use crate::sinks::postgres::Hydrations;
use std::collections::BTreeMap;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::shard::Shard;

/// What all workers share of profiles and posts, where the file says so.
pub(super) async fn shared(setting: &Setting, log: &Log, live: &Live) -> anyhow::Result<Option<SharedCache>> {
    let Some(max_bytes) = setting.spec.hydration().and_then(|hydration| hydration.shared_cache) else {
        return Ok(None);
    };
    let longest = longest(&setting.spec);
    let options = shared::Options { max_bytes: max_bytes.bytes(), longest, replicas: setting.replicas() };
    patiently(live, "NATS", async || Ok(Some(SharedCache::open(log, &options).await?))).await
}

/// What looks up for this worker; it ends when it is dropped.
pub(super) struct Hydrating {
    pub(super) hydrator: Hydrator,
    _hydration: Hydration,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// Completes what waits in the shards that are `owned`, tells the other workers what changes, and hears them.
pub(super) fn hydrate(
    hydration: Hydration,
    setting: &Setting,
    opened: &Opened,
    live: &Live,
    owned: watch::Receiver<BTreeMap<Shard, u64>>,
    shared: Option<SharedCache>,
) -> Hydrating {
    live.hydrates(hydration.report.clone());
    let (told, telling) = Telling::new(&opened.log, &opened.me, shared);
    let hydrator = hydration.hydrator.clone().telling(told);
    let telling = AbortOnDropHandle::new(tokio::spawn(telling.run(hydrator.clone())));
    let queue = Hydrations::new(opened.database.clone(), setting.slices.clone(), hydrating(&setting.spec), owned);
    let completing = hydration.complete(queue);
    Hydrating { hydrator, _hydration: hydration, _tasks: [telling, completing] }
}
