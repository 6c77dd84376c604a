//! The catalog's position of a shard, brought up to date beside the publishing: a catalog that is away or stands still holds
//! nothing back, since what stands in the stream tells more.
//!
//! Invariant: one attempt is on its way at a time. After one without an answer the row is read again.

use super::shard::{Publisher, Stop};
use super::{NAME, Shared};
use crate::sinks::feed::SinkPosition;
use crate::sinks::postgres::answered;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Shard;

/// How long the catalog may take to answer.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// What is known of the catalog's row.
pub(super) enum Row {
    /// It has the epoch of the claim, and this position.
    Mine(SinkPosition),
    /// The shard was claimed by another, or the catalog does not know the sink any more.
    Lost,
    /// No answer.
    Unknown(String),
}

/// An attempt on its way.
pub(super) type Saving = Option<AbortOnDropHandle<Row>>;

/// Reads the row of a shard.
pub(super) async fn row(shared: &Shared, shard: Shard, epoch: u64) -> Row {
    match answered(LIMIT, shared.database.sink_position(&shared.slices, NAME, shard)).await {
        Ok(Some((found, position))) if found == epoch => Row::Mine(position),
        Ok(_) => Row::Lost,
        Err(error) => Row::Unknown(error.to_string()),
    }
}

/// Moves the position from `had` on; where that is not known, the row is read first.
async fn moved(
    shared: Arc<Shared>,
    shard: Shard,
    epoch: u64,
    had: Option<SinkPosition>,
    (to, source): (SinkPosition, Option<SourcePosition>),
) -> Row {
    let had = match had {
        Some(had) => had,
        None => match row(&shared, shard, epoch).await {
            Row::Mine(had) => had,
            other => return other,
        },
    };
    if to.seq <= had.seq {
        return Row::Mine(had);
    }
    match answered(
        LIMIT,
        shared.database.move_position(&shared.slices, NAME, shard, epoch, had.seq, (to, source.as_ref())),
    )
    .await
    {
        Ok(true) => Row::Mine(to),
        Ok(false) => row(&shared, shard, epoch).await,
        Err(error) => Row::Unknown(error.to_string()),
    }
}

/// What an attempt gives; never, where none is on its way.
pub(super) async fn finished(saving: &mut Saving) -> Row {
    match saving {
        Some(task) => match task.await {
            Ok(row) => row,
            Err(error) => Row::Unknown(error.to_string()),
        },
        None => std::future::pending().await,
    }
}

impl Publisher {
    /// Begins to bring the position up to date, if it has moved.
    pub(super) fn save(&mut self) {
        if self.saving.is_none() && (self.unsure || self.position.seq > self.saved.seq) {
            let had = (!self.unsure).then_some(self.saved);
            let moving = moved(self.shared.clone(), self.shard, self.epoch, had, (self.position, self.source.clone()));
            self.saving = Some(AbortOnDropHandle::new(tokio::spawn(moving)));
        }
    }

    /// Takes what an attempt gave.
    pub(super) fn saved(&mut self, row: Row) -> Result<(), Stop> {
        self.saving = None;
        match row {
            Row::Mine(saved) => {
                (self.saved, self.unsure) = (saved, false);
                match std::mem::take(&mut self.failures) {
                    0 => self.shared.report.claimed(self.shard, saved),
                    _ => self.shared.report.landed(self.shard, saved, 0),
                }
                Ok(())
            }
            Row::Lost => Err(Stop::Lost),
            Row::Unknown(why) => {
                self.unsure = true;
                self.failed(&format!("its position can not be saved: {why}"));
                Ok(())
            }
        }
    }

    /// Brings the position up to date before the shard is given up: once, since the next owner needs it only where the
    /// stream's retention has taken the last message.
    pub(super) async fn save_at_the_end(&mut self) -> Result<(), Stop> {
        if self.saving.is_some() {
            let row = finished(&mut self.saving).await;
            self.saved(row)?;
        }
        self.save_at_once().await
    }

    /// Brings the position up to date, if it has moved, and waits for the answer.
    pub(super) async fn save_at_once(&mut self) -> Result<(), Stop> {
        self.save();
        if self.saving.is_some() {
            let row = finished(&mut self.saving).await;
            self.saved(row)?;
        }
        Ok(())
    }
}
