//! Dead letters: what could not be processed, with its bytes, until it is sent again or dropped.
//!
//! Invariants:
//! - a letter is made in the commit that counts its entry as delivered, and keeps the log sequence of that entry;
//! - asking for a letter only marks its row: the shard's owner takes it up ([`super::Committer::redrive`]);
//! - while an account has a letter, its tombstones stay ([`super::Upkeep`]).

use super::commit::partitions_of;
use super::{Database, Error};
use crate::log::{Content, Entry};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use std::collections::BTreeMap;
use std::time::Duration;
use turbo_core::event::Body;
use turbo_core::shard::Slices;

/// Letters that are marked or dropped in one transaction.
const STEP: i64 = 5000;
/// The longest DID that is looked for in bytes that are no event.
const LONGEST_DID: usize = 2048;

/// Which letters; what is `None` or empty does not choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// These.
    pub ids: Vec<i64>,
    /// Of this reason: `Unreadable`, `Refused`, `Misplaced`.
    pub reason: Option<String>,
    /// Of this slice.
    pub slice: Option<String>,
    /// Of this account.
    pub did: Option<String>,
    /// Given up longer ago than this.
    pub older: Option<Duration>,
    /// Given up within this time.
    pub younger: Option<Duration>,
}

impl Filter {
    /// Whether it names letters by their ids and by nothing else.
    #[must_use]
    pub fn by_id(&self) -> bool {
        !self.ids.is_empty() && Self { ids: Vec::new(), ..self.clone() } == Self::default()
    }
}

/// A dead letter, but for its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its id.
    pub id: i64,
    /// The slice of its shard.
    pub slice: String,
    /// The partition of its shard.
    pub partition: i32,
    /// Log sequence of its entry.
    pub seq: i64,
    /// The account, where it could be read.
    pub did: Option<String>,
    /// `Unreadable`, `Refused` or `Misplaced`.
    pub reason: String,
    /// What is wrong with it.
    pub detail: String,
    /// Size of its bytes.
    pub bytes: i64,
    /// When it was given up, in microseconds.
    pub time_us: i64,
    /// How often it was tried.
    pub tries: i32,
    /// When it was asked for again, in microseconds, where it still waits for the owner of its shard.
    pub asked_us: Option<i64>,
}

const COLUMNS: &str =
    "id, slice, partition, seq, did, reason, detail, length(payload)::bigint AS bytes, time_us, tries,
    (extract(epoch FROM asked_at) * 1000000)::bigint AS asked_us";
const CHOSEN: &str = "(cardinality($1::bigint[]) = 0 OR id = ANY ($1)) AND ($2::text IS NULL OR reason = $2)
    AND ($3::text IS NULL OR slice = $3) AND ($4::text IS NULL OR did = $4)
    AND ($5::bigint IS NULL OR time_us < $5) AND ($6::bigint IS NULL OR time_us >= $6)";

