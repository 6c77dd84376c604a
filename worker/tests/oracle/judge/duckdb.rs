//! The archive as DuckDB reads it: rows, distinct sequences and order, of each shard.

use super::Failure;
use super::archive::Sums;
use crate::order::{Kind, Wrong};
use std::path::Path;
use std::process::Command;

/// Prints one line for each shard. `out_of_order` counts rows that stand behind a later one of their DID in its file.
const SCRIPT: &str = r#"
import sys, duckdb
duckdb.execute("SET enable_progress_bar = false")
sql = """
WITH rows AS (
  SELECT slice, partition, seq, did, filename, file_row_number AS n
  FROM read_parquet(?, hive_partitioning = false, filename = true, file_row_number = true)
), placed AS (
  SELECT slice, partition, seq, seq < lag(seq) OVER (PARTITION BY filename, did ORDER BY n) AS late FROM rows
)
SELECT slice, partition, count(*), count(DISTINCT seq), sum(seq)::hugeint, count(*) FILTER (WHERE late)
FROM placed GROUP BY ALL ORDER BY ALL
"""
for row in duckdb.sql(sql, params=[sys.argv[1] + "/**/*.parquet"]).fetchall():
    print(*row)
"#;

/// Compares what DuckDB counts with what the objects hold.
pub fn compare(folder: &Path, sums: &Sums, wrong: &mut Wrong) -> Result<(), Failure> {
    if sums.is_empty() {
        return Ok(());
    }
    let output = Command::new("python3").args(["-c", SCRIPT]).arg(folder).output()?;
    if !output.status.success() {
        return Err(format!("DuckDB can not read the archive: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let mut left = sums.clone();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [slice, partition, rows, distinct, sum, late] = fields[..] else {
            return Err(format!("DuckDB says {line}").into());
        };
        let (rows, distinct, late): (u64, u64, u64) = (rows.parse()?, distinct.parse()?, late.parse()?);
        let own = left.remove(&(slice.to_owned(), partition.parse()?)).unwrap_or_default();
        if own != (rows, sum.parse()?) {
            wrong.note(Kind::Different, || {
                format!("{slice}.{partition}: DuckDB reads {rows} rows, sum of seqs {sum}; the objects hold {own:?}")
            });
        }
        (distinct..rows).for_each(|_| {
            wrong.note(Kind::Duplicated, || format!("{slice}.{partition}: DuckDB reads {rows} rows, {distinct} seqs"));
        });
        (0..late)
            .for_each(|_| wrong.note(Kind::OutOfOrder, || format!("{slice}.{partition}: {late} rows as DuckDB reads")));
    }
    for (slice, partition) in left.into_keys() {
        wrong.note(Kind::Lost, || format!("{slice}.{partition}: DuckDB reads no row of it"));
    }
    Ok(())
}
