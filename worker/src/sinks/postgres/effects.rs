//! What a folded batch does to the rows: barriers first, then rows, floors and accounts.

use super::Error;
use super::merge::Merge;
use super::projections::Projections;
use super::walk::Walk;
use sqlx::query::Query;
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use turbo_core::floor::Floor;
use turbo_core::fold::{Account, Barrier, Folded, Known, Logged, RepoKey, Row, needs_highest};
use turbo_core::hydrated::Hydrated;
use turbo_core::shard::Slices;

/// What a row of `record_state` is made of, in the order in which it is sent.
const COLUMNS: [(&str, &str); 12] = [
    ("did", "text COLLATE \"C\""),
    ("collection", "text COLLATE \"C\""),
    ("rkey", "text COLLATE \"C\""),
    ("rev", "text COLLATE \"C\""),
    ("cid", "text COLLATE \"C\""),
    ("record", "jsonb"),
    ("time_us", "bigint"),
    ("slice", "text COLLATE \"C\""),
    ("partition", "integer"),
    ("seq", "bigint"),
    ("hydration", "text"),
    ("hydrated", "jsonb"),
];

/// What a row of `hydration_queue` is made of.
const WAITING: [(&str, &str); 6] = [
    ("slice", "text COLLATE \"C\""),
    ("partition", "integer"),
    ("seq", "bigint"),
    ("did", "text COLLATE \"C\""),
    ("collection", "text COLLATE \"C\""),
    ("rkey", "text COLLATE \"C\""),
];

/// The rows are sent in the order of the key. To sort them here as well costs more than a tenth of the merge, and spills what is
/// wide to the disk; without, they are read nearly in that order (a page that has room takes a later row). Two merges that
/// wait for each other in a ring all the same, of an owner and of one that is gone, are told apart by the server, and tried again.
fn records() -> Merge {
    Merge::new("records", &COLUMNS, |from| {
        format!(
            "INSERT INTO record_state
               (did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq, hydration, hydrated)
             SELECT did, collection, rkey, rev, cid, record, time_us, now(), slice, partition, seq, hydration, hydrated
             FROM {from} AS s
             ON CONFLICT (did, collection, rkey) DO UPDATE SET
               rev = excluded.rev, cid = excluded.cid, record = excluded.record, time_us = excluded.time_us,
               indexed_at = excluded.indexed_at, slice = excluded.slice, partition = excluded.partition,
               seq = excluded.seq, hydration = excluded.hydration, hydrated = excluded.hydrated
             WHERE excluded.rev > record_state.rev"
        )
    })
}

/// What was redriven waits already.
fn waiting() -> Merge {
    Merge::new("hydration", &WAITING, |from| {
        format!(
            "INSERT INTO hydration_queue (slice, partition, seq, did, collection, rkey, queued_at)
             SELECT slice, partition, seq, did, collection, rkey, now() FROM {from} AS s ORDER BY slice, partition, seq
             ON CONFLICT DO NOTHING"
        )
    })
}

/// The rows and tombstones of an account.
fn records_of(did: &str) -> Walk<'_> {
    Walk { table: "record_state", key: &["collection", "rkey"], did }
}

/// The statements that write effects.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) slices: Arc<Slices>,
    pub(super) projections: Projections,
    records: Merge,
    waiting: Merge,
}

impl Effects {
    /// For shards of these slices, without projections.
    pub(super) fn new(slices: Arc<Slices>) -> Self {
        Self { slices, projections: Projections::default(), records: records(), waiting: waiting() }
    }

