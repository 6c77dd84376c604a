//! Burning: what an earlier owner intended and did not commit takes no effect any more.
//!
//! Its open uploads are aborted, and an empty, valid file is put over its key, so that a put of one that was paused meets
//! it, and is refused. A day later the file goes.

use super::super::object::Object;
use super::super::{Format, Stamp};
use super::Shared;
use super::buffer::Scratch;
use super::landing::{BACKOFF, CATALOG, Error};
use crate::sinks::postgres::{Fence, Segment, answered};
use crate::telemetry::events;
use std::fs::File;
use std::sync::Arc;
use turbo_core::backoff::Backoff;
use turbo_core::shard::Shard;

/// Segments that are handled in one step.
const STEP: u32 = 50;
/// How often a file that does not stay is put again.
const LOOKS: u32 = 3;

/// Burns the intents of earlier epochs; tries until all are.
pub(super) async fn burn(shared: Arc<Shared>, shard: Shard, fence: Fence) {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    while let Err(error) = burn_all(&shared, &fence).await {
        shared.report.failed(Some(shard), &error.to_string());
        events::BurningFailed { slice: &fence.slice, partition: fence.partition, error: &error.to_string() }.emit();
        tokio::time::sleep(backoff.next(rand::random())).await;
    }
    if backoff.failures() > 0 {
        shared.report.well(Some(shard));
    }
}

async fn burn_all(shared: &Shared, fence: &Fence) -> Result<(), Error> {
    loop {
        let intents = answered(CATALOG, shared.database.open_intents(fence, STEP)).await?;
        if intents.is_empty() {
            return Ok(());
        }
        for intent in intents {
            burn_one(shared, &intent).await?;
        }
    }
}

async fn burn_one(shared: &Shared, intent: &Segment) -> Result<(), Error> {
    let path = &intent.object.path;
    cover(shared, path).await?;
    answered(CATALOG, shared.database.burn(intent.id)).await?;
    events::SegmentBurnt { path, epoch: intent.of.epoch }.emit();
    Ok(())
}

/// Puts an empty file over the key, and looks whether it stays: some stores let the completion of an upload that is under
/// way at this very moment replace it.
async fn cover(shared: &Shared, path: &str) -> Result<(), Error> {
    let (file, stamp) = empty(shared, path).await?;
    for _ in 0..LOOKS {
        // An upload that is begun after this one was listed meets the file when it is completed.
        shared.store.abort_uploads(path).await?;
        shared.store.put_over(path, file.path(), &stamp).await?;
        if shared.store.head(path).await?.as_ref() == Some(&stamp) {
            return Ok(());
        }
    }
    Err(Error::Replaced(shared.store.address(path)))
}

/// A file of the key's format, without rows.
async fn empty(shared: &Shared, path: &str) -> Result<(Scratch, Stamp), Error> {
    let (file, format) = (shared.buffer.scratch("object"), Format::of(path));
    let at = file.path().to_owned();
    let made = tokio::task::spawn_blocking(move || -> Result<Stamp, Error> {
        Object::begin(format, File::create(&at)?)?.finish()?;
        Ok(Stamp::of(&at)?)
    });
    Ok((file, made.await.map_err(|_| Error::Task)??))
}

/// Removes what has been burnt for long enough, and looks after what was burnt lately.
pub(super) async fn sweep(shared: Arc<Shared>) {
    if let Err(error) = sweep_all(&shared).await {
        // It is no hurry: the next round tries again.
        tracing::warn!("burnt segments of the archive could not be removed yet: {error}");
    }
}

async fn sweep_all(shared: &Shared) -> Result<(), Error> {
    let seconds = shared.options.burnt_stays.as_secs_f64();
    for segment in answered(CATALOG, shared.database.burnt_for(seconds, STEP)).await? {
        shared.store.abort_uploads(&segment.object.path).await?;
        shared.store.remove(&segment.object.path).await?;
        answered(CATALOG, shared.database.forget_burnt(segment.id)).await?;
    }
    for segment in answered(CATALOG, shared.database.burnt_lately(STEP)).await? {
        let path = &segment.object.path;
        // Where there is nothing, another worker has removed it just now.
        if let Some(there) = shared.store.head(path).await?
            && there != empty(shared, path).await?.1
        {
            cover(shared, path).await?;
            events::SegmentBurnt { path, epoch: segment.of.epoch }.emit();
        }
    }
    Ok(())
}
