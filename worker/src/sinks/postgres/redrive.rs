//! Redrives: dead letters that were asked for again, taken up by the owner of their shard.
//!
//! Invariants:
//! - all of a redrive is one transaction, which holds the shards' rows of `positions` at the epoch and the position of
//!   the owner: one that is gone redrives nothing, and two at once wait for each other;
//! - a letter goes through the same fold as its entry did, with its first log sequence: nothing newer is replaced,
//!   nothing deleted comes back, and what a sync or a deletion has ended stays ended;
//! - a letter goes when it has landed or something newer stands in its place; else its tries grow, and it waits to be
//!   asked for again;
//! - counters say what was delivered, and a dead letter was: a redrive only adds to `redriven`.

use super::Error;
use super::answered::getting_on;
use super::asked::{self, Asked, Outcome, asked, events};
use super::commit::{CommitError, Committer, partitions_of};
use super::refused::{self, Refused};
use sqlx::{PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use turbo_core::event::Body;
use turbo_core::fold::{Logged, RepoKey, fold};
use turbo_core::ownership::Owned;
use turbo_core::shard::Shard;

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Letters that landed.
    pub landed: u64,
    /// Letters that are gone because something newer stands in their place.
    pub superseded: u64,
    /// Letters that failed again.
    pub failed: u64,
    /// Letters that can be read now, and were handed to the shard that they belong to.
    pub moved: u64,
}

impl Committer {
    /// Takes up at most `limit` letters of `owned` that were asked for. To be called between two commits, now and then.
    ///
    /// # Errors
    /// A shard is fenced, or PostgreSQL is away; nothing was redriven, or all of it was.
    pub async fn redrive(&self, owned: &BTreeMap<Shard, Owned>, limit: u32) -> Result<Redriven, CommitError> {
        getting_on(self.answer, self.redrive_whole(owned, limit)).await
    }

    async fn redrive_whole(&self, owned: &BTreeMap<Shard, Owned>, limit: u32) -> Result<Redriven, CommitError> {
        let asked = asked(&self.database, &self.slices, &self.hydrating, owned, limit).await?;
        if asked.is_empty() {
            return Ok(Redriven::default());
        }
        let unfit = refused::unfit(events(&asked));
        match self.redrive_attempt(owned, &asked, &unfit).await {
            Err(CommitError::Outage(error)) if error.refuses_data() => {
                let events: Vec<_> = events(&asked).collect();
                let refused = refused::find_all(&self.database, &self.effects, &events, unfit).await?;
                self.redrive_attempt(owned, &asked, &refused).await
            }
            outcome => outcome,
        }
    }

    async fn redrive_attempt(
        &self,
        owned: &BTreeMap<Shard, Owned>,
        asked: &[Asked],
        refused: &Refused,
    ) -> Result<Redriven, CommitError> {
        let mut transaction = self.database.begin().await.map_err(Error::from)?;
        let fenced = self.hold(&mut transaction, owned, asked).await?;
        if !fenced.is_empty() {
            return Err(CommitError::Fenced(fenced));
        }
        // Another redrive may have come before the fence, or somebody has dropped them.
        let there = asked::still_asked(&mut transaction, asked).await?;
        let asked: Vec<&Asked> = asked.iter().filter(|letter| there.contains(&letter.id)).collect();
        let mut done = Redriven::default();
        let landing: Vec<&Asked> = asked.iter().filter(|letter| letter.lands(refused)).copied().collect();
        done.landed = self.land(&mut transaction, &landing).await?;
        done.superseded = landing.len() as u64 - done.landed;
        self.remove(&mut transaction, &landing).await?;
        for letter in &asked {
            if let Some(why) = letter.failure(refused) {
                asked::fail(&mut transaction, letter, &why).await?;
                done.failed += 1;
            } else if let Outcome::Move(event) = &letter.outcome {
                asked::relocate(&mut transaction, &self.slices, letter, event).await?;
                done.moved += 1;
            }
        }
        transaction.commit().await.map_err(Error::from)?;
        Ok(done)
    }

