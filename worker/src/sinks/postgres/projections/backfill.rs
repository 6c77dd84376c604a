//! Backfill: records that landed before their projection was switched on.
//!
//! Invariants:
//! - a projection that is switched on begins empty; what was left from an earlier time is gone in the same transaction;
//! - a step takes its records in the order of their keys and holds them until it ends, as a merge does. Should it meet a
//!   commit all the same, it gives way: it waits for a lock far shorter than a deadlock is waited for;
//! - how far it has come stands in the step's transaction: whoever goes on goes on from there.
//!
//! Commits of workers that do not have the projection yet, while a new pipeline file is being rolled out, do not fill it, and
//! remove nothing from it. So the backfill begins only some time after the projection was switched on, and finds what they have
//! landed; and when all records are in, it looks through the table for rows whose record is gone.

use super::super::{Database, Error, answered};
use super::columns::Projection;
use super::{ALL, Key, UnknownProjection, merge, names, stage};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use turbo_core::backoff::Backoff;

/// "turbo" and what the lock is for, as a number that nothing else in the database uses.
const LOCK: i64 = 0x7475_7262_6f00_0002;

/// How long the database may take to switch projections.
const ANSWER: Duration = Duration::from_secs(60);

/// How backfill works.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// From the switching on to the beginning: as long as a rollout takes.
    pub delay: Duration,
    /// From one look to the next while there is nothing to do: too early, or another worker is at it.
    pub every: Duration,
    /// Records in one step.
    pub rows: u32,
    /// From one step to the next, so that commits have their turn.
    pub pause: Duration,
}

impl Default for BackfillOptions {
    fn default() -> Self {
        let (delay, every) = (Duration::from_secs(600), Duration::from_secs(10));
        Self { delay, every, rows: 1000, pause: Duration::from_millis(50) }
    }
}

/// Takes older records into the projections that are on.
#[derive(Clone, Debug)]
pub struct Backfill {
    database: Database,
    options: BackfillOptions,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// There may be more.
    Went(u64),
    /// Another worker is at it, or it is too early.
    NotNow,
    /// All is done.
    Done,
}

impl Database {
    /// Switches these projections on and all others off, where the pipeline file with this generation is not older than
    /// the one that switched them last: a process of an old file that starts anew during a rollout changes nothing. A file
    /// without a generation is newer than every list that differs from its own. To be called before the first commit. Returns
    /// those that are on now and known here: whoever commits has to fill them, whatever its own file says.
    ///
    /// # Errors
    /// There is no projection of such a name (an error of the pipeline file), or PostgreSQL refuses.
    pub async fn project(&self, wanted: &[String], generation: Option<i64>) -> Result<Vec<String>, Error> {
        if let Some(unknown) = wanted.iter().find(|name| names().all(|known| known != **name)) {
            return Err(UnknownProjection { name: unknown.clone() }.into());
        }
        let mut transaction = self.begin().await?;
        let newest = "UPDATE pipeline SET projections_generation = coalesce($1, projections_generation)
                      WHERE coalesce($1, projections_generation) >= projections_generation";
        let newest = sqlx::query(newest).persistent(false).bind(generation).execute(&mut *transaction).await?;
        if newest.rows_affected() == 0 {
            tracing::info!("a newer pipeline file has switched the projections; they stay as they are");
            let on = sqlx::query_scalar("SELECT name FROM projections").persistent(false);
            let on: Vec<String> = on.fetch_all(&mut *transaction).await?;
            transaction.rollback().await?;
            return Ok(on.into_iter().filter(|name| names().any(|known| known == *name)).collect());
        }
        let off = sqlx::query("DELETE FROM projections WHERE name <> ALL ($1)").persistent(false).bind(wanted);
        off.execute(&mut *transaction).await?;
        let on =
            "INSERT INTO projections (name) SELECT * FROM unnest($1::text[]) AS n ORDER BY n ON CONFLICT DO NOTHING
                  RETURNING name";
        let new: Vec<String> =
            sqlx::query_scalar(on).persistent(false).bind(wanted).fetch_all(&mut *transaction).await?;
        for projection in ALL.iter().filter(|projection| new.iter().any(|name| name == projection.name)) {
            let sql = format!("TRUNCATE {}", projection.name);
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(wanted.to_vec())
    }
}

impl Backfill {
    /// Backfill of a database.
    #[must_use]
    pub fn new(database: Database, options: BackfillOptions) -> Self {
        Self { database, options }
    }

