//! All rows of an account in a table, step by step: however many they are, no statement visits more of them than it can in
//! its time. An account with few of them costs one statement.

use super::Error;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

/// Rows that a statement visits at most.
const STEP: i64 = 2000;

/// The rows of an account in a table whose key is `did` and then these columns, all texts.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) table: &'a str,
    pub(super) key: &'a [&'a str],
    pub(super) did: &'a str,
}

impl Walk<'_> {
    /// Removes the rows for which a condition holds. Its parameters are numbered from $4 on, and bound by `bind`.
    pub(super) async fn remove<'q>(
        &self,
        connection: &mut PgConnection,
        condition: &str,
        bind: impl Fn(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<(), Error> {
        let gone = format!(
            ", gone AS (DELETE FROM {} WHERE ctid = ANY (ARRAY(SELECT ctid FROM step WHERE {condition})))",
            self.table
        );
        self.steps(connection, &gone, "", bind).await.map(|_| ())
    }

    /// What an expression over the rows of each step, which are called `step`, says of it. Parameters as in
    /// [`Self::remove`].
    pub(super) async fn ask<'q>(
        &self,
        connection: &mut PgConnection,
        expression: &str,
        bind: impl Fn(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Error> {
        self.steps(connection, "", &format!("{expression}, "), bind).await
    }

    async fn steps<'q>(
        &self,
        connection: &mut PgConnection,
        with: &str,
        asked: &str,
        bind: impl Fn(Query<'q, Postgres, PgArguments>) -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Error> {
        let Self { table, did, .. } = self;
        let after: Vec<String> = (1..=self.key.len()).map(|n| format!("$2[{n}]")).collect();
        let (key, after) = (self.key.join(", "), after.join(", "));
        let sql = format!(
            "WITH step AS MATERIALIZED (
               SELECT *, ctid FROM {table}
               WHERE did = $1 AND ($2::text[] IS NULL OR ({key}) > ({after})) ORDER BY {key} LIMIT $3){with}
             SELECT {asked}(SELECT ARRAY[{key}] FROM step ORDER BY {key} OFFSET $3 - 1 LIMIT 1) AS last"
        );
        let (mut said, mut last) = (Vec::new(), None::<Vec<String>>);
        loop {
            let step = sqlx::query(AssertSqlSafe(sql.clone())).persistent(false);
            let step = bind(step.bind((*did).to_owned()).bind(last).bind(STEP)).fetch_one(&mut *connection).await?;
            last = step.try_get("last")?;
            said.push(step);
            if last.is_none() {
                return Ok(said);
            }
        }
    }
}
