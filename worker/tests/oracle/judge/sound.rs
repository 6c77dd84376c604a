//! PostgreSQL looks through its own files first: what is damaged there would look like a fault of the pipeline.

use super::{Failure, texts};
use crate::order::{Kind, Wrong};
use sqlx::postgres::PgConnection;

/// Each index of the pipeline's tables finds each row of its table once, in its order.
const INDEXES: &str = "
    SELECT x.relname || bt_index_check(x.oid, true)::text
    FROM pg_index AS i JOIN pg_class AS x ON x.oid = i.indexrelid JOIN pg_am AS m ON m.oid = x.relam
    WHERE m.amname = 'btree' AND x.relpersistence = 'p' AND x.relnamespace = 'public'::regnamespace";
const ROWS: &str = "
    SELECT c.relname || ': ' || v.msg
    FROM pg_class AS c CROSS JOIN LATERAL verify_heapam(c.oid) AS v
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.relnamespace = 'public'::regnamespace LIMIT 20";

/// Checks indexes and rows, where the server has its module for that.
///
/// # Errors
/// The database does not answer.
pub async fn sound(connection: &mut PgConnection, wrong: &mut Wrong) -> Result<(), Failure> {
    if texts(connection, "SELECT name::text FROM pg_available_extensions WHERE name = 'amcheck'").await?.is_empty() {
        println!("PostgreSQL is not asked whether its files are whole: it has no amcheck");
        return Ok(());
    }
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS amcheck").execute(&mut *connection).await?;
    match texts(connection, INDEXES).await {
        Ok(_) => {}
        Err(sqlx::Error::Database(damage)) => {
            wrong.note(Kind::Different, || format!("PostgreSQL's own files are damaged: {damage}"));
        }
        Err(error) => return Err(error.into()),
    }
    for damage in texts(connection, ROWS).await? {
        wrong.note(Kind::Different, || format!("PostgreSQL's own files are damaged: {damage}"));
    }
    Ok(())
}
