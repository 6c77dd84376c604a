//! Letters that were asked for again: which there are, what is to be done with each, and what becomes of those that do not
//! land.

use super::commit::partitions_of;
use super::dead_letters::without_nul;
use super::refused::Refused;
use super::{Database, Error};
use bytes::Bytes;
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use turbo_core::event::{Body, Event};
use turbo_core::fold::Logged;
use turbo_core::hydrated::NOTHING;
use turbo_core::ownership::Owned;
use turbo_core::shard::{Shard, Slices};
use turbo_core::wire::{Frame, decode};

/// Bytes of letters in one redrive; one that is larger comes alone.
const MAX_BYTES: i64 = 16 << 20;
/// The reason of a letter that could not be read when it came, and waits for the owner of the shard that it belongs to.
const MISPLACED: &str = "Misplaced";

/// How a compressed frame begins (<https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1>).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Its dictionary is the source's.
const COMPRESSED: &str = "the frame is compressed, and was too large when it was inflated; only the source can give it again: \
                          a pipeline of its own with a larger spec.source.jetstream.maxFrame and a cursor before it";

/// A letter that was asked for.
pub(super) struct Asked {
    pub(super) id: i64,
    pub(super) shard: Shard,
    pub(super) seq: u64,
    pub(super) outcome: Outcome,
    /// Whether its slice looks up what records point at.
    pub(super) hydrates: bool,
}

/// What is to be done with a letter.
pub(super) enum Outcome {
    /// To be applied as its entry would have been.
    Apply(Box<Event>),
    /// To be handed to the shards that it belongs to.
    Move(Box<Event>),
    /// It failed again.
    Fail(String),
}

impl Asked {
    pub(super) fn logged(&self) -> Option<Logged<'_>> {
        let Outcome::Apply(event) = &self.outcome else { return None };
        // What it points at is looked up when it has landed.
        let hydrated = self.hydrates.then_some(&NOTHING);
        Some(Logged { seq: self.seq, shard: self.shard, event, hydrated })
    }

    pub(super) fn lands(&self, refused: &Refused) -> bool {
        matches!(self.outcome, Outcome::Apply(_)) && !refused.contains_key(&self.seq)
    }

    pub(super) fn failure(&self, refused: &Refused) -> Option<String> {
        match &self.outcome {
            Outcome::Fail(why) => Some(why.clone()),
            Outcome::Apply(_) => refused.get(&self.seq).cloned(),
            Outcome::Move(_) => None,
        }
    }
}

pub(super) fn events(asked: &[Asked]) -> impl Iterator<Item = Logged<'_>> {
    asked.iter().filter_map(Asked::logged)
}

/// Letters of these shards that were asked for, in the order of the log.
pub(super) async fn asked(
    database: &Database,
    slices: &Slices,
    hydrating: &BTreeSet<u16>,
    owned: &BTreeMap<Shard, Owned>,
    limit: u32,
) -> Result<Vec<Asked>, Error> {
    let mut transaction = database.begin().await?;
    let rows = sqlx::query(
        "SELECT id, n, seq, reason, payload FROM
           (SELECT *, sum(length(payload)) OVER (ORDER BY seq, id) - length(payload) AS before FROM
             (SELECT d.*, s.n FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS s (slice, partition, n)
              CROSS JOIN LATERAL (
                SELECT id, seq, reason, payload FROM dead_letters
                WHERE slice = s.slice AND partition = s.partition AND asked_at IS NOT NULL
                ORDER BY seq, id LIMIT $3) AS d
              ORDER BY d.seq, d.id LIMIT $3) AS first) AS letters
         WHERE before < $4 ORDER BY seq, id",
    )
    .persistent(false)
    .bind(owned.keys().map(|shard| slices.name(*shard).to_owned()).collect::<Vec<_>>())
    .bind(partitions_of(owned.keys().copied()))
    .bind(i64::from(limit))
    .bind(MAX_BYTES)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let mut asked = Vec::new();
    for row in rows {
        let n: i64 = row.try_get("n")?;
        let shard = usize::try_from(n - 1).ok().and_then(|n| owned.keys().nth(n));
        let Some(shard) = shard.copied() else { return Err(Error::Broken("dead_letters")) };
        let outcome = judge(slices, shard, row.try_get("reason")?, row.try_get::<Vec<u8>, _>("payload")?.into());
        let (id, seq) = (row.try_get("id")?, row.try_get::<i64, _>("seq")? as u64);
        asked.push(Asked { id, shard, seq, outcome, hydrates: hydrating.contains(&shard.slice) });
    }
    Ok(asked)
}

