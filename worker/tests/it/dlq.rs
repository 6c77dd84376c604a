//! Dead letters: what becomes one, and what comes of sending it again.

use crate::owners::eventually;
use crate::rig::{Rig, change, deleted_account, sync};
use sqlx::Row as _;
use std::sync::Arc;
use std::time::Duration;
use turbo_testkit::PgBouncer;
use turbo_worker::commands::dlq;
use turbo_worker::sinks::postgres::{CommitError, Committer, Database, Filter, Redriven};

pub const NUL: &str = r#"{"text":"a\u0000b"}"#;
const RECORDS: &str = "SELECT did || '/' || rkey || ' ' || coalesce(cid, '-') FROM record_state ORDER BY 1";

pub fn fine(did: &str, rkey: &str, rev: i64) -> String {
    change(did, "create", rkey, rev, r#"{"text":"fine"}"#)
}

#[tokio::test]
async fn what_is_still_refused_stays_a_dead_letter_and_says_so() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    rig.lines(&[change("a", "create", "1", 1, NUL), fine("a", "2", 2)]).await;
    for tries in 2..4 {
        let done = rig.redrive_all().await;
        assert_eq!(done, Redriven { failed: 1, ..Redriven::default() });
        let letter = &rig.database.dead_letters(&Filter::default(), 10).await.unwrap()[0];
        assert_eq!((letter.tries, letter.asked_us, &*letter.reason), (tries, None, "Refused"), "{letter:?}");
        assert!(letter.detail.contains("Unicode escape"), "{letter:?}");
        // Nobody asked for it again.
        assert_eq!(rig.committer.redrive(&rig.owned, 100).await.unwrap(), Redriven::default());
    }
    assert_eq!(rig.texts(RECORDS).await, ["did:plc:a/2 c2"]);
    assert_eq!(rig.number("SELECT sum(redriven)::bigint FROM counters").await, 0);
}

#[tokio::test]
async fn what_is_sent_again_lands_but_never_over_what_came_later() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let bad = |did: &str, rkey: &str, rev| change(did, "create", rkey, rev, NUL);
    for did in ["new", "newer", "deleted", "synced", "at-sync", "gone", "older"] {
        rig.lines(&[change(did, "create", "other", 1, "{}")]).await;
        rig.letter(bad(did, "1", 5), fine(did, "1", 5)).await;
    }
    rig.lines(&[
        fine("newer", "1", 6),
        change("deleted", "delete", "1", 6, ""),
        sync("synced", 7),
        // The creates behind a sync bear its own revision, and so may a letter before it.
        sync("at-sync", 5),
        change("at-sync", "create", "2", 5, "{}"),
        deleted_account("gone"),
        change("older", "delete", "1", 4, ""),
    ])
    .await;
    let done = rig.redrive_all().await;
    assert_eq!(done, Redriven { landed: 2, superseded: 5, ..Redriven::default() });
    let expected = [
        "did:plc:at-sync/2 c5",
        "did:plc:deleted/1 -",
        "did:plc:deleted/other c1",
        "did:plc:new/1 c5",
        "did:plc:new/other c1",
        "did:plc:newer/1 c6",
        "did:plc:newer/other c1",
        "did:plc:older/1 c5",
        "did:plc:older/other c1",
    ];
    assert_eq!(rig.texts(RECORDS).await, expected);
    let seq = "SELECT seq FROM record_state WHERE did = 'did:plc:new' AND rkey = '1'";
    assert_eq!(rig.number(seq).await, 2, "it keeps its first sequence");
    let counted =
        "SELECT sum(entries)::bigint * 10000 + sum(dead_letters)::bigint * 100 + sum(redriven)::bigint FROM counters";
    // A sync and an account event go to both slices.
    assert_eq!(rig.number(counted).await, (14 + 7 + 3) * 10_000 + 707, "delivered once, whatever was sent again");
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters").await, 0);
}

