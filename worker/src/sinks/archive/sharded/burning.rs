//! Burning: what an earlier owner intended and did not commit takes no effect any more.
//!
//! Its open uploads are aborted, and an empty, valid file is put over its key, so that a put of one that was paused meets
//! it, and is refused. A day later the file goes.
//!
//! Invariant: nothing is covered or removed but what the intent names, and files without rows.

use super::super::object::Object;
use super::super::{Format, Stamp, read};
use super::Shared;
use super::buffer::Scratch;
use super::landing::{BACKOFF, CATALOG, Error};
use super::mending::{mend, watch};
use crate::sinks::postgres::{Fence, Segment, answered};
use crate::telemetry::events;
use std::fs::File;
use std::sync::Arc;
use turbo_core::backoff::Backoff;
use turbo_core::shard::Shard;

/// Segments that are handled in one step.
const STEP: u32 = 50;
/// How often it is looked whether a file has stayed.
const LOOKS: u32 = 4;
/// Larger files have rows.
const SMALL: u64 = 64 << 10;

/// Takes up what a catalog that went back has forgotten, and burns the intents of earlier epochs; tries until all is done.
/// Returns up to which sequence the archive has the shard, wherever its position is.
pub(super) async fn burn(shared: Arc<Shared>, shard: Shard, fence: Fence) -> u64 {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let covered = loop {
        let error = match mend_and_burn(&shared, shard, &fence).await {
            Ok(covered) => break covered,
            Err(error) => error.to_string(),
        };
        shared.report.failed(Some(shard), &error);
        events::BurningFailed { slice: &fence.slice, partition: fence.partition, error: &error }.emit();
        tokio::time::sleep(backoff.next(rand::random())).await;
    };
    if backoff.failures() > 0 {
        shared.report.well(Some(shard));
    }
    covered
}

async fn mend_and_burn(shared: &Shared, shard: Shard, fence: &Fence) -> Result<u64, Error> {
    let covered = mend(shared, shard, fence).await?;
    burn_all(shared, fence).await?;
    Ok(covered)
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
    if !cover(shared, intent).await? {
        let address = shared.store.address(path);
        tracing::error!(
            "{address}: another's object lies where an owner of this pipeline would have put its own, and is left alone; \
             does another pipeline use this folder or prefix? give each its own"
        );
    }
    answered(CATALOG, shared.database.burn(intent.id)).await?;
    events::SegmentBurnt { path, epoch: intent.of.epoch }.emit();
    Ok(())
}

/// What lies at the key of a segment that is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    /// What its owner has put.
    Its,
    /// A file without rows.
    Empty,
    /// Nothing of this catalog's.
    Anothers,
}

async fn look(shared: &Shared, of: &Segment, empty: &Stamp) -> Result<There, Error> {
    let Some(there) = shared.store.head(&of.object.path).await? else { return Ok(There::Nothing) };
    Ok(if there == *empty {
        There::Empty
    } else if there.bytes == of.object.bytes && there.checksum == of.object.checksum {
        There::Its
    } else if there.bytes <= SMALL && has_no_rows(shared, of).await? {
        // Another version of this program has made it.
        There::Empty
    } else {
        There::Anothers
    })
}

async fn has_no_rows(shared: &Shared, of: &Segment) -> Result<bool, Error> {
    let (file, format) = (shared.buffer.scratch("object"), Format::of(&of.object.path));
    if shared.store.get(&of.object.path, file.path(), SMALL).await?.is_none() {
        return Ok(false);
    }
    let (slice, partition) = (of.of.slice.clone(), of.of.partition);
    let read = tokio::task::spawn_blocking(move || {
        // An error is no reason to remove it.
        read::contents(file.path(), format, &slice, partition).is_ok_and(|contents| contents.rows == 0)
    });
    read.await.map_err(|_| Error::Task)
}

/// Puts an empty file over the key, and looks whether it stays: some stores let the completion of an upload that is under
/// way at this very moment replace it. False: another's object is there, which keeps the key as well, and is left alone.
async fn cover(shared: &Shared, of: &Segment) -> Result<bool, Error> {
    let path = &of.object.path;
    let (file, stamp) = empty(shared, path).await?;
    for _ in 0..LOOKS {
        // An upload that is begun after this one was listed meets the file when it is completed.
        shared.store.abort_uploads(path).await?;
        match look(shared, of, &stamp).await? {
            There::Empty => return Ok(true),
            There::Anothers => return Ok(false),
            There::Nothing | There::Its => shared.store.put_over(path, file.path(), &stamp).await?,
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

/// Removes what has been burnt for long enough, and looks after the rest, of these shards.
pub(super) async fn sweep(shared: Arc<Shared>, of: Vec<Fence>) {
    if let Err(error) = burn_late(&shared, &of).await {
        tracing::warn!("the archive's store could not be looked through for what came late: {error}");
    }
    let stays = shared.options.burnt_stays.as_secs_f64();
    for (seconds, removes) in [(stays, true), (0.0, false)] {
        if let Err(error) = sweep_all(&shared, &of, seconds, removes).await {
            // It is no hurry: the next round tries again.
            tracing::warn!("burnt segments of the archive could not be looked after: {error}");
        }
    }
}

/// Burns what writers of before a restore of the catalog have put since.
async fn burn_late(shared: &Shared, of: &[Fence]) -> Result<(), Error> {
    for fence in watch(shared, of).await? {
        burn_all(shared, &fence).await?;
    }
    Ok(())
}

/// Passes over what fails for a reason of its own; where the store or the catalog is away, all of it waits.
async fn sweep_all(shared: &Shared, of: &[Fence], seconds: f64, removes: bool) -> Result<(), Error> {
    let mut after = 0;
    loop {
        let page = answered(CATALOG, shared.database.burnt(of, seconds, after, STEP)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        for segment in &page {
            match if removes { remove(shared, segment).await } else { keep(shared, segment).await } {
                Err(Error::Store(error)) if !error.is_outage() => {
                    tracing::warn!("a burnt segment of the archive could not be looked after: {error}");
                }
                Err(error @ Error::Replaced(_)) => tracing::warn!("{error}"),
                done => done?,
            }
        }
    }
}

async fn remove(shared: &Shared, segment: &Segment) -> Result<(), Error> {
    let path = &segment.object.path;
    shared.store.abort_uploads(path).await?;
    let (_, stamp) = empty(shared, path).await?;
    if look(shared, segment, &stamp).await? != There::Anothers {
        shared.store.remove(path).await?;
    }
    Ok(answered(CATALOG, shared.database.forget_burnt(segment.id)).await?)
}

async fn keep(shared: &Shared, segment: &Segment) -> Result<(), Error> {
    let path = &segment.object.path;
    let (_, stamp) = empty(shared, path).await?;
    // Where there is nothing, its time has come just now.
    if look(shared, segment, &stamp).await? == There::Its && cover(shared, segment).await? {
        events::SegmentBurnt { path, epoch: segment.of.epoch }.emit();
    }
    Ok(())
}
