//! Statements that write many rows at once: a round trip to SQLite's thread costs more than a row.

use futures_util::future::join;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};
use std::sync::Arc;

/// Rows in the large statement.
const MANY: usize = 64;

/// An INSERT of several rows, as text for one row and for many.
pub(super) struct Bulk {
    many: Arc<str>,
    one: Arc<str>,
}

/// A query that takes its values row by row.
pub(super) type Values = Query<'static, Sqlite, SqliteArguments>;

impl Bulk {
    /// `head VALUES (?, …), … tail`, with `columns` values for each row.
    #[must_use]
    pub(super) fn new(head: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(", "));
        let sql = |rows: usize| format!("{head} VALUES {} {tail}", vec![&*row; rows].join(", ")).into();
        Self { many: sql(MANY), one: sql(1) }
    }

    /// Writes the rows; `bind` adds the values of one row. Returns how many rows were changed.
    pub(super) async fn write<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(Values, &T) -> Values,
    ) -> Result<u64, sqlx::Error> {
        let (many, rest) = rows.as_chunks::<MANY>();
        let of = |sql: &Arc<str>, rows: &[T]| rows.iter().fold(sqlx::query(AssertSqlSafe(sql.clone())), &bind);
        let mut queries =
            many.iter().map(|rows| of(&self.many, rows)).chain(rest.chunks(1).map(|row| of(&self.one, row)));
        let (mut changed, mut next) = (0, queries.next());
        while let Some(query) = next {
            // SQLite's thread writes some rows while the next ones are made.
            let (done, following) = join(query.execute(&mut *connection), async { queries.next() }).await;
            (changed, next) = (changed + done?.rows_affected(), following);
        }
        Ok(changed)
    }
}