    /// Works until the token fires. A catalog that `went_back` may not know which projections the pipeline file of this
    /// generation has: they are switched on again.
    pub async fn keep(&self, wanted: &[String], generation: Option<i64>, went_back: &Notify, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = went_back.notified() => {}
                // It is all done.
                () = async { self.clone().run(stop.clone()).await; std::future::pending().await } => {}
            }
            while let Err(error) = answered(ANSWER, self.database.project(wanted, generation)).await {
                tracing::debug!(%error, "the projections are not switched on again yet");
                if stop.run_until_cancelled(tokio::time::sleep(self.options.every)).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Works until all is done or the token fires.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let step = stop.run_until_cancelled(self.step()).await;
            let wait = match step {
                None | Some(Ok(Step::Done)) => return,
                Some(Ok(Step::Went(_))) => {
                    backoff.reset();
                    self.options.pause
                }
                Some(Ok(Step::NotNow)) => self.options.every,
                Some(Err(error)) => {
                    tracing::debug!(%error, "older records are not projected for now");
                    backoff.next(rand::random())
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn step(&self) -> Result<Step, Error> {
        let mut transaction = self.database.begin().await?;
        let step = self.step_in(&mut transaction).await?;
        match step {
            Step::Went(_) => transaction.commit().await?,
            Step::NotNow | Step::Done => transaction.rollback().await?,
        }
        Ok(step)
    }

    async fn step_in(&self, connection: &mut PgConnection) -> Result<Step, Error> {
        sqlx::raw_sql("SET LOCAL lock_timeout = '250ms'").execute(&mut *connection).await?;
        let lock = "SELECT pg_try_advisory_xact_lock($1)";
        let alone: bool = sqlx::query_scalar(lock).persistent(false).bind(LOCK).fetch_one(&mut *connection).await?;
        if !alone {
            return Ok(Step::NotNow);
        }
        let next = sqlx::query(
            "SELECT name, time_us, did, rkey, done, since + $1 * interval '1 second' <= now() AS due
             FROM projections WHERE NOT done OR NOT swept ORDER BY done, since, name LIMIT 1",
        );
        let next = next.persistent(false).bind(self.options.delay.as_secs_f64());
        let Some(next) = next.fetch_optional(&mut *connection).await? else { return Ok(Step::Done) };
        let name: &str = next.try_get("name")?;
        // A newer version of the program may have switched on one that this one does not know.
        let projection = ALL.iter().find(|one| one.name == name);
        let Some(projection) = projection.filter(|_| next.try_get("due").unwrap_or(false)) else {
            return Ok(Step::NotNow);
        };
        let (time_us, did, rkey) = (next.try_get("time_us")?, next.try_get("did")?, next.try_get("rkey")?);
        let went = match next.try_get("done")? {
            false => self.take(connection, projection, (time_us, did, rkey)).await,
            true => self.sweep(connection, projection, (did, rkey)).await,
        };
        Ok(Step::Went(went?))
    }

    /// Takes the next records into a projection.
    async fn take(
        &self,
        connection: &mut PgConnection,
        projection: &Projection,
        (time_us, did, rkey): (i64, String, String),
    ) -> Result<u64, Error> {
        let step = sqlx::query(
            "SELECT time_us, did, rkey FROM record_state
             WHERE collection = $1 AND time_us >= $2 AND (time_us, did, rkey) > ($2, $3, $4)
             ORDER BY time_us, did, rkey LIMIT $5",
        );
        let step = step.persistent(false).bind(projection.collection).bind(time_us).bind(did).bind(rkey);
        let step = step.bind(i64::from(self.options.rows)).fetch_all(&mut *connection).await?;
        let (mut dids, mut rkeys): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for row in &step {
            dids.push(row.try_get("did")?);
            rkeys.push(row.try_get("rkey")?);
        }
        project(connection, projection, &dids, &rkeys).await?;
        let last: Option<i64> = step.last().map(|row| row.try_get("time_us")).transpose()?;
        // The sweep begins from the first key again.
        let done = step.len() < self.options.rows as usize;
        let (did, rkey) = if done { (Some(""), Some("")) } else { (dids.last().copied(), rkeys.last().copied()) };
        let moved = "UPDATE projections SET time_us = coalesce($2, time_us), did = coalesce($3, did),
                       rkey = coalesce($4, rkey), done = $5 WHERE name = $1";
        let moved =
            sqlx::query(moved).persistent(false).bind(projection.name).bind(last).bind(did).bind(rkey).bind(done);
        moved.execute(connection).await?;
        Ok(step.len() as u64)
    }

    /// Looks through the next rows of a projection: what is not as its record is, is made so, and goes where that is gone.
    async fn sweep(
        &self,
        connection: &mut PgConnection,
        projection: &Projection,
        (did, rkey): (String, String),
    ) -> Result<u64, Error> {
        let sql = format!(
            "SELECT did, rkey, seq FROM {} WHERE (did, rkey) > ($1, $2) ORDER BY did, rkey LIMIT $3",
            projection.name
        );
        let step = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(did).bind(rkey);
        let step = step.bind(i64::from(self.options.rows)).fetch_all(&mut *connection).await?;
        let (mut dids, mut rkeys, mut seqs): (Vec<&str>, Vec<&str>, Vec<i64>) = Default::default();
        for row in &step {
            dids.push(row.try_get("did")?);
            rkeys.push(row.try_get("rkey")?);
            seqs.push(row.try_get("seq")?);
        }
        project(connection, projection, &dids, &rkeys).await?;
        // A row that a commit has written since bears another sequence.
        let gone = format!(
            "DELETE FROM {} AS p USING unnest($2::text[], $3::text[], $4::bigint[]) AS s (did, rkey, seq)
             WHERE p.did = s.did COLLATE \"C\" AND p.rkey = s.rkey COLLATE \"C\" AND p.seq = s.seq AND NOT EXISTS (
               SELECT FROM record_state AS r
               WHERE r.did = p.did AND r.collection = $1 AND r.rkey = p.rkey AND r.record IS NOT NULL)",
            projection.name
        );
        let gone = sqlx::query(AssertSqlSafe(gone)).persistent(false).bind(projection.collection);
        gone.bind(&dids).bind(&rkeys).bind(&seqs).execute(&mut *connection).await?;
        let moved =
            "UPDATE projections SET did = coalesce($2, did), rkey = coalesce($3, rkey), swept = $4 WHERE name = $1";
        let moved = sqlx::query(moved).persistent(false).bind(projection.name);
        let moved = moved.bind(dids.last().copied()).bind(rkeys.last().copied());
        moved.bind(step.len() < self.options.rows as usize).execute(connection).await?;
        Ok(step.len() as u64)
    }
}

/// Takes what stands in `record_state` at these keys into a projection, and holds it there until the transaction ends.
async fn project(
    connection: &mut PgConnection,
    projection: &Projection,
    dids: &[&str],
    rkeys: &[&str],
) -> Result<(), Error> {
    let rows = sqlx::query(
        "SELECT r.did, r.rkey, r.rev, r.cid, r.time_us, r.seq, r.record::text AS record
         FROM unnest($2::text[], $3::text[]) AS s (did, rkey)
         JOIN record_state r ON r.did = s.did AND r.collection = $1 AND r.rkey = s.rkey
         WHERE r.record IS NOT NULL ORDER BY r.did, r.rkey FOR SHARE OF r",
    );
    let rows = rows.persistent(false).bind(projection.collection).bind(dids).bind(rkeys);
    let rows = rows.fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let merge = merge(projection);
    let mut staged = merge.rows(rows.len());
    for row in &rows {
        let (did, rkey) = (row.try_get("did")?, row.try_get("rkey")?);
        let key = Key { did, rkey, rev: row.try_get("rev")?, cid: row.try_get("cid")? };
        let record: &str = row.try_get("record")?;
        stage(&mut staged, projection, &key, (row.try_get("time_us")?, row.try_get("seq")?), record.as_bytes());
    }
    merge.run(connection, staged).await.map(|_| ())
}
