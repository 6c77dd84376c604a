//! Burnt segments in the catalog: intents that an owner left open, made void by the next one.

use super::segments::{COLUMNS, Fence, Segment, segment};
use super::{Database, Error};

impl Database {
    /// Intents that owners before this one have left open, `limit` at most.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn open_intents(&self, of: &Fence, limit: u32) -> Result<Vec<Segment>, Error> {
        let mut transaction = self.begin().await?;
        let sql = "WHERE slice = $1 AND partition = $2 AND epoch < $3 AND state = 'intent' ORDER BY id LIMIT $4";
        let rows = of
            .query(sqlx::AssertSqlSafe(format!("{COLUMNS} {sql}")))
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        rows.iter().map(segment).collect()
    }

    /// Marks an intent burnt; its key is taken by an empty file from here on. What is committed stays so.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn burn(&self, segment: i64) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE segments SET state = 'burnt', changed_at = now() WHERE id = $1 AND state = 'intent'")
            .persistent(false)
            .bind(segment)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// Segments of these shards that have been burnt for so many seconds, by the clock of the database; by their numbers, from
    /// behind `after` on, `limit` at most.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn burnt(&self, of: &[Fence], seconds: f64, after: i64, limit: u32) -> Result<Vec<Segment>, Error> {
        let (slices, partitions): (Vec<String>, Vec<i32>) =
            of.iter().map(|shard| (shard.slice.clone(), i32::from(shard.partition))).unzip();
        let mut transaction = self.begin().await?;
        let sql = "WHERE state = 'burnt' AND changed_at <= now() - make_interval(secs => $1) AND id > $2
                     AND (slice, partition) IN (SELECT * FROM unnest($3::text[], $4::int[])) ORDER BY id LIMIT $5";
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} {sql}")))
            .persistent(false)
            .bind(seconds)
            .bind(after)
            .bind(slices)
            .bind(partitions)
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        rows.iter().map(segment).collect()
    }

    /// Removes the row of a burnt segment whose object is gone.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn forget_burnt(&self, segment: i64) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM segments WHERE id = $1 AND state = 'burnt'")
            .persistent(false)
            .bind(segment)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}
