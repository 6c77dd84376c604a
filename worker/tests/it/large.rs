//! Accounts with very many records, where what ends all of them takes no statement longer than it may take; and large records.

use crate::rig::{Rig, change, deleted_account, rev, sync};
use std::time::Duration;
use turbo_worker::sinks::postgres::Committer;

const LIKE: &str = "app.bsky.feed.like";
const RECORDS: i64 = 40_000;

/// Rows of an account, its revisions in no order, in tables where every tenth row takes a while to go.
async fn fill(rig: &Rig) {
    let revs: Vec<String> = (0..RECORDS).map(|n| rev(n * 7919 % RECORDS)).collect();
    let shard = rig.slices.of_record("did:plc:big", LIKE);
    for into in [
        "record_state (did, collection, rkey, rev, record, time_us, indexed_at, slice, partition, seq)
         SELECT 'did:plc:big', $2, lpad(n::text, 6, '0'), rev, '{}', 0, now(), $3, $4, 0",
        "likes (did, rkey, rev, time_us, seq) SELECT 'did:plc:big', lpad(n::text, 6, '0'), rev, 0, 0",
    ] {
        let sql = format!(
            "INSERT INTO {into} FROM unnest($1::text[]) WITH ORDINALITY AS r (rev, n)
             WHERE $2 <> '' AND $3 <> '' AND $4 >= 0"
        );
        let insert = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&revs).bind(LIKE).bind(rig.slices.name(shard));
        insert.bind(i32::from(shard.partition)).execute(&rig.pool).await.unwrap();
    }
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END $$;
                CREATE TRIGGER slow BEFORE DELETE ON record_state FOR EACH ROW
                  WHEN (OLD.rkey LIKE '%0') EXECUTE FUNCTION slow();
                CREATE TRIGGER slow BEFORE DELETE ON likes FOR EACH ROW
                  WHEN (OLD.rkey LIKE '%0') EXECUTE FUNCTION slow();";
    sqlx::raw_sql(slow).execute(&rig.pool).await.unwrap();
}

#[tokio::test]
async fn a_large_account_is_replaced_and_deleted_where_one_statement_has_no_time_for_it() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    fill(&rig).await;
    let database = rig.database.clone().with_statement_timeout(Duration::from_millis(1500));
    let likes = ["likes".to_owned()];
    rig.committer = Committer::new(database, rig.slices.clone()).with_projections(&likes).unwrap();

    rig.lines(&[sync("big", RECORDS / 2)]).await;
    let left = RECORDS / 2 - 1;
    assert_eq!(rig.number("SELECT count(*) FROM record_state").await, left, "what is above the sync's revision stays");
    assert_eq!(rig.number("SELECT count(*) FROM likes").await, left);

    rig.lines(&[deleted_account("big")]).await;
    assert_eq!(rig.number("SELECT count(*) FROM record_state").await, 0);
    assert_eq!(rig.number("SELECT count(*) FROM likes").await, 0);
    let floors = rig.texts("SELECT rev FROM floors WHERE did = 'did:plc:big' ORDER BY rev").await;
    assert_eq!(floors.last(), Some(&rev(RECORDS - 1)), "the highest revision of all steps");
}

/// Many rows go another way than few.
#[tokio::test]
async fn what_is_wide_is_compressed_by_lz4_where_the_server_has_it() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let has = "SELECT count(*) FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)";
    let method = if rig.number(has).await == 1 { "lz4" } else { "pglz" };
    let record = format!(r#"{{"text":"{}"}}"#, "it is wide, and says the same again; ".repeat(100));
    for (from, to) in [(0, 1), (1, 1001)] {
        let lines: Vec<String> = (from..to).map(|n| change("wide", "create", &format!("{n}"), n, &record)).collect();
        rig.lines(&lines).await;
        let methods = rig.texts("SELECT DISTINCT pg_column_compression(record) FROM record_state").await;
        assert_eq!(methods, [method], "{to} rows");
        assert_eq!(rig.number("SELECT count(*) FROM records WHERE length(record ->> 'text') = 3700").await, to);
    }
}
