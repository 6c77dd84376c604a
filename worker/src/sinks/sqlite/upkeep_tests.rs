use super::*;

#[tokio::test]
async fn a_file_with_much_room_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let database = Arc::new(Database::open(&path).await.unwrap());
    let sql = "CREATE TABLE window_1 AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         SELECT i, zeroblob(1000) AS bytes FROM n";
    sqlx::raw_sql(sql).execute(&database.write).await.unwrap();
    sqlx::raw_sql("DROP TABLE window_1; PRAGMA wal_checkpoint(TRUNCATE)").execute(&database.write).await.unwrap();
    let before = std::fs::metadata(&path).unwrap().len();
    assert!(before > 20_000_000, "{before}");
    Upkeep { database: database.clone(), rotates: false }.all().await.unwrap();
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&database.write).await.unwrap();
    let after = std::fs::metadata(&path).unwrap().len();
    assert!(after < before / 2, "{after} of {before}");
    database.close().await;
}

#[tokio::test]
async fn tombstones_go_when_they_are_old_unless_a_window_is_to_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let database = Arc::new(Database::open(&folder.path().join("x.sqlite")).await.unwrap());
    let upkeep = |rotates| Upkeep { database: database.clone(), rotates };
    for (rkey, record, indexed_at) in
        [("old", "NULL", "2026-01-01"), ("kept", "'{}'", "2026-01-01"), ("new", "NULL", "9999-01-01")]
    {
        let sql = format!(
            "INSERT INTO record_state (did, collection, rkey, rev, record, time_us, indexed_at, slice, partition, seq)
             VALUES ('did:plc:a', 'a.b.c', '{rkey}', 'r', {record}, 1, '{indexed_at}T00:00:00.000000Z', 'default', 0, 1)"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.write).await.unwrap();
    }
    let left = async || {
        let left = sqlx::query_scalar::<_, String>("SELECT rkey FROM record_state ORDER BY rkey");
        left.fetch_all(&database.read).await.unwrap()
    };
    upkeep(true).all().await.unwrap();
    assert_eq!(left().await, ["kept", "new", "old"]);
    upkeep(false).all().await.unwrap();
    assert_eq!(left().await, ["kept", "new"]);
    database.close().await;
}
