//! What a folded batch does to the rows: barriers first, then rows, floors and accounts.

use super::bulk::Bulk;
use super::queue::Queueing;
use super::{Error, now_text};
use sqlx::{Row as _, SqliteConnection};
use std::collections::HashMap;
use std::sync::Arc;
use turbo_core::floor::Floor;
use turbo_core::fold::{Account, Barrier, Folded, Known, Logged, RepoKey, Row, needs_highest};
use turbo_core::hydrated::Hydrated;
use turbo_core::shard::Slices;

/// The statements that write effects.
pub(super) struct Effects {
    slices: Arc<Slices>,
    /// Of the slices, by index.
    names: Vec<Arc<str>>,
    records: Bulk,
    accounts: Bulk,
    floors: Bulk,
    queue: Queueing,
}

/// Rows that were written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Records.
    pub records: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Commits that a floor refused.
    pub refused: u64,
    /// Bytes of the records.
    pub bytes: u64,
}

impl Effects {
    pub(super) fn new(slices: Arc<Slices>) -> Self {
        let names = slices.list().iter().map(|slice| slice.name.as_str().into()).collect();
        Self {
            slices,
            names,
            // A row that fails takes the transaction with it: SQLite need not remember how to undo the statement alone.
            records: Bulk::new(
                "INSERT OR FAIL INTO record_state
                   (did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq, hydration, hydrated)",
                13,
                "ON CONFLICT (did, collection, rkey) DO UPDATE SET
                   rev = excluded.rev, cid = excluded.cid, record = excluded.record, time_us = excluded.time_us,
                   indexed_at = excluded.indexed_at, slice = excluded.slice, partition = excluded.partition,
                   seq = excluded.seq, hydration = excluded.hydration, hydrated = excluded.hydrated
                 WHERE excluded.rev > record_state.rev",
            ),
            accounts: Bulk::new(
                "INSERT INTO accounts (did, handle, active, status, time_us, seq)",
                6,
                // An identity says nothing of the state, and an account event nothing of the handle.
                "ON CONFLICT (did) DO UPDATE SET
                   handle = coalesce(excluded.handle, handle),
                   status = CASE WHEN excluded.active IS NULL THEN status ELSE excluded.status END,
                   active = coalesce(excluded.active, active),
                   time_us = excluded.time_us, seq = excluded.seq
                 WHERE excluded.seq > accounts.seq",
            ),
            floors: Bulk::new(
                "INSERT INTO floors (slice, did, rev, inclusive)",
                4,
                "ON CONFLICT (slice, did) DO UPDATE SET rev = excluded.rev, inclusive = excluded.inclusive",
            ),
            queue: Queueing::new(),
        }
    }

