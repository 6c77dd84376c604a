//! The comparison of what landed with the truth.

mod archive;
mod counters;
mod duckdb;
mod enriched;
mod events;
pub mod hydrated;
mod letters;
mod records;
mod sound;

pub use archive::{archive, files};
pub use enriched::enriched;
pub use events::{Events, compare_all};

use crate::order::{Kind, Wrong};
use crate::truth::Truth;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeSet;

/// Why a comparison can not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Compares all of Postgres: records, accounts, counters, dead letters, gaps, and that nobody of those who `left` in good
/// order owns anything.
///
/// # Errors
/// The database does not answer.
pub async fn postgres(url: &str, truth: &Truth, left: &BTreeSet<String>) -> Result<Wrong, Failure> {
    let mut wrong = Wrong::default();
    let mut connection = PgConnection::connect(url).await?;
    sound::sound(&mut connection, &mut wrong).await?;
    records::records(&mut connection, truth, &mut wrong).await?;
    records::accounts(&mut connection, truth, &mut wrong).await?;
    letters::letters(&mut connection, truth, &mut wrong).await?;
    counters::counters(&mut connection, truth, &mut wrong).await?;
    let gaps = "SELECT reason || ' from ' || from_us || ' to ' || coalesce(to_us::text, '?') FROM gaps";
    for gap in texts(&mut connection, gaps).await? {
        wrong.note(Kind::Different, || format!("a gap: {gap}"));
    }
    for owner in texts(&mut connection, "SELECT DISTINCT owner FROM positions WHERE owner IS NOT NULL").await? {
        // Behind the last `-` is what makes each name another one. Who was killed could not release.
        if owner.rsplit_once('-').is_some_and(|(called, _)| left.contains(called)) {
            wrong.note(Kind::Different, || format!("{owner} has left in good order and owns a shard"));
        }
    }
    Ok(wrong)
}

async fn texts(connection: &mut PgConnection, sql: &'static str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_all(connection).await
}
