//! Mending: what the store holds of a time that the catalog has forgotten, since it was restored from a backup.
//!
//! Objects that continue what the archive has are taken into the catalog; the others become intents, and are burnt as every
//! intent of an earlier epoch is. Invariants:
//! - **No event twice.** What is taken begins behind what was taken before it. Of objects that overlap the highest epoch
//!   wins: behind an object that was committed every later epoch begins after its last sequence, so what overlaps with one
//!   of a higher epoch was never committed.
//! - **None left out.** An object has all events of its shard from its first row to its last. Between what was taken and
//!   the next object there is no event that the log still has; if there is, the chain ends there. The log of a shard is
//!   purged from its beginning only: it has all that comes behind that event, and it is read from there. What it no longer
//!   has was in every sink before it was purged, and so in an object; where none is left, there is nothing to be had.
//! - **All or nothing.** What is to be mended stays written down until the one transaction that mends, under the fence.
//!   The position stays where it was, and moves with the numbers of the log: what is read again up to the last sequence
//!   that is covered is passed over, by every later claim too.
//! - Objects that begin at or below the position to which the catalog went back, that are of this epoch, or that can not be
//!   read, are left alone.
//!
//! A writer of before the restore may put an object late, which no intent tells of: for a day the store is listed again.

use super::super::name::{self, Named};
use super::super::{Format, read, verify};
use super::Shared;
use super::landing::{CATALOG, Error};
use crate::log::nats::{self, Log};
use crate::sinks::postgres::{Fence, Forgotten, Intent, answered};
use crate::telemetry::events;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::cmp::Reverse;
use turbo_core::shard::{Shard, Slices};

/// Names that the catalog is asked for at once.
const STEP: usize = 500;

/// What the archive asks of the log, and leaves there.
pub trait AskLog: Send + Sync + 'static {
    /// Whether the log has an event of a shard between two sequences, neither of them included.
    fn has_event<'a>(
        &'a self,
        slices: &'a Slices,
        shard: Shard,
        behind: u64,
        before: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>>;

    /// Says that an object is about to be put, up to that sequence of a shard; false where a later claim was announced.
    fn announce_object<'a>(
        &'a self,
        slices: &'a Slices,
        shard: Shard,
        epoch: u64,
        last_seq: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>>;
}

impl AskLog for Log {
    fn has_event<'a>(
        &'a self,
        slices: &'a Slices,
        shard: Shard,
        behind: u64,
        before: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>> {
        self.has_event(slices, shard, behind, before).boxed()
    }

    fn announce_object<'a>(
        &'a self,
        slices: &'a Slices,
        shard: Shard,
        epoch: u64,
        last_seq: u64,
    ) -> BoxFuture<'a, Result<bool, nats::Error>> {
        self.announce_object(slices, shard, epoch, last_seq).boxed()
    }
}

/// Mends the archive of a shard, if there is something to be mended. Returns up to which sequence the archive has it.
pub(super) async fn mend(shared: &Shared, shard: Shard, fence: &Fence) -> Result<u64, Error> {
    // A claim that is lost lands nothing.
    let Some(recalled) = answered(CATALOG, shared.database.recall(fence)).await? else { return Ok(0) };
    let Some(went_back_to) = recalled.to_mend else { return Ok(recalled.covered) };
    let (kept, mut void) = winners(forgotten(shared, fence, went_back_to).await?);
    let (mut taken, mut covered) = (Vec::new(), recalled.position.max(recalled.covered));
    let mut joins = true;
    for one in kept {
        let first = one.object.first_seq;
        let begins_behind = first > covered;
        joins = joins && !(begins_behind && shared.log.has_event(&shared.slices, shard, covered, first).await?);
        if joins && begins_behind {
            covered = one.object.last_seq;
            taken.push(one);
        } else {
            void.push(one);
        }
    }
    if answered(CATALOG, shared.database.mend(fence, &taken, &void)).await? {
        let (slice, partition) = (&fence.slice, fence.partition);
        events::ArchiveMended { slice, partition, taken: taken.len(), void: void.len(), covered }.emit();
    }
    Ok(covered)
}

/// What came late to the stores of these shards becomes intents; those that were watched for long enough are let go.
/// Returns the claims that have something to burn.
pub(super) async fn watch(shared: &Shared, of: &[Fence]) -> Result<Vec<Fence>, Error> {
    let stays = shared.options.burnt_stays.as_secs_f64();
    let mut late = Vec::new();
    for watched in answered(CATALOG, shared.database.watched(of, stays)).await? {
        let void = forgotten(shared, &watched.of, watched.went_back_to).await?;
        if !void.is_empty() && answered(CATALOG, shared.database.mend(&watched.of, &[], &void)).await? {
            late.push(watched.of.clone());
        }
        if watched.over {
            answered(CATALOG, shared.database.unwatch(&watched.of)).await?;
        }
    }
    Ok(late)
}

