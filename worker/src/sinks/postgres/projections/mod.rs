//! Projections: the common collections as tables with a column for each field, filled by the commits that land the records.
//!
//! Invariants:
//! - a table has a row for each record of its collection that landed while the projection was on, of the same revision:
//!   both are written in one transaction, under the same rule;
//! - nothing that a record holds makes a commit fail: what is not as its lexicon says is NULL ([`crate::record`]);
//! - rows are locked behind those of `record_state`, so that nobody waits for a row here without holding that one.

mod backfill;
mod columns;
mod lists;
mod posts;
mod profiles;
mod social;

pub use backfill::{Backfill, BackfillOptions};

use super::Error;
use super::copy::Rows;
use super::merge::Merge;
use super::walk::Walk;
use crate::record::{Datum, Record};
use columns::Projection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection};
use turbo_core::fold::{Barrier, Row};
use turbo_core::shard::Slices;

/// Every projection, in the order of the documentation.
static ALL: [Projection; 8] = [
    posts::POSTS,
    social::LIKES,
    social::REPOSTS,
    social::FOLLOWS,
    social::BLOCKS,
    lists::LISTS,
    lists::LIST_ITEMS,
    profiles::PROFILES,
];

/// A name that no projection has.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.sinks.postgres.projections: there is no {name:?}; give some of {all}", all = names().collect::<Vec<_>>().join(", "))]
pub struct UnknownProjection {
    /// The name.
    pub name: String,
}

/// The names of all projections.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|projection| projection.name)
}

/// The statements that make all tables: the migration.
#[must_use]
pub fn ddl() -> String {
    let head =
        "-- Typed tables of the common collections. Made from the code: worker/src/sinks/postgres/projections.\n";
    let state = "
-- Projections that are on, and how far older records were taken into them.
CREATE TABLE projections (
    name    text PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    time_us bigint NOT NULL DEFAULT -9223372036854775808,
    did     text COLLATE \"C\" NOT NULL DEFAULT '',
    rkey    text COLLATE \"C\" NOT NULL DEFAULT '',
    done    boolean NOT NULL DEFAULT false
);
";
    ALL.iter().fold(format!("{head}{state}"), |all, projection| format!("{all}\n{}", projection.ddl()))
}

/// The page that documents every column.
#[must_use]
pub fn reference() -> String {
    let head = "# Projections\n\nTables that `spec.sinks.postgres.projections` switches on by name. This page is made from \
                the code.\n\nEach has a row for each record of its collection, with the columns `did`, `rkey`, `rev`, `cid`, \
                `time_us` and `seq` of `records`, and these. A field that is not there, or is of another type than its \
                lexicon says, is NULL; so is a URI, DID or CID of more than 2,048 bytes, and elements of lists that are no \
                texts are left out. Nothing that a record holds keeps it from landing.\n\n";
    let parts: Vec<String> = ALL.iter().map(Projection::reference).collect();
    format!("{head}{}", parts.concat().trim_end().to_owned() + "\n")
}

/// The projections that a committer fills.
#[derive(Debug, Default)]
pub(super) struct Projections(Vec<Filled>);

impl Projections {
    pub(super) fn new(wanted: &[String], slices: &Slices) -> Result<Self, UnknownProjection> {
        if let Some(unknown) = wanted.iter().find(|name| names().all(|known| known != **name)) {
            return Err(UnknownProjection { name: unknown.clone() });
        }
        let wanted = ALL.iter().filter(|projection| wanted.iter().any(|name| name == projection.name));
        let filled = |projection| Filled {
            merge: merge(projection),
            slice: slices.of_record("", projection.collection).slice,
            projection,
        };
        Ok(Self(wanted.map(filled).collect()))
    }