    /// What the fold has to know of the repositories in the batch.
    pub(super) async fn known<'a>(
        &self,
        connection: &mut PgConnection,
        batch: &'a [Logged<'a>],
    ) -> Result<HashMap<RepoKey<'a>, Known>, Error> {
        let mut known = HashMap::<RepoKey<'a>, Known>::new();
        let mut dids: Vec<&str> = batch.iter().map(|logged| &*logged.event.key).collect();
        dids.sort_unstable();
        dids.dedup();
        let names: Vec<&str> = self.slices.list().iter().map(|slice| slice.name.as_str()).collect();
        let floors = "SELECT slice, did, rev, inclusive FROM floors WHERE slice = ANY ($1) AND did = ANY ($2)";
        let floors = sqlx::query(floors).persistent(false).bind(names).bind(&dids).fetch_all(&mut *connection).await?;
        for row in floors {
            let Some(repo) = self.repo(&row, &dids)? else { continue };
            let floor = Floor { rev: row.try_get::<String, _>("rev")?.into(), inclusive: row.try_get("inclusive")? };
            known.entry(repo).or_default().floor = Some(floor);
        }
        for repo in needs_highest(batch).collect::<BTreeSet<_>>() {
            known.entry(repo).or_default().highest = self.highest(connection, repo).await?.map(Into::into);
        }
        Ok(known)
    }

    /// The highest revision that was seen of a repository. A dead letter was seen, and may come again.
    async fn highest(&self, connection: &mut PgConnection, repo: RepoKey<'_>) -> Result<Option<String>, Error> {
        let slice = self.name(repo.0);
        let rows = records_of(repo.1)
            .ask(connection, "(SELECT max(rev) FROM step WHERE slice = $4) AS rev", |query| query.bind(slice.clone()))
            .await?;
        let letters = sqlx::query("SELECT max(rev) AS rev FROM dead_letters WHERE did = $1 AND slice = $2");
        let letters = letters.persistent(false).bind(repo.1.to_owned()).bind(slice).fetch_one(connection).await?;
        let mut highest = None;
        for row in rows.iter().chain([&letters]) {
            highest = highest.max(row.try_get::<Option<String>, _>("rev")?);
        }
        Ok(highest)
    }

    /// The repository that a row is of, among these sorted keys.
    fn repo<'a>(&self, row: &sqlx::postgres::PgRow, dids: &[&'a str]) -> Result<Option<RepoKey<'a>>, Error> {
        let (slice, did): (&str, &str) = (row.try_get("slice")?, row.try_get("did")?);
        let slice = (0u16..).zip(self.slices.list()).find(|(_, known)| known.name == slice);
        let did = dids.binary_search(&did).ok().and_then(|at| dids.get(at));
        Ok(slice.zip(did).map(|((slice, _), did)| (slice, *did)))
    }

    /// Applies the fold; the rows are those that PostgreSQL takes. Returns how many of them replaced something.
    pub(super) async fn apply(
        &self,
        connection: &mut PgConnection,
        folded: &Folded<'_>,
        rows: &[&Row<'_>],
    ) -> Result<u64, Error> {
        for barrier in &folded.barriers {
            self.barrier(connection, barrier).await?;
        }
        let changed = self.rows(connection, rows).await?;
        self.wait(connection, rows).await?;
        self.projections.merge(connection, rows).await?;
        self.floors(connection, folded).await?;
        self.accounts(connection, &folded.accounts).await?;
        Ok(changed)
    }

    /// Copies rows to the table where they wait, and merges them. Returns how many replaced something.
    pub(super) async fn rows(&self, connection: &mut PgConnection, rows: &[&Row<'_>]) -> Result<u64, Error> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut rows = rows.to_vec();
        rows.sort_unstable_by_key(|row| (row.key, &row.commit.collection, &row.commit.rkey));
        let mut copied = self.records.rows(rows.len());
        for row in rows {
            copied
                .row()
                .text(row.key)
                .text(&row.commit.collection)
                .text(&row.commit.rkey)
                .text(&row.commit.rev)
                .text_or_null(row.commit.cid.as_deref())
                .jsonb_or_null(row.record().map(|record| &record[..]))
                .bigint(row.time_us)
                .text(&self.name(row.shard.slice))
                .integer(i32::from(row.shard.partition))
                .bigint(row.seq as i64)
                .text(Hydrated::word(row.hydrated))
                .jsonb_or_null(Hydrated::json(row.hydrated).map(str::as_bytes));
        }
        self.records.run(connection, copied).await
    }

    /// Lets those of the rows wait that land with less than was asked for.
    async fn wait(&self, connection: &mut PgConnection, rows: &[&Row<'_>]) -> Result<(), Error> {
        let rows: Vec<&&Row<'_>> = rows.iter().filter(|row| row.waits()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let mut copied = self.waiting.rows(rows.len());
        for row in rows {
            copied
                .row()
                .text(&self.name(row.shard.slice))
                .integer(i32::from(row.shard.partition))
                .bigint(row.seq as i64)
                .text(row.key)
                .text(&row.commit.collection)
                .text(&row.commit.rkey);
        }
        self.waiting.run(connection, copied).await?;
        Ok(())
    }

    async fn barrier(&self, connection: &mut PgConnection, barrier: &Barrier<'_>) -> Result<(), Error> {
        match barrier {
            Barrier::Replaced { repo, seq, rev } => {
                let below = "slice = $4 AND rev <= $5 AND seq < $6";
                let bind = |query: Query<'static, _, _>| {
                    query.bind(self.name(repo.0)).bind((*rev).to_owned()).bind(*seq as i64)
                };
                records_of(repo.1).remove(connection, below, bind).await?;
            }
            Barrier::Removed { repo } => {
                let bind = |query: Query<'static, _, _>| query.bind(self.name(repo.0));
                records_of(repo.1).remove(connection, "slice = $4", bind).await?;
            }
        }
        self.projections.barrier(connection, barrier).await
    }

    async fn floors(&self, connection: &mut PgConnection, folded: &Folded<'_>) -> Result<(), Error> {
        if folded.floors.is_empty() {
            return Ok(());
        }
        let mut floors: Vec<_> = folded.floors.iter().collect();
        floors.sort_unstable_by_key(|(repo, _)| **repo);
        let syncs: Vec<Option<i64>> = floors.iter().map(|(repo, floor)| set_by(folded, **repo, floor)).collect();
        let column = |of: &dyn Fn(&(&RepoKey<'_>, &Floor)) -> String| floors.iter().map(of).collect::<Vec<_>>();
        let inclusive: Vec<bool> = floors.iter().map(|(_, floor)| floor.inclusive).collect();
        sqlx::query(
            "INSERT INTO floors AS f (slice, did, rev, inclusive, seq)
             SELECT slice, did, rev, inclusive, coalesce(seq, 0)
             FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::bigint[])
               AS s (slice, did, rev, inclusive, seq)
             ON CONFLICT (slice, did) DO UPDATE SET rev = excluded.rev, inclusive = excluded.inclusive,
               seq = greatest(f.seq, excluded.seq)",
        )
        .persistent(false)
        .bind(column(&|(repo, _)| self.name(repo.0)))
        .bind(column(&|(repo, _)| repo.1.to_owned()))
        .bind(column(&|(_, floor)| floor.rev.to_string()))
        .bind(inclusive)
        .bind(syncs)
        .execute(connection)
        .await?;
        Ok(())
    }

    /// In the order of the DIDs, since slices share the table.
    async fn accounts(
        &self,
        connection: &mut PgConnection,
        accounts: &HashMap<&str, Account<'_>>,
    ) -> Result<(), Error> {
        if accounts.is_empty() {
            return Ok(());
        }
        let mut accounts: Vec<_> = accounts.iter().collect();
        accounts.sort_unstable_by_key(|(did, _)| **did);
        let dids: Vec<&str> = accounts.iter().map(|(did, _)| **did).collect();
        let handles: Vec<Option<&str>> = accounts.iter().map(|(_, account)| account.handle).collect();
        let active: Vec<Option<bool>> = accounts.iter().map(|(_, account)| account.state.map(|(is, _)| is)).collect();
        let status: Vec<Option<&str>> =
            accounts.iter().map(|(_, account)| account.state.and_then(|(_, s)| s)).collect();
        let times: Vec<i64> = accounts.iter().map(|(_, account)| account.time_us).collect();
        let seqs: Vec<i64> = accounts.iter().map(|(_, account)| account.seq as i64).collect();
        // An identity says nothing of the state, and an account event nothing of the handle.
        sqlx::query(
            "INSERT INTO accounts (did, handle, active, status, time_us, seq)
             SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[], $4::text[], $5::bigint[], $6::bigint[])
             ON CONFLICT (did) DO UPDATE SET
               handle = coalesce(excluded.handle, accounts.handle),
               status = CASE WHEN excluded.active IS NULL THEN accounts.status ELSE excluded.status END,
               active = coalesce(excluded.active, accounts.active),
               time_us = excluded.time_us, seq = excluded.seq
             WHERE excluded.seq > accounts.seq",
        )
        .persistent(false)
        .bind(dids)
        .bind(handles)
        .bind(active)
        .bind(status)
        .bind(times)
        .bind(seqs)
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) fn name(&self, slice: u16) -> String {
        self.slices.list().get(usize::from(slice)).map(|slice| slice.name.clone()).unwrap_or_default()
    }
}

/// Log sequence of the last sync in the batch that set this floor.
fn set_by(folded: &Folded<'_>, of: RepoKey<'_>, floor: &Floor) -> Option<i64> {
    let sync = |barrier: &Barrier<'_>| match barrier {
        Barrier::Replaced { repo, seq, rev } => (*repo == of && **rev == *floor.rev).then_some(*seq as i64),
        Barrier::Removed { .. } => None,
    };
    folded.barriers.iter().filter_map(sync).next_back()
}