#[tokio::test]
async fn one_that_is_gone_redrives_nothing() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    rig.letter(change("a", "create", "1", 1, NUL), fine("a", "1", 1)).await;
    rig.database.ask_again(&Filter::default()).await.unwrap();
    let zombie = rig.taken_over().await;
    let refused = rig.committer.redrive(&zombie, 100).await;
    assert!(matches!(&refused, Err(CommitError::Fenced(shards)) if shards.len() == 1), "{refused:?}");
    assert_eq!(rig.texts(RECORDS).await, Vec::<String>::new());
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters WHERE asked_at IS NOT NULL").await, 1);
    let done = rig.committer.redrive(&rig.owned, 100).await.unwrap();
    assert_eq!(done, Redriven { landed: 1, ..Redriven::default() });
    // An owner whose position has moved on is told to look again, and nothing is lost by it.
    rig.letter(change("a", "create", "2", 2, NUL), fine("a", "2", 2)).await;
    let before = std::mem::take(&mut rig.owned);
    rig.database.ask_again(&Filter::default()).await.unwrap();
    let entries = rig.logging.event(&rig.slices, &fine("a", "3", 3));
    rig.committer.commit(&before, &entries).await.unwrap();
    assert!(matches!(rig.committer.redrive(&before, 100).await, Err(CommitError::Fenced(_))));
}

#[tokio::test]
async fn two_redrives_at_once_redrive_each_letter_once() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    for n in 0..60 {
        let rkey = n.to_string();
        rig.letter(change("a", "create", &rkey, n, NUL), fine("a", &rkey, n)).await;
    }
    rig.database.ask_again(&Filter::default()).await.unwrap();
    // One letter is held by somebody who drops it.
    let mut dropping = rig.pool.begin().await.unwrap();
    sqlx::query("DELETE FROM dead_letters WHERE id = (SELECT min(id) FROM dead_letters)")
        .execute(&mut *dropping)
        .await
        .unwrap();
    let (one, two, ()) =
        tokio::join!(rig.committer.redrive(&rig.owned, 1000), rig.committer.redrive(&rig.owned, 1000), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            dropping.commit().await.unwrap();
        });
    assert_eq!(one.unwrap().landed + two.unwrap().landed, 59);
    assert_eq!(rig.number("SELECT count(*) FROM records").await, 59);
    assert_eq!(rig.number("SELECT sum(redriven)::bigint FROM counters").await, 59);
}

