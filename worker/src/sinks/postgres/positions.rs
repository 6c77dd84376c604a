//! Positions of the sinks beside the database: read, and moved under the fence of their claim.
//!
//! Invariant: a position moves only while its row has the epoch of the claim and the position that it is moved from, in one
//! `UPDATE`. An answer that does not come means unknown: the row is read again.

use super::segments::Fence;
use super::{Database, Error};
use crate::sinks::feed::SinkPosition;
use sqlx::{PgConnection, Row as _};
use turbo_core::position::SourcePosition;
use turbo_core::shard::{Shard, Slices};

impl Database {
    /// Moves the position of a sink in a shard from `had` on, under the epoch of the claim, and with it where the source was
    /// at the last event, if there was one. Returns false where the row is
    /// another: the shard was claimed since, or the position is not `had`.
    ///
    /// # Errors
    /// PostgreSQL refuses, or does not answer: whether it moved is not known then.
    pub async fn move_position(
        &self,
        slices: &Slices,
        sink: &str,
        shard: Shard,
        epoch: u64,
        had: u64,
        to: (SinkPosition, Option<&SourcePosition>),
    ) -> Result<bool, Error> {
        let mut transaction = self.begin().await?;
        let of = Fence::new(slices, shard, epoch);
        let moved = advance(&mut transaction, &of, sink, had, to).await?;
        transaction.commit().await?;
        Ok(moved)
    }

    /// The epoch and the position of a sink in a shard; `None` where the catalog does not know the sink.
    ///
    /// # Errors
    /// PostgreSQL refuses, or does not answer.
    pub async fn sink_position(
        &self,
        slices: &Slices,
        sink: &str,
        shard: Shard,
    ) -> Result<Option<(u64, SinkPosition)>, Error> {
        let mut transaction = self.begin().await?;
        let found = read(&mut transaction, &Fence::new(slices, shard, 0), sink).await?;
        transaction.commit().await?;
        Ok(found)
    }
}

/// The epoch and the position of a sink in a shard, whatever the epoch of `of`.
pub(super) async fn read(
    connection: &mut PgConnection,
    of: &Fence,
    sink: &str,
) -> Result<Option<(u64, SinkPosition)>, Error> {
    let row =
        sqlx::query("SELECT epoch, position, number FROM positions WHERE slice = $1 AND partition = $2 AND sink = $3")
            .persistent(false)
            .bind(of.slice.clone())
            .bind(i32::from(of.partition))
            .bind(sink.to_owned())
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let number = |column: &str| row.try_get::<i64, _>(column).map(|number| number as u64);
    let position = SinkPosition { seq: number("position")?, number: number("number")? };
    Ok(Some((number("epoch")?, position)))
}

/// Moves the position of a sink from `had` on, and where the source was. False where the row is another.
pub(super) async fn advance(
    connection: &mut PgConnection,
    of: &Fence,
    sink: &str,
    had: u64,
    (to, source): (SinkPosition, Option<&SourcePosition>),
) -> Result<bool, Error> {
    let moved = sqlx::query(
        "UPDATE positions SET position = $6, number = $7,
           time_us = coalesce($8, time_us), host = coalesce($9, host),
           cursor = CASE WHEN $9 IS NULL THEN cursor ELSE $10 END, source_id = coalesce($11, source_id),
           had_host = CASE WHEN $6 >> 40 > position >> 40 THEN host ELSE had_host END,
           had_cursor = CASE WHEN $6 >> 40 > position >> 40 THEN cursor ELSE had_cursor END,
           had_time_us = CASE WHEN $6 >> 40 > position >> 40 THEN time_us ELSE had_time_us END
         WHERE slice = $1 AND partition = $2 AND sink = $3 AND epoch = $4 AND position = $5",
    )
    .persistent(false)
    .bind(of.slice.clone())
    .bind(i32::from(of.partition))
    .bind(sink.to_owned())
    .bind(of.epoch as i64)
    .bind(had as i64)
    .bind(to.seq as i64)
    .bind(to.number as i64)
    .bind(source.map(|source| source.time_us))
    .bind(source.map(|source| source.host.clone()))
    .bind(source.and_then(|source| source.cursor).map(|cursor| cursor as i64))
    .bind(source.map(|source| source.id.0.to_le_bytes().to_vec()))
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}