    /// Takes over what has become of rows, after they were merged into `record_state`.
    pub(super) async fn merge(&self, connection: &mut PgConnection, rows: &[&Row<'_>]) -> Result<(), Error> {
        for filled in &self.0 {
            let of = || rows.iter().copied().filter(|row| *row.commit.collection == *filled.projection.collection);
            let gone: Vec<&Row<'_>> = of().filter(|row| row.record().is_none()).collect();
            filled.remove(connection, &gone).await?;
            let there: Vec<_> = of().filter_map(|row| Some((row, row.record()?))).collect();
            if there.is_empty() {
                continue;
            }
            let mut staged = filled.merge.rows(there.len());
            for (row, record) in there {
                let (commit, cid) = (row.commit, row.commit.cid.as_deref());
                let key = Key { did: row.key, rkey: &commit.rkey, rev: &commit.rev, cid };
                stage(&mut staged, filled.projection, &key, (row.time_us, row.seq as i64), record);
            }
            filled.merge.run(connection, staged).await?;
        }
        Ok(())
    }

    /// What a barrier does to the rows of its repository and slice.
    pub(super) async fn barrier(&self, connection: &mut PgConnection, barrier: &Barrier<'_>) -> Result<(), Error> {
        let (Barrier::Replaced { repo, .. } | Barrier::Removed { repo }) = barrier;
        for filled in self.0.iter().filter(|filled| filled.slice == repo.0) {
            let walk = Walk { table: filled.projection.name, key: &["rkey"], did: repo.1 };
            match barrier {
                Barrier::Replaced { seq, rev, .. } => {
                    let bind = |query: Query<'static, _, _>| query.bind((*rev).to_owned()).bind(*seq as i64);
                    walk.remove(connection, "rev <= $4 AND seq < $5", bind).await?;
                }
                Barrier::Removed { .. } => walk.remove(connection, "true", |query| query).await?,
            }
        }
        Ok(())
    }
}

/// Removes rows of records that retention has removed, whether their projection is on or not.
pub(super) async fn remove(
    connection: &mut PgConnection,
    collection: &str,
    dids: &[String],
    rkeys: &[String],
) -> Result<(), Error> {
    for projection in ALL.iter().filter(|projection| projection.collection == collection && !dids.is_empty()) {
        let sql = format!(
            "DELETE FROM {} AS p USING unnest($1::text[], $2::text[]) AS s (did, rkey)
             WHERE p.did = s.did AND p.rkey = s.rkey",
            projection.name
        );
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(dids).bind(rkeys);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A projection that is on.
#[derive(Debug)]
struct Filled {
    projection: &'static Projection,
    slice: u16,
    merge: Merge,
}

impl Filled {
    /// Removes what tombstones have ended.
    async fn remove(&self, connection: &mut PgConnection, gone: &[&Row<'_>]) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        let column = |of: fn(&Row<'_>) -> String| gone.iter().map(|row| of(row)).collect::<Vec<String>>();
        let sql = format!(
            "DELETE FROM {} AS p USING unnest($1::text[], $2::text[], $3::text[]) AS s (did, rkey, rev)
             WHERE p.did = s.did AND p.rkey = s.rkey AND p.rev < s.rev",
            self.projection.name
        );
        sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(column(|row| row.key.to_owned()))
            .bind(column(|row| row.commit.rkey.to_string()))
            .bind(column(|row| row.commit.rev.to_string()))
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The columns that a row has beside its fields.
struct Key<'a> {
    did: &'a str,
    rkey: &'a str,
    rev: &'a str,
    cid: Option<&'a str>,
}

/// Adds a row, in the order of [`Projection::written`]; `at` is its source time and its log sequence.
fn stage(staged: &mut Rows, projection: &Projection, key: &Key<'_>, at: (i64, i64), record: &[u8]) {
    let record = Record::new(record);
    staged.row().text(key.did).text(key.rkey).text(key.rev).text_or_null(key.cid).bigint(at.0).bigint(at.1);
    for column in projection.columns {
        match (column.read)(&record) {
            Datum::Null => staged.null(),
            Datum::Text(text) => staged.text(&text),
            Datum::Texts(texts) => staged.texts(&texts),
            Datum::Time(time_us) => staged.time(time_us),
        };
    }
}

/// The merge of a projection: what stands in `record_state` now is taken over.
fn merge(projection: &Projection) -> Merge {
    let Projection { name, collection, .. } = projection;
    let columns: Vec<(&str, &str)> = projection.written().collect();
    let all: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let from: Vec<String> = all.iter().map(|name| format!("s.{name}")).collect();
    let set: Vec<String> = all.iter().skip(2).map(|name| format!("{name} = excluded.{name}")).collect();
    let (all, from, set) = (all.join(", "), from.join(", "), set.join(", "));
    // The limit makes it one look by the key for each row.
    Merge::new(name, &columns, |rows| {
        format!(
            "INSERT INTO {name} ({all}) SELECT {from} FROM {rows} AS s
             CROSS JOIN LATERAL (SELECT FROM record_state r WHERE r.did = s.did AND r.collection = '{collection}'
               AND r.rkey = s.rkey AND r.rev = s.rev AND r.seq = s.seq AND r.record IS NOT NULL LIMIT 1) AS r
             ORDER BY s.did, s.rkey
             ON CONFLICT (did, rkey) DO UPDATE SET {set} WHERE excluded.rev > {name}.rev"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migration_and_the_page_are_made_from_the_code() {
        for (made, file) in
            [(ddl(), "migrations/postgres/0003_projections.sql"), (reference(), "../docs/projections.md")]
        {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            if std::env::var_os("TURBO_WRITE").is_some() {
                std::fs::write(&path, &made).unwrap();
            }
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(written, made, "{file} differs from the code: TURBO_WRITE=1 writes it");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let slice = turbo_core::shard::Slice { name: "all".into(), collections: None, partitions: 1 };
        let slices = Slices::new(vec![slice]).unwrap();
        let error = Projections::new(&["likes".into(), "lieks".into()], &slices).unwrap_err();
        assert!(error.to_string().starts_with(
            "spec.sinks.postgres.projections: there is no \"lieks\"; give some of posts, likes, reposts, "
        ));
    }
}
