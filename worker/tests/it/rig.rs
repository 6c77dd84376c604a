//! A Postgres sink of one owner, for tests that look at its tables.

use crate::postgres::{Logging, claim_all, go_on, open, slices, worker};
use sqlx::PgPool;
use std::collections::BTreeMap;
use std::sync::Arc;
use turbo_core::event::Event;
use turbo_core::ownership::Owned;
use turbo_core::shard::{Shard, Slices};
use turbo_testkit::Postgres;
use turbo_worker::log::{Content, Entry, Item, Numbered};
use turbo_worker::sinks::postgres::{Committed, Committer, Database, Filter, Redriven};

pub struct Rig {
    pub postgres: Postgres,
    pub slices: Arc<Slices>,
    pub database: Database,
    pub committer: Committer,
    pub owned: BTreeMap<Shard, Owned>,
    pub logging: Logging,
    pub pool: PgPool,
}

impl Rig {
    /// `None` where PostgreSQL is not installed.
    pub async fn start(projections: &[&str]) -> Option<Self> {
        let postgres = Postgres::start()?;
        let slices = slices();
        let database = open(&postgres.url(), &slices).await;
        let names: Vec<String> = projections.iter().map(ToString::to_string).collect();
        database.project(&names, None).await.unwrap();
        let committer = Committer::new(database.clone(), slices.clone()).with_projections(&names).unwrap();
        let owned = claim_all(&database, &slices, "one", &[]).await;
        let pool = PgPool::connect(&postgres.url()).await.unwrap();
        Some(Self { postgres, slices, database, committer, owned, logging: Logging::default(), pool })
    }

    pub async fn commit(&mut self, entries: &[Numbered]) -> Committed {
        let committed = self.committer.commit(&self.owned, entries).await.unwrap();
        self.owned = go_on(&self.database, &self.slices, std::mem::take(&mut self.owned)).await;
        committed
    }

    /// Commits these lines as one batch.
    pub async fn lines(&mut self, lines: &[String]) -> Committed {
        let entries: Vec<Numbered> = lines.iter().flat_map(|line| self.logging.event(&self.slices, line)).collect();
        self.commit(&entries).await
    }

    pub async fn events(&mut self, events: impl Iterator<Item = Box<Event>>) -> Committed {
        let entries: Vec<Numbered> = events.flat_map(|event| self.logging.log(&self.slices, event)).collect();
        self.commit(&entries).await
    }

    /// Commits bytes that are no event.
    pub async fn unreadable(&mut self, bytes: &[u8]) {
        let shard = self.slices.of_unreadable();
        let content = Content::Unreadable { bytes: bytes.to_vec().into(), reason: "of a new kind".to_owned() };
        let item = Arc::new(Item { content, host: "h".into(), marks: Vec::new(), trace: None, rejoined: false });
        let (seq, number) = self.logging.next(shard);
        self.commit(&[Numbered { entry: Entry::new(seq, shard, item), number }]).await;
    }

    /// A dead letter of an event that PostgreSQL takes by now: its entry was refused, and the bytes are as they should be.
    pub async fn letter(&mut self, refused: String, payload: String) -> i64 {
        let committed = self.lines(&[refused]).await;
        assert_eq!(committed.shards.values().map(|shard| shard.dead_letters).sum::<u64>(), 1);
        let id = self.number("SELECT max(id) FROM dead_letters").await;
        let update = sqlx::query("UPDATE dead_letters SET payload = $2 WHERE id = $1").bind(id);
        update.bind(payload.into_bytes()).execute(&self.pool).await.unwrap();
        id
    }

    pub async fn redrive_all(&self) -> Redriven {
        self.database.ask_again(&Filter::default()).await.unwrap();
        self.committer.redrive(&self.owned, 100).await.unwrap()
    }

    /// Claims everything as another worker, and returns what the one before holds.
    pub async fn taken_over(&mut self) -> BTreeMap<Shard, Owned> {
        let next = claim_all(&self.database, &self.slices, "next", &[worker("one")]).await;
        std::mem::replace(&mut self.owned, next)
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&self.pool).await.unwrap()
    }
}

pub fn rev(rev: i64) -> String {
    turbo_core::tid::encode(1_783_175_888_000_000 + rev, 0)
}

/// `operation` of the record a.b.c/`rkey`.
pub fn change(did: &str, operation: &str, rkey: &str, of: i64, record: &str) -> String {
    change_in("a.b.c", did, operation, rkey, of, record)
}

pub fn change_in(collection: &str, did: &str, operation: &str, rkey: &str, of: i64, record: &str) -> String {
    let record = if record.is_empty() { String::new() } else { format!(r#","record":{record},"cid":"c{of}""#) };
    format!(
        r#"{{"did":"did:plc:{did}","time_us":{},"kind":"commit","commit":{{"rev":"{}","operation":"{operation}","collection":"{collection}","rkey":"{rkey}"{record}}}}}"#,
        1_783_175_888_000_000 + of,
        rev(of)
    )
}

pub fn deleted_account(did: &str) -> String {
    format!(
        r#"{{"did":"did:plc:{did}","time_us":1783175888000000,"kind":"account","account":{{"active":false,"status":"deleted","time":"2026-07-04T14:38:08Z"}}}}"#
    )
}

pub fn sync(did: &str, of: i64) -> String {
    let time = "2026-07-04T14:38:08Z";
    format!(
        r#"{{"$type":"message","payload":{{"$type":"x#sync","did":"did:plc:{did}","seq":1,"time":"{time}","sync":{{"rev":"{}","seq":1,"time":"{time}"}}}}}}"#,
        rev(of)
    )
}