#[tokio::test]
async fn redrives_go_through_pgbouncer() {
    let Some(mut rig) = Rig::start(&["likes"]).await else { return };
    let Some(bouncer) = PgBouncer::start(&rig.postgres) else { return };
    rig.letter(change("a", "create", "1", 1, NUL), fine("a", "1", 1)).await;
    rig.lines(&[change("a", "create", "2", 2, NUL)]).await;
    let database = Database::open(&bouncer.url(), 2).unwrap();
    let committer =
        Committer::new(database.clone(), rig.slices.clone()).with_projections(&["likes".to_owned()]).unwrap();
    assert_eq!(database.ask_again(&Filter::default()).await.unwrap(), 2);
    let done = committer.redrive(&rig.owned, 100).await.unwrap();
    assert_eq!(done, Redriven { landed: 1, failed: 1, ..Redriven::default() });
    assert_eq!(database.dead_letters(&Filter::default(), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_can_be_read_by_now_goes_to_the_shard_that_it_belongs_to() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let mut lines = vec![sync("x", 3)];
    lines.extend((0..8).map(|n| fine(&format!("x{n}"), "1", 5)));
    rig.lines(&[fine("x", "1", 2), fine("x", "2", 4)]).await;
    for line in &lines {
        rig.unreadable(line.as_bytes()).await;
    }
    rig.unreadable(b"\xff\x00 no text").await;
    // What came after it would go too.
    rig.unreadable(deleted_account("x0").as_bytes()).await;
    let dids = "SELECT count(*) FROM dead_letters WHERE did LIKE 'did:plc:x%'";
    assert_eq!(rig.number(dids).await, 10, "the account is known, so its tombstones stay");
    let done = rig.redrive_all().await;
    assert_eq!((done.landed + done.moved, done.failed), (9, 2), "{done:?}");
    while rig.committer.redrive(&rig.owned, 2).await.unwrap() != Redriven::default() {}
    let rows = rig.texts(RECORDS).await;
    assert!(!rows.contains(&"did:plc:x/1 c2".to_owned()) && rows.contains(&"did:plc:x/2 c4".to_owned()), "{rows:?}");
    assert_eq!(rows.len(), 9, "{rows:?}");
    let placed = "SELECT count(*) FROM record_state r JOIN counters c USING (slice, partition) WHERE r.rev > '' AND c.slice = 'rest'";
    assert_eq!(rig.number(placed).await, 9);
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters").await, 2);
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters WHERE detail LIKE 'a deletion of an account%'").await, 1);
}

#[tokio::test]
async fn names_that_hold_a_nul_hold_nothing_up() {
    let Some(mut rig) = Rig::start(&["posts"]).await else { return };
    let identity = r#"{"did":"did:plc:a","time_us":1,"kind":"identity","identity":{"handle":"a\u0000b","time":"2026-07-04T14:38:08Z"}}"#;
    let account = r#"{"did":"did:plc:a\u0000","time_us":1,"kind":"account","account":{"active":false,"status":"deleted","time":"2026-07-04T14:38:08Z"}}"#;
    let lines = [
        fine("a", "1", 1),
        identity.to_owned(),
        account.to_owned(),
        fine("a", r"\u0000", 2),
        fine(r"\u0000", "1", 2),
        fine("a", "3", 3),
        change("a", "create", "4", 4, NUL),
    ];
    rig.lines(&lines).await;
    assert_eq!(rig.texts(RECORDS).await, ["did:plc:a/1 c1", "did:plc:a/3 c3"]);
    let dead = rig.database.dead_letters(&Filter::default(), 100).await.unwrap();
    let whole = rig.slices.of_repository("did:plc:a").count();
    assert_eq!(dead.len(), 2 * whole + 3);
    assert_eq!(rig.redrive_all().await, Redriven { failed: dead.len() as u64, ..Redriven::default() });
}

#[tokio::test]
async fn a_refused_change_leaves_the_record_as_the_one_before_it_in_the_same_batch_made_it() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    let mut lines = vec![fine("a", "1", 1), change("a", "update", "1", 2, NUL), change("a", "update", "1", 3, NUL)];
    // Somebody who writes what is refused over and over.
    lines.extend((0..50).map(|n| change("b", "update", "1", 10 + n, NUL)));
    rig.lines(&lines).await;
    assert_eq!(rig.texts(RECORDS).await, ["did:plc:a/1 c1"]);
    assert_eq!(rig.number("SELECT count(*) FROM dead_letters").await, 52);
    // The revision of a refused change was seen: a deleted account stays deleted, in the same batch and later.
    let deleted: Vec<String> =
        vec![fine("c", "0", 1), change("c", "create", "1", 5, NUL), deleted_account("a"), deleted_account("c")];
    rig.lines(&deleted).await;
    sqlx::query("UPDATE dead_letters SET payload = replace(encode(payload, 'escape'), 'u0000', 'u0001')::bytea")
        .execute(&rig.pool)
        .await
        .unwrap();
    rig.database.drop_letters(&Filter { did: Some("did:plc:b".into()), ..Filter::default() }).await.unwrap();
    let done = rig.redrive_all().await;
    assert_eq!(done.landed, 0, "{done:?}: {:?}", rig.texts(RECORDS).await);
    assert_eq!(rig.texts(RECORDS).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_commands_list_show_redrive_and_drop() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    rig.lines(&(0..5).map(|n| change("a", "create", &n.to_string(), n, NUL)).collect::<Vec<_>>()).await;
    rig.unreadable(b"\x1b[2J\xff").await;
    let database = &rig.database;
    let list = async |options: dlq::List| {
        let mut out = Vec::new();
        dlq::list(database, &options, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    };
    let table = list(dlq::List { limit: 3, ..dlq::List::default() }).await;
    assert!(table.starts_with("ID  GIVEN UP") && table.contains("Unreadable"), "{table}");
    assert_eq!(table.lines().count(), 5, "a head, three letters, a word that there may be more: {table}");
    let of_a = Filter { did: Some("did:plc:a".into()), younger: Some(Duration::from_secs(3600)), ..Filter::default() };
    let json = list(dlq::List { filter: of_a.clone(), limit: 100, json: true }).await;
    let ids: Vec<i64> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids.len(), 5);
    let older = Filter { older: Some(Duration::from_secs(3600)), ..Filter::default() };
    assert_eq!(list(dlq::List { filter: older, limit: 100, json: true }).await, "");

    let show = async |id, out: Option<std::path::PathBuf>, json| {
        let mut shown = Vec::new();
        dlq::show(database, &dlq::Show { id, out, json }, &mut shown).await.unwrap();
        String::from_utf8(shown).unwrap()
    };
    let text = show(ids[0], None, false).await;
    assert!(text.contains("Refused") && text.contains(r#""text":"a\u0000b""#), "{text}");
    let unreadable = rig.number("SELECT id FROM dead_letters WHERE reason = 'Unreadable'").await;
    let text = show(unreadable, None, false).await;
    assert!(text.contains("1b 5b 32 4a ff") && !text.contains('\u{1b}'), "{text}");
    let object: serde_json::Value = serde_json::from_str(&show(unreadable, None, true).await).unwrap();
    assert_eq!(object["payload_base64"], "G1sySv8=");
    let folder = tempfile::tempdir().unwrap();
    show(unreadable, Some(folder.path().join("x")), false).await;
    assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"\x1b[2J\xff");

    let mut out = Vec::new();
    let by_id = Filter { ids: vec![ids[0], ids[1]], ..Filter::default() };
    dlq::redrive(database, &dlq::Redrive { filter: by_id.clone(), yes: false }, &mut out).await.unwrap();
    assert!(out.starts_with(b"2 asked for again"));
    assert!(list(dlq::List { limit: 100, ..dlq::List::default() }).await.contains("Refused, asked for"));
    let nothing = dlq::Redrive { filter: Filter { ids: vec![1_000_000], ..Filter::default() }, yes: false };
    assert!(dlq::redrive(database, &nothing, &mut out).await.is_err());

    let refused = dlq::drop(database, &dlq::Drop { filter: of_a.clone(), yes: false }, &mut out).await.unwrap_err();
    assert!(refused.to_string().contains("--yes"), "{refused}");
    dlq::drop(database, &dlq::Drop { filter: by_id, yes: false }, &mut out).await.unwrap();
    dlq::drop(database, &dlq::Drop { filter: of_a, yes: true }, &mut out).await.unwrap();
    let left = sqlx::query("SELECT id FROM dead_letters").fetch_all(&rig.pool).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [unreadable]);
}

#[tokio::test]
async fn a_redrive_during_a_claim_is_all_of_the_old_owner_or_all_of_the_new_one() {
    let Some(mut rig) = Rig::start(&[]).await else { return };
    for n in 0..20 {
        let rkey = n.to_string();
        rig.letter(change("a", "create", &rkey, n, NUL), fine("a", &rkey, n)).await;
    }
    rig.database.ask_again(&Filter::default()).await.unwrap();
    let committer = Arc::new(Committer::new(rig.database.clone(), rig.slices.clone()));
    let (old, committing) = (std::mem::take(&mut rig.owned), committer.clone());
    let mut held = rig.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM positions FOR UPDATE").execute(&mut *held).await.unwrap();
    let redrive = tokio::spawn(async move { committing.redrive(&old, 100).await });
    // Both have begun, and wait for the same rows.
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let pool = rig.pool.clone();
    let both_wait = async move {
        eventually("both wait", async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() >= 2)
            .await;
        held.commit().await.unwrap();
    };
    tokio::join!(rig.taken_over(), both_wait);
    let by_old = redrive.await.unwrap().map_or(0, |done| done.landed);
    let by_new = committer.redrive(&rig.owned, 100).await.unwrap().landed;
    assert!((by_old, by_new) == (20, 0) || (by_old, by_new) == (0, 20), "{by_old} and {by_new}");
    assert_eq!(rig.number("SELECT count(*) FROM records").await, 20);
}
