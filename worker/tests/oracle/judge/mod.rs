//! The comparison of what landed with the truth.

mod archive;
mod counters;
mod duckdb;
mod enriched;
mod events;
mod letters;
mod records;

pub use archive::{archive, files};
pub use enriched::enriched;
pub use events::{Events, compare_all};

use crate::order::{Kind, Wrong};
use crate::truth::Truth;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// Why a comparison can not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares all of Postgres: records, accounts, counters, dead letters, gaps, owners.
///
/// # Errors
/// The database does not answer.
pub async fn postgres(url: &str, truth: &Truth) -> Result<Wrong, Failure> {
    let mut wrong = Wrong::default();
    let mut connection = PgConnection::connect(url).await?;
    records::records(&mut connection, truth, &mut wrong).await?;
    records::accounts(&mut connection, truth, &mut wrong).await?;
    letters::letters(&mut connection, truth, &mut wrong).await?;
    counters::counters(&mut connection, truth, &mut wrong).await?;
    for (what, sql) in [
        ("a gap", "SELECT reason || ' from ' || from_us || ' to ' || coalesce(to_us::text, '?') FROM gaps"),
        (
            "an owner that has left",
            "SELECT slice || '.' || partition || ' ' || sink || ' ' || owner FROM positions WHERE owner IS NOT NULL",
        ),
    ] {
        let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut connection).await?;
        rows.into_iter().for_each(|row| wrong.note(Kind::Different, || format!("{what}: {row}")));
    }
    Ok(wrong)
}
