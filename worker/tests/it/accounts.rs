//! What becomes of an account, where its shards in the slices are not equally far.

use crate::postgres::{Logging, claim_all, go_on, open, slices};
use sqlx::Row as _;
use turbo_testkit::Postgres;
use turbo_worker::log::Numbered;
use turbo_worker::sinks::postgres::Committer;

fn happened(time_us: i64, what: &str) -> String {
    format!(r#"{{"did":"did:plc:a","time_us":{time_us},{what}}}"#)
}

fn handle(time_us: i64) -> String {
    happened(time_us, &format!(r#""kind":"identity","identity":{{"handle":"h{time_us}","time":"t{time_us}"}}"#))
}

/// Handle, whether it is active, and the source time.
async fn row(url: &str) -> (String, Option<bool>, i64) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let row = sqlx::query("SELECT handle, active, time_us FROM accounts").fetch_one(&pool).await.unwrap();
    let row = (row.get(0), row.get(1), row.get(2));
    pool.close().await;
    row
}

#[tokio::test]
async fn a_slice_that_is_behind_does_not_bring_an_old_handle_back() {
    let Some(postgres) = Postgres::start() else { return };
    let (slices, url) = (slices(), postgres.url());
    let database = open(&url, &slices).await;
    let committer = Committer::new(database.clone(), slices.clone());
    let mut owned = claim_all(&database, &slices, "one", &[]).await;
    let left = happened(3, r#""kind":"account","account":{"active":false,"status":"deactivated","time":"t3"}"#);
    let mut logging = Logging::default();
    let told: Vec<Numbered> =
        [handle(1), handle(2), left].iter().flat_map(|line| logging.event(&slices, line)).collect();
    let (behind, ahead): (Vec<_>, Vec<_>) = told.into_iter().partition(|numbered| numbered.entry.shard.slice == 0);
    assert_eq!((behind.len(), ahead.len()), (3, 3));

    committer.commit(&owned, &ahead[..2]).await.unwrap();
    assert_eq!(row(&url).await, ("h2".into(), None, 2));
    // One commit with the old handle of the one slice and the newest state of the other.
    let of_both = [behind[0].clone(), ahead[2].clone()];
    owned = go_on(&database, &slices, owned).await;
    committer.commit(&owned, &of_both).await.unwrap();
    assert_eq!(row(&url).await, ("h2".into(), Some(false), 3));
    owned = go_on(&database, &slices, owned).await;
    committer.commit(&owned, &behind[1..]).await.unwrap();
    assert_eq!(row(&url).await, ("h2".into(), Some(false), 3));
}
