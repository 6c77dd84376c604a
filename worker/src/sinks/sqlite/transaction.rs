//! Write transactions.
//!
//! Invariant: a transaction that was not committed takes its connection with it. SQLite ends a transaction by itself when
//! the disk is full, which neither a rollback nor the pool would know of; a new connection knows nothing of the old one.

use super::Database;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection};
use std::ops::{Deref, DerefMut};

/// An open write transaction.
pub struct Transaction {
    connection: PoolConnection<Sqlite>,
    committed: bool,
}

impl Database {
    /// Begins a write transaction: waits for the one connection that writes.
    ///
    /// # Errors
    /// SQLite refuses.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        let mut transaction = Transaction { connection: self.write.acquire().await?, committed: false };
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *transaction).await?;
        Ok(transaction)
    }
}

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// SQLite refuses; nothing of the transaction is in then.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
