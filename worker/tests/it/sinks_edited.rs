//! Edits of the sinks' list: only a claim with the newest file's list adds or removes positions.

use crate::postgres::{open, slices, worker};
use std::collections::BTreeMap;
use std::sync::Arc;
use turbo_core::shard::Slices;
use turbo_testkit::Postgres;
use turbo_worker::sinks::postgres::{Claimed, Database, Seen, Wanted};

struct Case {
    slices: Arc<Slices>,
    database: Database,
    pool: sqlx::PgPool,
}

impl Case {
    async fn new(postgres: &Postgres) -> Self {
        let slices = slices();
        let database = open(&postgres.url(), &slices).await;
        Self { slices, database, pool: sqlx::PgPool::connect(&postgres.url()).await.unwrap() }
    }

    /// A process with a file of this generation starts.
    async fn started(&self, generation: i64, sinks: &[&'static str]) -> Wanted {
        let made = self.database.introduce("test", "posts rest", &self.slices, sinks.to_vec(), Some(generation), true);
        made.await.unwrap()
    }

    /// It claims every shard.
    async fn claims(&self, wanted: &Wanted) -> Vec<Claimed> {
        let (me, mut claimed) = (worker("me"), Vec::new());
        for shard in self.slices.shards() {
            let claim = self.database.claim(&self.slices, shard, &me, Seen::default(), &[], wanted);
            claimed.push(claim.await.unwrap().unwrap());
        }
        claimed
    }

    async fn commits_up_to(&self, position: i64) {
        let moved = sqlx::query("UPDATE positions SET position = $1 WHERE sink = 'postgres'").bind(position);
        moved.execute(&self.pool).await.unwrap();
    }

    /// Where the sinks are, of every shard.
    async fn assert_sinks(&self, sinks: &[(&str, u64)]) {
        for (shard, standing) in self.database.standing(&self.slices).await.unwrap() {
            let sinks: BTreeMap<_, _> = sinks.iter().map(|(name, position)| ((*name).to_owned(), *position)).collect();
            assert_eq!(standing.sinks, sinks, "{shard:?}");
        }
    }

    async fn assert_purged_up_to(&self, position: u64) {
        let lowest = self.database.lowest(&self.slices).await.unwrap();
        assert!(lowest.values().all(|lowest| *lowest == position), "{lowest:?}");
    }
}

#[tokio::test]
async fn a_late_process_of_an_older_file_removes_nothing_and_what_it_does_not_know_holds_the_purge() {
    let Some(postgres) = Postgres::start() else { return };
    let case = Case::new(&postgres).await;
    case.claims(&case.started(3, &["archive"]).await).await;
    case.commits_up_to(100).await;
    // The file of generation 5 has no archive; nobody has it yet when that of generation 7 names the archive again.
    case.started(7, &["archive"]).await;
    let late = case.started(5, &[]).await;
    for claimed in case.claims(&late).await {
        assert!(claimed.sinks.contains_key("archive") && claimed.removed.is_empty(), "{claimed:?}");
    }
    case.assert_sinks(&[("archive", 0)]).await;
    case.assert_purged_up_to(0).await;
    // Once more than the newest, it is the newest.
    for claimed in case.claims(&case.started(8, &[]).await).await {
        assert_eq!(claimed.removed, BTreeMap::from([("archive".to_owned(), 0)]));
    }
    case.assert_sinks(&[]).await;
    case.assert_purged_up_to(100).await;
}

#[tokio::test]
async fn a_late_process_of_an_older_file_adds_nothing_and_the_newest_adds_at_the_checkpoint() {
    let Some(postgres) = Postgres::start() else { return };
    let case = Case::new(&postgres).await;
    let older = case.started(4, &["enriched"]).await;
    let newest = case.started(6, &["archive"]).await;
    let late = case.started(5, &["archive", "enriched"]).await;
    case.commits_up_to(100).await;
    for wanted in [&older, &late] {
        case.claims(wanted).await;
        case.assert_sinks(&[]).await;
    }
    case.claims(&newest).await;
    case.assert_sinks(&[("archive", 100)]).await;
    case.commits_up_to(200).await;
    case.claims(&newest).await;
    case.claims(&late).await;
    case.assert_sinks(&[("archive", 100)]).await;
}

#[tokio::test]
async fn a_process_of_an_older_file_with_the_newest_list_adds_what_that_names() {
    let Some(postgres) = Postgres::start() else { return };
    let case = Case::new(&postgres).await;
    let older = case.started(3, &["archive"]).await;
    // Something else of the file was edited.
    case.started(4, &["archive"]).await;
    for claimed in case.claims(&older).await {
        assert!(claimed.sinks.contains_key("archive"), "or it would commit what its archive never gets: {claimed:?}");
    }
}

#[tokio::test]
async fn a_file_without_a_generation_is_newer_than_what_differs() {
    let Some(postgres) = Postgres::start() else { return };
    let case = Case::new(&postgres).await;
    case.claims(&case.started(3, &["archive"]).await).await;
    let by_hand =
        case.database.introduce("test", "posts rest", &case.slices, vec!["enriched"], None, true).await.unwrap();
    case.claims(&by_hand).await;
    case.assert_sinks(&[("enriched", 0)]).await;
    case.claims(&case.started(3, &["archive"]).await).await;
    case.assert_sinks(&[("enriched", 0)]).await;
}
