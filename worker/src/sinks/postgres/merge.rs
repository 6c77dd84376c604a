//! Merges: rows are sent to the server and merged into a table by one statement.
//!
//! Many rows go by binary COPY into a table of the connection, which is made once, emptied by each transaction's end, and
//! bears a hash of its columns in its name, since a pooler's connections outlive a version of the program. Few go as
//! arrays, within the statement itself: a COPY of sqlx costs 40 ms however small it is, since its end is sent after its
//! data, on a socket that holds small packets back until the ones before are acknowledged.

use super::Error;
use super::copy::{Rows, end};
use sqlx::{AssertSqlSafe, PgConnection};

/// So many rows go by COPY.
const COPY_FROM: usize = 500;

/// The statements of a merge.
#[derive(Debug)]
pub(super) struct Merge {
    fields: usize,
    make: String,
    copy: String,
    from_stage: String,
    from_arrays: String,
}

impl Merge {
    /// A merge of rows with these columns (name, type). `statement` makes it, given where the rows are to be read from.
    pub(super) fn new(name: &str, columns: &[(&str, &str)], statement: impl Fn(&str) -> String) -> Self {
        let types: Vec<String> = columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let types = types.join(", ");
        let stage = format!("turbo_stage_{name}_{:08x}", xxhash_rust::xxh3::xxh3_64(types.as_bytes()) as u32);
        let numbered = || (1..=columns.len()).zip(columns);
        let arrays: Vec<String> = numbered().map(|(n, _)| format!("${n}::text[]")).collect();
        let names: Vec<String> = numbered().map(|(n, _)| format!("c{n}")).collect();
        let casts: Vec<String> = numbered().map(|(n, (name, kind))| format!("{} AS {name}", cast(n, kind))).collect();
        let (arrays, names, casts) = (arrays.join(", "), names.join(", "), casts.join(", "));
        Self {
            fields: columns.len(),
            // What is wide is compressed once, where it stays.
            make: format!(
                "CREATE TEMP TABLE IF NOT EXISTS {stage} ({types}) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS"
            ),
            copy: format!("COPY {stage} FROM STDIN (FORMAT binary)"),
            from_stage: statement(&stage),
            from_arrays: statement(&format!("(SELECT {casts} FROM unnest({arrays}) AS x ({names}))")),
        }
    }

    /// Room for this many rows.
    pub(super) fn rows(&self, count: usize) -> Rows {
        if count < COPY_FROM { Rows::arrays(self.fields) } else { Rows::binary(self.fields) }
    }

    /// Merges rows. Returns how many were written.
    pub(super) async fn run(&self, connection: &mut PgConnection, rows: Rows) -> Result<u64, Error> {
        match rows {
            Rows::Arrays { columns, .. } => {
                let mut query = sqlx::query(AssertSqlSafe(self.from_arrays.clone())).persistent(false);
                for column in columns {
                    query = query.bind(column);
                }
                Ok(query.execute(connection).await?.rows_affected())
            }
            Rows::Binary { mut bytes, .. } => {
                sqlx::raw_sql(AssertSqlSafe(self.make.clone())).execute(&mut *connection).await?;
                end(&mut bytes);
                let mut copy = connection.copy_in_raw(&self.copy).await?;
                if let Err(error) = copy.send(bytes).await {
                    copy.abort("the rows could not be sent").await?;
                    return Err(error.into());
                }
                copy.finish().await?;
                let merged = sqlx::raw_sql(AssertSqlSafe(self.from_stage.clone())).execute(connection).await?;
                Ok(merged.rows_affected())
            }
        }
    }
}

/// A column of texts as what it stands for.
fn cast(n: usize, kind: &str) -> String {
    let base = kind.split(' ').next().unwrap_or(kind);
    let collation = if kind.contains("COLLATE") { " COLLATE \"C\"" } else { "" };
    format!("c{n}::{base}{collation}")
}
