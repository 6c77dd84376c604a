//! Dead letters: those that have to be there, and no others.
//!
//! A record that PostgreSQL does not take is one, unless a later change of it came in the same commit. So of every
//! record that can not be taken and is still there in the end there is one, and all others are of such records too.
//! Frames that mean nothing are not sent by the source of this test.

use super::Failure;
use crate::order::{Kind, Wrong};
use crate::truth::{Truth, content};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::HashSet;

/// What every record in the end left must not have been: refused, and without a letter.
const UNTOLD: &str = "
    SELECT t.did, t.collection, t.rkey, t.rev FROM true_records t LEFT JOIN true_letters l USING (did, collection, rkey, rev)
    WHERE l.did IS NULL AND NOT pg_temp.is_jsonb(t.json) LIMIT 1000";

/// An event of v2, as far as a letter is compared.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    payload: Commit<'a>,
}

#[derive(Deserialize)]
struct Commit<'a> {
    rev: String,
    collection: String,
    rkey: String,
    #[serde(borrow)]
    record: Option<&'a RawValue>,
}

/// Compares `dead_letters`.
pub async fn letters(connection: &mut PgConnection, truth: &Truth, wrong: &mut Wrong) -> Result<(), Failure> {
    sqlx::raw_sql(
        "CREATE TEMPORARY TABLE true_letters (did text COLLATE \"C\", collection text COLLATE \"C\",
           rkey text COLLATE \"C\", rev text COLLATE \"C\")",
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query("SELECT slice, partition, seq, did, reason, detail, payload FROM dead_letters ORDER BY id")
        .fetch_all(&mut *connection)
        .await?;
    let mut seen = HashSet::new();
    for row in rows {
        let (reason, detail): (String, String) = (row.try_get("reason")?, row.try_get("detail")?);
        let (slice, partition): (String, i32) = (row.try_get("slice")?, row.try_get("partition")?);
        let (did, seq) = (row.try_get::<Option<String>, _>("did")?.unwrap_or_default(), row.try_get::<i64, _>("seq")?);
        let place = format!("the dead letter of {did} in {slice}.{partition}, seq {seq}");
        if !seen.insert((slice, partition, seq)) {
            wrong.note(Kind::Duplicated, || place.clone());
        }
        let payload: Vec<u8> = row.try_get("payload")?;
        let Some((commit, json)) = commit_of(&payload).filter(|_| reason == "Refused") else {
            wrong.note(Kind::Different, || format!("{place} should not be there: {reason}, {detail}"));
            continue;
        };
        let sent = truth.repos.get(&*did).is_some_and(|repo| {
            repo.sent.iter().any(|sent| sent.content == content(Some(json)) && is_of(&sent.id, &commit))
        });
        let taken: bool =
            sqlx::query_scalar("SELECT pg_temp.is_jsonb($1)").bind(json).fetch_one(&mut *connection).await?;
        if !sent || taken {
            let why = if sent { "its record can be taken" } else { "the source never sent it" };
            wrong.note(Kind::Different, || format!("{place} should not be there, {why}: {detail}"));
        }
        sqlx::query("INSERT INTO true_letters VALUES ($1, $2, $3, $4)")
            .bind(&did)
            .bind(&commit.collection)
            .bind(&commit.rkey)
            .bind(&commit.rev)
            .execute(&mut *connection)
            .await?;
    }
    for row in sqlx::query(UNTOLD).fetch_all(connection).await? {
        let text = |at: usize| row.try_get::<String, _>(at).unwrap_or_default();
        wrong.note(Kind::Lost, || {
            format!(
                "the record {}/{}/{} at {} was refused, and no dead letter says so",
                text(0),
                text(1),
                text(2),
                text(3)
            )
        });
    }
    Ok(())
}

fn is_of(id: &turbo_sim::EventId, commit: &Commit<'_>) -> bool {
    let turbo_sim::EventId::Commit { rev, collection, rkey, .. } = id else { return false };
    (rev, collection, rkey) == (&commit.rev, &commit.collection, &commit.rkey)
}

/// The commit of an event's bytes, with its record.
fn commit_of(payload: &[u8]) -> Option<(Commit<'_>, &str)> {
    let Frame { payload: commit } = serde_json::from_slice(payload).ok()?;
    let json = commit.record?.get();
    Some((commit, json))
}