    /// What the fold has to know of the repositories in the batch.
    pub(super) async fn known<'a>(
        &self,
        connection: &mut SqliteConnection,
        batch: &'a [Logged<'a>],
    ) -> Result<HashMap<RepoKey<'a>, Known>, Error> {
        let mut known = HashMap::new();
        let mut dids: Vec<&str> = batch.iter().map(|logged| &*logged.event.key).collect();
        dids.sort_unstable();
        dids.dedup();
        self.floors(connection, &dids, &mut known).await?;
        for repo in needs_highest(batch) {
            let highest: Option<String> =
                sqlx::query_scalar("SELECT max(rev) FROM record_state WHERE did = ? AND slice = ?")
                    .bind(repo.1.to_owned())
                    .bind(self.name(repo.0))
                    .fetch_one(&mut *connection)
                    .await?;
            known.entry(repo).or_default().highest = highest.map(Into::into);
        }
        Ok(known)
    }

    async fn floors<'a>(
        &self,
        connection: &mut SqliteConnection,
        dids: &[&'a str],
        known: &mut HashMap<RepoKey<'a>, Known>,
    ) -> Result<(), Error> {
        let list = serde_json::to_string(dids).map_err(|_| Error::Broken("dids"))?;
        let rows = sqlx::query(
            "SELECT slice, did, rev, inclusive FROM json_each(?) AS given
             CROSS JOIN floors ON floors.did = given.value AND floors.slice IN (SELECT value FROM json_each(?))",
        )
        .bind(list)
        .bind(self.names())
        .fetch_all(connection)
        .await?;
        for row in rows {
            let (slice, did): (String, String) = (row.try_get("slice")?, row.try_get("did")?);
            let slice = (0u16..).zip(self.slices.list()).find(|(_, known)| known.name == slice);
            let did = dids.binary_search(&did.as_str()).ok().and_then(|at| dids.get(at));
            let (Some((slice, _)), Some(did)) = (slice, did) else { continue };
            let rev: String = row.try_get("rev")?;
            let floor = Floor { rev: rev.into(), inclusive: row.try_get("inclusive")? };
            known.entry((slice, *did)).or_default().floor = Some(floor);
        }
        Ok(())
    }

    /// Applies the fold.
    pub(super) async fn apply(&self, connection: &mut SqliteConnection, folded: &Folded<'_>) -> Result<Written, Error> {
        for barrier in &folded.barriers {
            self.barrier(connection, barrier).await?;
        }
        let mut written = Written { refused: folded.refused, ..Written::default() };
        let rows: Vec<&Row<'_>> = folded.rows.values().collect();
        written.tombstones = rows.iter().filter(|row| row.record().is_none()).count() as u64;
        written.records = rows.len() as u64 - written.tombstones;
        written.bytes = rows.iter().map(|row| row.record().map_or(0, |record| record.len() as u64)).sum();
        self.rows(connection, rows).await?;
        let floors: Vec<_> = folded.floors.iter().collect();
        self.floors
            .write(connection, &floors, |query, ((slice, did), floor)| {
                query.bind(self.name(*slice)).bind((*did).to_owned()).bind(floor.rev.to_string()).bind(floor.inclusive)
            })
            .await?;
        self.accounts(connection, &folded.accounts).await?;
        Ok(written)
    }

    async fn rows(&self, connection: &mut SqliteConnection, mut rows: Vec<&Row<'_>>) -> Result<(), Error> {
        // In the order of the log, so that the file grows in it too.
        rows.sort_unstable_by_key(|row| row.seq);
        let indexed_at: Arc<str> = now_text().into();
        self.records
            .write(connection, &rows, |query, row| {
                // Each text is copied once, into what SQLite's thread is given.
                query
                    .bind(Arc::<str>::from(row.key))
                    .bind(Arc::<str>::from(&*row.commit.collection))
                    .bind(Arc::<str>::from(&*row.commit.rkey))
                    .bind(Arc::<str>::from(&*row.commit.rev))
                    .bind(row.commit.cid.as_deref().map(Arc::<str>::from))
                    .bind(row.record().map(|bytes| Arc::<str>::from(&*String::from_utf8_lossy(bytes))))
                    .bind(row.time_us)
                    .bind(indexed_at.clone())
                    .bind(self.name(row.shard.slice))
                    .bind(row.shard.partition)
                    .bind(row.seq as i64)
                    .bind(Hydrated::word(row.hydrated))
                    .bind(row.hydrated.and_then(|hydrated| hydrated.document.clone()))
            })
            .await?;
        self.queue.add(connection, &rows, |slice| self.name(slice)).await
    }

    async fn barrier(&self, connection: &mut SqliteConnection, barrier: &Barrier<'_>) -> Result<(), Error> {
        let query = match barrier {
            Barrier::Replaced { repo, seq, rev } => {
                sqlx::query("DELETE FROM record_state WHERE did = ? AND slice = ? AND rev <= ? AND seq < ?")
                    .bind(repo.1.to_owned())
                    .bind(self.name(repo.0))
                    .bind((*rev).to_owned())
                    .bind(*seq as i64)
            }
            Barrier::Removed { repo } => sqlx::query("DELETE FROM record_state WHERE did = ? AND slice = ?")
                .bind(repo.1.to_owned())
                .bind(self.name(repo.0)),
        };
        query.execute(connection).await?;
        Ok(())
    }

    async fn accounts(
        &self,
        connection: &mut SqliteConnection,
        accounts: &HashMap<&str, Account<'_>>,
    ) -> Result<(), Error> {
        let accounts: Vec<_> = accounts.iter().collect();
        self.accounts
            .write(connection, &accounts, |query, (did, account)| {
                query
                    .bind((**did).to_owned())
                    .bind(account.handle.map(ToOwned::to_owned))
                    .bind(account.state.map(|(active, _)| active))
                    .bind(account.state.and_then(|(_, status)| status).map(ToOwned::to_owned))
                    .bind(account.time_us)
                    .bind(account.seq as i64)
            })
            .await?;
        Ok(())
    }

    fn name(&self, slice: u16) -> Arc<str> {
        self.names.get(usize::from(slice)).cloned().unwrap_or_default()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.slices.list().iter().map(|slice| slice.name.as_str()).collect();
        serde_json::to_string(&names).unwrap_or_default()
    }
}