impl Database {
    /// Letters, the newest first, at most `limit`.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn dead_letters(&self, filter: &Filter, limit: u32) -> Result<Vec<Letter>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE {CHOSEN} ORDER BY id DESC LIMIT $7");
        let mut transaction = self.begin().await?;
        let rows = chosen(&sql, filter).bind(i64::from(limit)).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        rows.iter().map(letter).collect()
    }

    /// A letter and its bytes.
    ///
    /// # Errors
    /// PostgreSQL refuses.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<(Letter, Vec<u8>)>, Error> {
        let sql = format!("SELECT {COLUMNS}, payload FROM dead_letters WHERE id = $1");
        let mut transaction = self.begin().await?;
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false).bind(id);
        let row = row.fetch_optional(&mut *transaction).await?;
        transaction.commit().await?;
        row.map(|row| Ok((letter(&row)?, row.try_get("payload")?))).transpose()
    }

    /// Asks for letters again. Returns how many; what was asked for already counts too.
    ///
    /// # Errors
    /// PostgreSQL refuses; those of earlier steps are asked for.
    pub async fn ask_again(&self, filter: &Filter) -> Result<u64, Error> {
        self.in_steps(filter, "UPDATE dead_letters SET asked_at = coalesce(asked_at, now())").await
    }

    /// Drops letters for good. Returns how many.
    ///
    /// # Errors
    /// PostgreSQL refuses; those of earlier steps are gone.
    pub async fn drop_letters(&self, filter: &Filter) -> Result<u64, Error> {
        self.in_steps(filter, "DELETE FROM dead_letters").await
    }

    /// Steps through the letters in the order of their ids, each step a transaction.
    async fn in_steps(&self, filter: &Filter, what: &str) -> Result<u64, Error> {
        let sql = format!(
            "WITH step AS (SELECT id FROM dead_letters WHERE {CHOSEN} AND id > $7 ORDER BY id LIMIT $8 FOR UPDATE),
             done AS ({what} WHERE id IN (SELECT id FROM step))
             SELECT count(*), max(id) FROM step"
        );
        let (mut all, mut after) = (0, 0i64);
        loop {
            let mut transaction = self.begin().await?;
            let step = chosen(&sql, filter).bind(after).bind(STEP).fetch_one(&mut *transaction).await?;
            transaction.commit().await?;
            let (count, last): (i64, Option<i64>) = (step.try_get(0)?, step.try_get(1)?);
            all += count as u64;
            match last {
                Some(last) if count == STEP => after = last,
                _ => return Ok(all),
            }
        }
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn chosen<'q>(sql: &str, filter: &Filter) -> Query<'q> {
    let now = jiff::Timestamp::now().as_microsecond();
    let ago = |age: Duration| now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
        .persistent(false)
        .bind(filter.ids.clone())
        .bind(filter.reason.clone())
        .bind(filter.slice.clone())
        .bind(filter.did.clone())
        .bind(filter.older.map(ago))
        .bind(filter.younger.map(ago))
}

fn letter(row: &PgRow) -> Result<Letter, Error> {
    Ok(Letter {
        id: row.try_get("id")?,
        slice: row.try_get("slice")?,
        partition: row.try_get("partition")?,
        seq: row.try_get("seq")?,
        did: row.try_get("did")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        bytes: row.try_get("bytes")?,
        time_us: row.try_get("time_us")?,
        tries: row.try_get("tries")?,
        asked_us: row.try_get("asked_us")?,
    })
}

/// Makes letters of the entries that are no events, and of the refused ones (log sequence to reason), in one statement.
pub(super) async fn insert(
    connection: &mut PgConnection,
    slices: &Slices,
    entries: impl Iterator<Item = &Entry>,
    refused: &BTreeMap<u64, String>,
) -> Result<(), Error> {
    let made: Vec<Made<'_>> = entries.filter_map(|entry| made(entry, refused.get(&entry.seq))).collect();
    if made.is_empty() {
        return Ok(());
    }
    let texts = |of: fn(&Made<'_>) -> String| made.iter().map(of).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO dead_letters (slice, partition, seq, did, rev, reason, detail, payload, time_us)
         SELECT *, $9 FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
           $8::bytea[])",
    )
    .persistent(false)
    .bind(made.iter().map(|letter| slices.name(letter.entry.shard).to_owned()).collect::<Vec<_>>())
    .bind(partitions_of(made.iter().map(|letter| letter.entry.shard)))
    .bind(made.iter().map(|letter| letter.entry.seq as i64).collect::<Vec<_>>())
    .bind(made.iter().map(|letter| letter.did.map(without_nul)).collect::<Vec<_>>())
    .bind(made.iter().map(|letter| letter.rev.map(without_nul)).collect::<Vec<_>>())
    .bind(texts(|letter| letter.reason.to_owned()))
    .bind(texts(|letter| without_nul(letter.detail)))
    .bind(made.iter().map(|letter| letter.payload).collect::<Vec<_>>())
    .bind(jiff::Timestamp::now().as_microsecond())
    .execute(connection)
    .await?;
    Ok(())
}

struct Made<'a> {
    entry: &'a Entry,
    reason: &'static str,
    detail: &'a str,
    did: Option<&'a str>,
    rev: Option<&'a str>,
    payload: &'a [u8],
}

fn made<'a>(entry: &'a Entry, refused: Option<&'a String>) -> Option<Made<'a>> {
    match (&entry.item.content, refused) {
        (Content::Unreadable { bytes, reason }, _) => {
            let (did, detail) = (did_in(bytes), reason.as_str());
            Some(Made { entry, reason: "Unreadable", detail, did, rev: None, payload: bytes })
        }
        (Content::Event(event), Some(detail)) => {
            let rev = if let Body::Commit(commit) = &event.body { Some(&*commit.rev) } else { None };
            Some(Made { entry, reason: "Refused", detail, did: Some(&event.key), rev, payload: &event.bytes })
        }
        (Content::Event(_) | Content::Gap(_) | Content::Covered(_), _) => None,
    }
}

pub(super) fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

/// The first thing in the bytes that looks like the envelope's DID: it keeps the tombstones of that account.
fn did_in(bytes: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = b"\"did\":\"";
    let at = bytes.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    let rest = bytes.get(at..)?;
    let did = rest.get(..rest.iter().take(LONGEST_DID + 1).position(|byte| *byte == b'"')?)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b":._%-".contains(byte);
    let did = std::str::from_utf8(did).ok()?;
    (did.starts_with("did:") && did.as_bytes().iter().all(plain)).then_some(did)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_found_in_bytes_that_are_no_event() {
        assert_eq!(did_in(br#"{"did":"did:plc:abc","kind":"new","x":"#), Some("did:plc:abc"));
        assert_eq!(did_in(br#"{"$type":"message","payload":{"did":"did:web:a.b%3A1""#), Some("did:web:a.b%3A1"));
        for none in
            [&br#"{"did":"did:plc:abc"#[..], br#"{"did":"a\u0000"}"#, b"\xff\x00", b"", br#"{"did":"did:\xff"}"#]
        {
            assert_eq!(did_in(none), None);
        }
    }
}
