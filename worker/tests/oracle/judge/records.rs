//! Records and accounts: PostgreSQL itself compares its rows with the truth, which is copied beside them.

use super::Failure;
use crate::order::{Kind, Wrong};
use crate::slices::{self, SLICES};
use crate::truth::Truth;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use turbo_sim::EventId;

/// Bytes that are sent at once.
const PIECE: usize = 1 << 20;

const TABLES: &str = "
    CREATE TEMPORARY TABLE true_records (
        did text COLLATE \"C\", collection text COLLATE \"C\", rkey text COLLATE \"C\",
        rev text COLLATE \"C\", cid text, json text, slice text, partition int
    );
    CREATE TEMPORARY TABLE true_accounts (did text COLLATE \"C\", handle text, active boolean, status text);
    CREATE FUNCTION pg_temp.is_jsonb(json text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN PERFORM json::jsonb; RETURN true; EXCEPTION WHEN data_exception THEN RETURN false; END $$;
    CREATE FUNCTION pg_temp.as_jsonb(json text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN RETURN json::jsonb; EXCEPTION WHEN data_exception THEN RETURN NULL; END $$;";

/// What PostgreSQL can not hold is a dead letter, and its row is as it was before: absent, or older.
const RECORDS: &str = "
    SELECT coalesce(t.did, r.did) AS did, coalesce(t.collection, r.collection) AS collection,
           coalesce(t.rkey, r.rkey) AS rkey, t.rev AS true_rev, r.rev AS rev, r.seq,
           CASE WHEN r.did IS NULL THEN 'is missing'
                WHEN t.did IS NULL THEN 'should be gone'
                WHEN r.rev <> t.rev THEN 'is of another revision'
                WHEN r.cid IS DISTINCT FROM t.cid THEN 'has another cid'
                WHEN (r.slice, r.partition) <> (t.slice, t.partition) THEN 'is in another shard'
                ELSE 'has another content' END AS what
    FROM true_records t FULL JOIN records r USING (did, collection, rkey)
    WHERE (r.did IS NULL OR t.did IS NULL
           OR (r.rev, r.cid, r.slice, r.partition) IS DISTINCT FROM (t.rev, t.cid, t.slice, t.partition)
           OR r.record IS DISTINCT FROM pg_temp.as_jsonb(t.json))
      AND NOT (t.did IS NOT NULL AND (r.did IS NULL OR r.rev < t.rev) AND NOT pg_temp.is_jsonb(t.json))
    ORDER BY r.seq LIMIT 1000";

const ACCOUNTS: &str = "
    SELECT coalesce(t.did, a.did) AS did,
           concat_ws(' ', coalesce(t.handle, '-'), coalesce(t.active::text, '-'), coalesce(t.status, '-')) AS truth,
           CASE WHEN a.did IS NULL THEN 'nothing'
                ELSE concat_ws(' ', coalesce(a.handle, '-'), coalesce(a.active::text, '-'), coalesce(a.status, '-'))
           END AS landed
    FROM true_accounts t FULL JOIN accounts a USING (did)
    WHERE t.did IS NULL OR a.did IS NULL
       OR (t.handle, t.active, t.status) IS DISTINCT FROM (a.handle, a.active, a.status) LIMIT 1000";

/// Compares `records`.
pub async fn records(connection: &mut PgConnection, truth: &Truth, wrong: &mut Wrong) -> Result<(), Failure> {
    sqlx::raw_sql(TABLES).execute(&mut *connection).await?;
    let mut copied = connection.copy_in_raw("COPY true_records FROM STDIN").await?;
    let mut text = String::new();
    for (did, repo) in &truth.repos {
        for record in repo.state.records() {
            let slice = slices::of_collection(record.collection);
            for field in [did, record.collection, record.rkey, record.rev, record.cid, record.json] {
                escape(&mut text, Some(field));
                text.push('\t');
            }
            text += &format!("{}\t{}\n", SLICES[slice].name, slices::partition(did, slice));
        }
        if text.len() > PIECE {
            copied.send(std::mem::take(&mut text).into_bytes()).await?;
        }
    }
    copied.send(text.into_bytes()).await?;
    copied.finish().await?;
    sqlx::raw_sql("ANALYZE true_records").execute(&mut *connection).await?;
    for row in sqlx::query(RECORDS).fetch_all(connection).await? {
        let text = |column| row.try_get::<Option<String>, _>(column).ok().flatten().unwrap_or_else(|| "-".into());
        let (did, collection, rkey, what) = (text("did"), text("collection"), text("rkey"), text("what"));
        let (truth, rev, seq) = (text("true_rev"), text("rev"), row.try_get::<Option<i64>, _>("seq")?);
        wrong.note(Kind::Different, || {
            format!("the record {did}/{collection}/{rkey} {what}: truth {truth}, landed {rev}, seq {seq:?}")
        });
    }
    Ok(())
}

/// Compares `accounts`.
pub async fn accounts(connection: &mut PgConnection, truth: &Truth, wrong: &mut Wrong) -> Result<(), Failure> {
    let mut copied = connection.copy_in_raw("COPY true_accounts FROM STDIN").await?;
    let mut text = String::new();
    let tells = |id: &EventId| matches!(id, EventId::Identity { .. } | EventId::Account { .. });
    for (did, repo) in truth.repos.iter().filter(|(_, repo)| repo.sent.iter().any(|sent| tells(&sent.id))) {
        let account = &repo.state.account;
        let active = account.active.map(|active| active.to_string());
        for field in [Some(&**did), account.handle.as_deref(), active.as_deref()] {
            escape(&mut text, field);
            text.push('\t');
        }
        escape(&mut text, account.status.as_deref());
        text.push('\n');
    }
    copied.send(text.into_bytes()).await?;
    copied.finish().await?;
    for row in sqlx::query(ACCOUNTS).fetch_all(connection).await? {
        let text = |column| row.try_get::<String, _>(column).unwrap_or_default();
        let (did, truth, landed) = (text("did"), text("truth"), text("landed"));
        wrong.note(Kind::Different, || format!("the account {did}: truth {truth}, landed {landed}"));
    }
    Ok(())
}

/// A field in the text format of COPY.
fn escape(text: &mut String, field: Option<&str>) {
    let Some(field) = field else { return text.push_str("\\N") };
    for c in field.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            c => text.push(c),
        }
    }
}