/// What is to be done with a letter of a shard.
fn judge(slices: &Slices, shard: Shard, reason: &str, payload: Bytes) -> Outcome {
    let event = match decode(&payload) {
        Ok(Frame::Event(event)) => event,
        Ok(_) => return Outcome::Fail("no event".to_owned()),
        Err(_) if payload.starts_with(&ZSTD) => return Outcome::Fail(COMPRESSED.to_owned()),
        Err(error) => return Outcome::Fail(error.to_string()),
    };
    if matches!(&event.body, Body::Account { active: false, status: Some(status), .. } if &**status == "deleted") {
        let why = "a deletion of an account is not sent again: what came after it would go too";
        return Outcome::Fail(why.to_owned());
    }
    let shards = shards_of(slices, &event);
    match shards.contains(&shard) {
        true if shards.len() == 1 || reason == MISPLACED => Outcome::Apply(event),
        _ if reason == "Unreadable" => Outcome::Move(event),
        true => Outcome::Apply(event),
        false => Outcome::Fail("it belongs to another shard".to_owned()),
    }
}

fn shards_of(slices: &Slices, event: &Event) -> Vec<Shard> {
    match &event.body {
        Body::Commit(commit) => vec![slices.of_record(&event.key, &commit.collection)],
        _ => slices.of_repository(&event.key).collect(),
    }
}

pub(super) async fn still_asked(connection: &mut PgConnection, asked: &[Asked]) -> Result<BTreeSet<i64>, Error> {
    let ids: Vec<i64> = asked.iter().map(|letter| letter.id).collect();
    let sql = "SELECT id FROM dead_letters WHERE id = ANY ($1) AND asked_at IS NOT NULL ORDER BY id FOR UPDATE";
    let rows = sqlx::query_scalar(sql).persistent(false).bind(ids).fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// It stays a dead letter, and is no longer asked for. What could not be read before, and can be now, tells more.
pub(super) async fn fail(connection: &mut PgConnection, letter: &Asked, why: &str) -> Result<(), Error> {
    let event = letter.logged().map(|logged| logged.event);
    let rev = event.filter(|event| matches!(event.body, Body::Commit(_))).and_then(Event::rev);
    sqlx::query(
        "UPDATE dead_letters SET asked_at = NULL, tries = tries + 1, detail = $2, did = coalesce($3, did),
           rev = coalesce($4, rev), reason = CASE WHEN $3 IS NULL THEN reason ELSE 'Refused' END
         WHERE id = $1",
    )
    .persistent(false)
    .bind(letter.id)
    .bind(without_nul(why))
    .bind(event.map(|event| without_nul(&event.key)))
    .bind(rev.map(without_nul))
    .execute(connection)
    .await?;
    Ok(())
}

/// Hands a letter to the shards that it belongs to, with its first log sequence.
pub(super) async fn relocate(
    connection: &mut PgConnection,
    slices: &Slices,
    letter: &Asked,
    event: &Event,
) -> Result<(), Error> {
    let shards = shards_of(slices, event);
    let rev = Some(event).filter(|event| matches!(event.body, Body::Commit(_))).and_then(Event::rev);
    sqlx::query(
        "WITH letter AS (DELETE FROM dead_letters WHERE id = $1 RETURNING *)
         INSERT INTO dead_letters (slice, partition, seq, did, rev, reason, detail, payload, time_us, tries, asked_at)
         SELECT s.slice, s.partition, l.seq, $4, $5, $6, l.detail, l.payload, l.time_us, l.tries, l.asked_at
         FROM letter l, unnest($2::text[], $3::int[]) AS s (slice, partition)",
    )
    .persistent(false)
    .bind(letter.id)
    .bind(shards.iter().map(|shard| slices.name(*shard).to_owned()).collect::<Vec<_>>())
    .bind(partitions_of(shards.iter().copied()))
    .bind(without_nul(&event.key))
    .bind(rev.map(without_nul))
    .bind(MISPLACED)
    .execute(connection)
    .await?;
    Ok(())
}