    /// Holds the shards of these letters under the fence until the transaction ends. Returns those that are another's.
    async fn hold(
        &self,
        connection: &mut PgConnection,
        owned: &BTreeMap<Shard, Owned>,
        asked: &[Asked],
    ) -> Result<Vec<Shard>, Error> {
        let shards: BTreeSet<Shard> = asked.iter().map(|letter| letter.shard).collect();
        let of = |shard| owned.get(shard).map_or((0, 0), |owned| (owned.epoch() as i64, owned.position() as i64));
        let (epochs, had): (Vec<i64>, Vec<i64>) = shards.iter().map(of).unzip();
        // An update, as a commit's: a row that is only read lets one that is gone through.
        let held = sqlx::query(
            "UPDATE positions AS p SET position = p.position
             FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS s (slice, partition, epoch, had)
             WHERE p.slice = s.slice AND p.partition = s.partition AND p.sink = 'postgres'
               AND p.epoch = s.epoch AND p.position = s.had
             RETURNING p.slice, p.partition",
        )
        .persistent(false)
        .bind(self.names_of(shards.iter().copied()))
        .bind(partitions_of(shards.iter().copied()))
        .bind(epochs)
        .bind(had)
        .fetch_all(connection)
        .await?;
        self.unheld(&held, shards.into_iter())
    }

    /// Applies letters as the commit of their entries would have. Returns how many changed something.
    async fn land(&self, connection: &mut PgConnection, landing: &[&Asked]) -> Result<u64, Error> {
        let all: Vec<Logged<'_>> = landing.iter().filter_map(|letter| letter.logged()).collect();
        let syncs = self.syncs(connection, &all).await?;
        let ended = |logged: &Logged<'_>| {
            let sync = syncs.get(&(logged.shard.slice, &*logged.event.key));
            sync.is_some_and(|(seq, rev)| logged.seq < *seq && logged.event.rev().is_some_and(|own| own <= &**rev))
        };
        let events: Vec<Logged<'_>> = all.into_iter().filter(|logged| !ended(logged)).collect();
        let known = self.effects.known(connection, &events).await?;
        let folded = fold(&events, &known);
        let rows = refused::rows(&folded);
        let whole = events.iter().filter(|logged| !matches!(logged.event.body, Body::Commit(_))).count() as u64;
        Ok(whole + self.effects.apply(connection, &folded, &rows).await?)
    }

    /// Of the repositories in the batch, the last sync that their floor is of: log sequence and revision. The floor lets
    /// the sync's own revision pass, for the creates that followed the sync; a letter came before it.
    async fn syncs<'a>(
        &self,
        connection: &mut PgConnection,
        batch: &[Logged<'a>],
    ) -> Result<HashMap<RepoKey<'a>, (u64, String)>, Error> {
        let repos: BTreeSet<RepoKey<'a>> =
            batch.iter().map(|logged| (logged.shard.slice, &*logged.event.key)).collect();
        let (names, dids): (Vec<String>, Vec<&str>) =
            repos.iter().map(|(slice, did)| (self.effects.name(*slice), *did)).unzip();
        let rows = sqlx::query(
            "SELECT g.n, f.seq, f.rev FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g (slice, did, n)
             JOIN floors f ON f.slice = g.slice AND f.did = g.did WHERE f.inclusive",
        );
        let mut syncs = HashMap::new();
        for row in rows.persistent(false).bind(names).bind(dids).fetch_all(connection).await? {
            let (n, seq): (i64, i64) = (row.try_get("n")?, row.try_get("seq")?);
            let repo = usize::try_from(n - 1).ok().and_then(|n| repos.iter().nth(n));
            if let Some(repo) = repo {
                syncs.insert(*repo, (seq as u64, row.try_get("rev")?));
            }
        }
        Ok(syncs)
    }

    async fn remove(&self, connection: &mut PgConnection, landed: &[&Asked]) -> Result<(), Error> {
        if landed.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "WITH gone AS (DELETE FROM dead_letters WHERE id = ANY ($1) RETURNING slice, partition),
               sums AS (SELECT slice, partition, count(*) AS count FROM gone GROUP BY slice, partition)
             UPDATE counters AS c SET redriven = c.redriven + s.count FROM sums s
             WHERE c.slice = s.slice AND c.partition = s.partition",
        )
        .persistent(false)
        .bind(landed.iter().map(|letter| letter.id).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }
}
