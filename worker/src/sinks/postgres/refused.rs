//! Records that PostgreSQL does not take: a NUL in JSON, say.
//!
//! The server names no row. So the rows are merged by halves, in transactions that are rolled back, until the ones that
//! it refuses stand alone. Each becomes a dead letter of this sink; every other sink still has it.

use super::effects::Effects;
use super::{Database, Error};
use turbo_core::fold::Row;

/// A row that was refused, and why.
#[derive(Debug)]
pub(super) struct RefusedRow {
    /// Log sequence of its event.
    pub(super) seq: u64,
    /// What the server says.
    pub(super) why: String,
}

/// The rows that the server refuses, whatever stands beside them.
pub(super) async fn find(database: &Database, effects: &Effects, rows: &[&Row<'_>]) -> Result<Vec<RefusedRow>, Error> {
    let mut refused = Vec::new();
    let mut parts = vec![rows];
    while let Some(part) = parts.pop() {
        let Err(error) = probe(database, effects, part).await else { continue };
        if !error.refuses_data() {
            return Err(error);
        }
        match part {
            [] => {}
            [row] => refused.push(RefusedRow { seq: row.seq, why: error.to_string() }),
            _ => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.extend([right, left]);
            }
        }
    }
    Ok(refused)
}

async fn probe(database: &Database, effects: &Effects, rows: &[&Row<'_>]) -> Result<(), Error> {
    let mut transaction = database.begin().await?;
    let merged = effects.rows(&mut transaction, rows).await;
    transaction.rollback().await?;
    merged
}