/// Of objects that overlap, those of the highest epochs, in the order of the log; and all others.
fn winners(mut found: Vec<Forgotten>) -> (Vec<Forgotten>, Vec<Forgotten>) {
    found.sort_by_key(|one| Reverse((one.epoch, one.object.first_seq)));
    let (mut kept, mut void, mut lowest) = (Vec::new(), Vec::new(), u64::MAX);
    for one in found {
        if one.object.rows > 0 && one.object.last_seq < lowest {
            lowest = one.object.first_seq;
            kept.push(one);
        } else {
            void.push(one);
        }
    }
    kept.reverse();
    (kept, void)
}

/// The objects of earlier epochs that begin behind a sequence, and that the catalog does not know, or knows as intents.
async fn forgotten(shared: &Shared, fence: &Fence, behind: u64) -> Result<Vec<Forgotten>, Error> {
    let (partition, epoch) = (fence.partition, fence.epoch);
    let wanted = move |path: &str| {
        name::named(path).is_some_and(|n| n.partition == partition && n.epoch < epoch && n.first_seq > behind)
    };
    let paths = shared.store.list(&name::below(&fence.slice), wanted).await?;
    let mut found = Vec::new();
    for paths in paths.chunks(STEP) {
        let known = answered(CATALOG, shared.database.known(paths)).await?;
        for path in paths {
            let intended = match known.get(path) {
                Some((state, ..)) if state != "intent" => continue,
                known => known.map(|(_, bytes, checksum)| (*bytes, checksum.as_str())),
            };
            found.extend(look(shared, fence, path, intended).await?);
        }
    }
    Ok(found)
}

/// What is in an object; `None` where it is gone, is not what was intended, or can not be read.
async fn look(
    shared: &Shared,
    fence: &Fence,
    path: &str,
    intended: Option<(u64, &str)>,
) -> Result<Option<Forgotten>, Error> {
    let Some(Named { epoch, first_seq, .. }) = name::named(path) else { return Ok(None) };
    // It takes room in the buffer as one does that is made and put.
    let _permit = shared.puts.acquire().await.map_err(|_| Error::Task)?;
    let Some(there) = shared.store.head(path).await? else { return Ok(None) };
    if intended.is_some_and(|intended| intended != (there.bytes, there.checksum.as_str())) {
        return Ok(None);
    }
    let file = shared.buffer.scratch("object");
    let Some(stamp) = verify::fetch(&shared.store, path, file.path(), there.bytes).await? else { return Ok(None) };
    let (format, slice, partition) = (Format::of(path), fence.slice.clone(), fence.partition);
    let read = tokio::task::spawn_blocking(move || read::contents(file.path(), format, &slice, partition));
    let contents = match read.await.map_err(|_| Error::Task)? {
        Ok(contents) if stamp == there && (contents.rows == 0 || contents.first_seq == first_seq) => contents,
        read => {
            let why =
                read.err().map_or("its content is not what its name or its checksum says".into(), |e| e.to_string());
            let address = shared.store.address(path);
            tracing::error!(
                "{address}: the catalog went back and does not know this object, and it is left alone: {why}"
            );
            return Ok(None);
        }
    };
    let last_seq = if contents.rows == 0 { first_seq } else { contents.last_seq };
    let (rows, path) = (contents.rows, path.to_owned());
    let object = Intent { path, first_seq, last_seq, rows, bytes: there.bytes, checksum: there.checksum };
    Ok(Some(Forgotten { epoch, object }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(epoch: u64, first_seq: u64, last_seq: u64) -> Forgotten {
        let rows = u64::from(last_seq >= first_seq);
        let object = Intent { path: String::new(), first_seq, last_seq, rows, bytes: 0, checksum: String::new() };
        Forgotten { epoch, object }
    }

    #[test]
    fn of_objects_that_overlap_the_highest_epoch_is_kept() {
        let kept = |found: &[Forgotten]| {
            let (kept, void) = winners(found.to_vec());
            assert_eq!(kept.len() + void.len(), found.len());
            kept.iter().map(|one| (one.epoch, one.object.first_seq)).collect::<Vec<_>>()
        };
        // One that was put under epoch 3 and never committed; 4 begins at the same place and goes on.
        let found = [object(3, 1, 5), object(3, 6, 20), object(4, 6, 9), object(4, 10, 14), object(5, 15, 15)];
        assert_eq!(kept(&found), [(3, 1), (4, 6), (4, 10), (5, 15)]);
        // What was put last may never have been committed, and continues the others all the same.
        assert_eq!(kept(&found[..2]), [(3, 1), (3, 6)]);
        // A lower epoch beyond a higher one was left behind by a pause.
        assert_eq!(kept(&[object(3, 30, 40), object(4, 6, 9)]), [(4, 6)]);
        // What was burnt already has no rows.
        assert_eq!(kept(&[object(3, 1, 5), object(4, 3, 0)]), [(3, 1)]);
        assert_eq!(kept(&[]), []);
    }
}
