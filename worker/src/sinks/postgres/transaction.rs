//! Transactions.
//!
//! Invariant: a transaction that was neither committed nor rolled back takes its connection with it. One that is given up
//! in the middle of a COPY leaves its connection one answer behind, and the next COMMIT on it would read the answer of
//! something else (seen with sqlx 0.9).

use super::Database;
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// How long it is looked why there is no connection.
const WHY: Duration = Duration::from_secs(2);

/// Each statement has a limit of time, and none is worth compiling: a merge that is estimated as dear would be, anew each
/// time, for longer than it takes.
fn begin(limit: Duration) -> String {
    format!("BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL jit = off", limit.as_millis())
}

/// An open transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: PoolConnection<Postgres>,
    ended: bool,
}

impl Database {
    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        let mut transaction = Transaction { connection: self.acquire().await?, ended: false };
        sqlx::raw_sql(AssertSqlSafe(begin(self.statement))).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// A connection of the pool. The pool says only that it waited for one: why there is none is asked of the server.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let pool = &self.pool;
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) if pool.size() < pool.options().get_max_connections() => {
                let options = pool.connect_options();
                let why = tokio::time::timeout(WHY, PgConnection::connect_with(&options)).await;
                let why = why.ok().and_then(Result::err);
                Err(why.unwrap_or(sqlx::Error::PoolTimedOut))
            }
            acquired => acquired,
        }
    }
}

impl Transaction {
    /// Commits. Where there is no answer it is not known whether it landed.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.ended = true;
        Ok(())
    }

    /// Rolls back, and keeps the connection.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("ROLLBACK").execute(&mut *self).await?;
        self.ended = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
