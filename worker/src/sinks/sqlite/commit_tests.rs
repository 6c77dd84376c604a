use super::*;
use crate::log::Item;
use bytes::Bytes;
use turbo_core::id::EventId;
use turbo_core::position::SourcePosition;
use turbo_core::shard::Slice;
use turbo_core::wire::{Frame, decode};

/// Creates `count` records of 2 kB from log sequence `first` on.
fn batch(slices: &Slices, first: u64, count: u64) -> Batch {
    let entry = |seq: u64| {
        let rev = turbo_core::tid::encode(seq as i64, 0);
        let text = "x".repeat(2000);
        let line = format!(
            r#"{{"did":"did:plc:{}","time_us":{seq},"kind":"commit","commit":{{"rev":"{rev}","operation":"create","collection":"a.b.c","rkey":"{seq}","record":{{"t":"{text}"}},"cid":"c"}}}}"#,
            seq % 5
        );
        let Ok(Frame::Event(event)) = decode(&Bytes::from(line)) else { panic!("no event") };
        let shard = slices.of_record(&event.key, "a.b.c");
        let item =
            Item { content: Content::Event(event), host: "h".into(), marks: Vec::new(), trace: None, rejoined: false };
        Entry::new(seq, shard, Arc::new(item))
    };
    let position = SourcePosition { host: "h".into(), cursor: Some(first), time_us: first as i64, id: EventId(7) };
    Batch { entries: (first..first + count).map(entry).collect(), position: Some(position), ..Batch::default() }
}

async fn open(folder: &std::path::Path) -> (Arc<Database>, Arc<Slices>, Vec<Claim>) {
    let slices = vec![Slice { name: "default".into(), collections: None, partitions: 2 }];
    let slices = Arc::new(Slices::new(slices).unwrap());
    let database = Arc::new(Database::open(&folder.join("x.sqlite")).await.unwrap());
    let claims = database.claim("test", &slices).await.unwrap().claims;
    (database, slices, claims)
}

async fn number(database: &Database, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&database.read).await.unwrap()
}

/// A process that is killed when it has just begun leaves this.
#[tokio::test]
async fn a_file_with_no_more_than_an_empty_list_of_migrations_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    sqlx::migrate::Migrate::ensure_migrations_table(&mut connection, "_sqlx_migrations").await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    Database::open(&path).await.unwrap().close().await;
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_behind_and_the_next_attempt_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (database, slices, claims) = open(folder.path()).await;
    let mut committer = Committer::new(database.clone(), slices.clone(), &claims, None);
    committer.commit(&batch(&slices, 1, 10)).await.unwrap();
    // What a full disk does: SQLite refuses more pages, and ends the transaction by itself.
    sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&database.write).await.unwrap();
    let full = committer.commit(&batch(&slices, 11, 500)).await.unwrap_err();
    assert!(full.to_string().contains("full"), "{full}");
    assert_eq!(number(&database, "SELECT count(*) FROM records").await, 10);
    assert_eq!(number(&database, "SELECT seq FROM pipeline").await, 10);
    committer.commit(&batch(&slices, 11, 500)).await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM records").await, 510);
    assert_eq!(number(&database, "SELECT sum(entries) FROM shards").await, 510);
}

#[tokio::test]
async fn a_shard_that_was_claimed_anew_takes_no_commit_of_the_old_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (database, slices, claims) = open(folder.path()).await;
    let mut old = Committer::new(database.clone(), slices.clone(), &claims, None);
    old.commit(&batch(&slices, 1, 10)).await.unwrap();
    let claims = database.claim("test", &slices).await.unwrap().claims;
    assert!(claims.iter().all(|claim| claim.epoch == 2));
    let refused = old.commit(&batch(&slices, 11, 10)).await;
    assert!(matches!(refused, Err(Error::InUse(_))), "{refused:?}");
    let mut new = Committer::new(database.clone(), slices.clone(), &claims, None);
    assert!(matches!(new.commit(&batch(&slices, 5, 3)).await, Err(Error::InUse(_))), "a position only grows");
    new.commit(&batch(&slices, 11, 10)).await.unwrap();
    assert_eq!(number(&database, "SELECT sum(entries) FROM shards").await, 20);
}
