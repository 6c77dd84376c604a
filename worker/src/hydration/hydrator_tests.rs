use super::*;
use bytes::Bytes;
use serde_json::{Value, json};
use turbo_core::shard::Shard;
use turbo_core::wire::{Frame, decode};

const TTL: Duration = Duration::from_secs(600);

fn now_us() -> Option<i64> {
    Some(jiff::Timestamp::now().as_microsecond())
}

fn now(known: Known) -> Entry {
    Entry::as_of(known, now_us().unwrap())
}

fn hydrator() -> Hydrator {
    let cache = Arc::new(Cache::new(1 << 20));
    let handle = Handle::new(Arc::clone(&cache));
    let targets = Targets::from([(Target::Author, TTL), (Target::Subject, TTL)]);
    Hydrator::new(cache, handle, vec![Targets::new(), targets])
}

fn event(did: &str, kind: &str, content: Value) -> Event {
    let mut line = json!({"did": format!("did:plc:{did}"), "time_us": 1, "kind": kind});
    line[kind] = content;
    match decode(&Bytes::from(line.to_string())) {
        Ok(Frame::Event(event)) => *event,
        other => panic!("{other:?}"),
    }
}

fn commit(did: &str, operation: &str, collection: &str, rkey: &str, record: &Value) -> Event {
    let mut commit = json!({"rev": "3l7", "operation": operation, "collection": collection, "rkey": rkey, "cid": "c"});
    if operation != "delete" {
        commit["record"] = record.clone();
    }
    event(did, "commit", commit)
}

fn like(of: &str) -> Event {
    let uri = format!("at://did:plc:{of}/app.bsky.feed.post/k");
    commit("me", "create", "app.bsky.feed.like", "l", &json!({"subject": {"uri": uri, "cid": "c"}}))
}

fn post(did: &str, operation: &str, text: &str) -> Event {
    commit(did, operation, "app.bsky.feed.post", "k", &json!({"text": text}))
}

/// What an AppView says of an account.
fn answered(hydrator: &Hydrator, did: &str, handle: &str) {
    let item = Item::profile(&format!("did:plc:{did}")).unwrap();
    assert!(hydrator.cache.asks(&item));
    let json = format!(r#"{{"handle":"{handle}","displayName":"old"}}"#);
    assert!(hydrator.cache.answered(&item, now(Known::Found(json.into()))));
}

fn document(hydrator: &Hydrator, event: &Event) -> (Hydration, Value) {
    let hydrated = Arc::unwrap_or_clone(hydrator.take(1, event, now_us()).unwrap().hydrated);
    (hydrated.hydration, hydrated.document.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_wanted_and_the_record_lands_without_it() {
    let hydrator = hydrator();
    assert_eq!(document(&hydrator, &like("a")), (Hydration::None, Value::Null));
    assert_eq!(hydrator.handle.waiting(), (3, 0), "who likes, what is liked, and who wrote it");
    assert_eq!(hydrator.take(0, &like("b"), now_us()), None);
    assert_eq!(hydrator.handle.waiting(), (3, 0), "a slice that looks nothing up wants nothing");
    let deleted = commit("me", "delete", "app.bsky.feed.like", "l", &Value::Null);
    assert_eq!(hydrator.take(1, &deleted, now_us()), None);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_passes_is_known_to_the_likes_after_it() {
    let hydrator = hydrator();
    hydrator.take(0, &post("a", "create", "hello"), now_us());
    answered(&hydrator, "me", "me.example");
    let (hydration, shown) = document(&hydrator, &like("a"));
    assert_eq!((hydration, &shown["subject"]["post"]["record"]["text"]), (Hydration::Partial, &json!("hello")));
    answered(&hydrator, "a", "a.example");
    let (hydration, shown) = document(&hydrator, &like("a"));
    assert_eq!(hydration, Hydration::Full);
    assert_eq!(shown["subject"]["author"]["profile"]["handle"], "a.example");
    hydrator.take(0, &post("a", "update", "hello again"), now_us());
    assert_eq!(document(&hydrator, &like("a")).1["subject"]["post"]["record"]["text"], "hello again");
    hydrator.take(0, &post("a", "delete", ""), now_us());
    assert_eq!(document(&hydrator, &like("a")).1["subject"]["state"], "missing");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_commit_lands_with_what_is_known_then() {
    let hydrator = hydrator();
    answered(&hydrator, "me", "me.example");
    let (event, handle) = (like("a"), |taken: Option<Taken>| {
        let hydrated = taken.unwrap().hydrated;
        hydrated
            .document
            .as_ref()
            .map(|text| serde_json::from_str::<Value>(text).unwrap()["author"]["profile"]["handle"].clone())
    });
    assert_eq!(handle(hydrator.take(1, &event, now_us())), Some(json!("me.example")));
    let did = "did:plc:me";
    let changed = json!({"did": did, "handle": "you.example", "seq": 1, "time": "2026-07-01T00:00:00Z"});
    hydrator.take(0, &self::event("me", "identity", changed), now_us());
    let waiting = hydrator.handle.waiting();
    assert_eq!(handle(hydrator.again(1, &event)), Some(json!("you.example")));
    tokio::time::advance(TTL).await;
    assert_eq!(handle(hydrator.again(1, &event)), None, "nothing is as old as that");
    assert_eq!(hydrator.handle.waiting(), waiting, "its record waits in the catalog, and asks from there");
}

#[tokio::test(start_paused = true)]
async fn what_has_become_too_old_while_it_waited_is_looked_at_again() {
    let hydrator = hydrator();
    for did in ["me", "a"] {
        answered(&hydrator, did, "x.example");
        tokio::time::advance(TTL / 4).await;
    }
    let item = crate::log::Item {
        content: crate::log::Content::Event(Box::new(like("a"))),
        host: "".into(),
        marks: Vec::new(),
        trace: None,
        rejoined: false,
    };
    let mut entry = crate::log::Entry::new(1, Shard { slice: 1, partition: 0 }, Arc::new(item));
    entry.hydrate(&hydrator, true);
    let began = entry.hydrated.clone().unwrap();
    assert_eq!(began.hydration, Hydration::Partial);
    tokio::time::advance(TTL / 2 - Duration::from_millis(1)).await;
    entry.refresh(&hydrator, Instant::now());
    assert!(Arc::ptr_eq(&began, entry.hydrated.as_ref().unwrap()), "it is as it was");
    tokio::time::advance(Duration::from_millis(1)).await;
    entry.refresh(&hydrator, Instant::now());
    let shown = |entry: &crate::log::Entry| entry.hydrated.as_ref().unwrap().document.clone();
    let document: Value = serde_json::from_str(&shown(&entry).unwrap()).unwrap();
    assert_eq!(
        (&document["author"]["state"], &document["subject"]["author"]["state"]),
        (&json!("unknown"), &json!("found")),
        "of two the older one is too old"
    );
    tokio::time::advance(TTL / 4).await;
    entry.refresh(&hydrator, Instant::now());
    assert_eq!((shown(&entry), entry.hydrated_until), (None, None), "nothing of it is known any more");
}

#[tokio::test(start_paused = true)]
async fn a_profile_follows_its_record_and_its_handle() {
    let hydrator = hydrator();
    let profile = |name: &str| commit("me", "update", "app.bsky.actor.profile", "self", &json!({"displayName": name}));
    let author = |hydrator: &Hydrator| document(hydrator, &like("a")).1["author"].clone();
    hydrator.take(0, &profile("new"), now_us());
    assert_eq!(author(&hydrator), Value::Null, "the handle is not known");
    answered(&hydrator, "me", "me.example");
    hydrator.take(0, &profile("newer"), now_us());
    assert_eq!(author(&hydrator)["profile"], json!({"handle": "me.example", "displayName": "newer"}));
    let identity = |handle: Option<&str>| {
        let did = "did:plc:me";
        event("me", "identity", json!({"did": did, "handle": handle, "seq": 1, "time": "2026-07-01T00:00:00Z"}))
    };
    hydrator.take(0, &identity(Some("you.example")), now_us());
    assert_eq!(author(&hydrator)["profile"], json!({"handle": "you.example", "displayName": "newer"}));
    hydrator.take(0, &identity(None), now_us());
    assert_eq!(author(&hydrator), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_goes_takes_what_is_known_of_it_with_it() {
    let hydrator = hydrator();
    let account = |active: bool, status: Option<&str>| {
        let content =
            json!({"active": active, "did": "did:plc:a", "status": status, "seq": 1, "time": "2026-07-01T00:00:00Z"});
        event("a", "account", content)
    };
    hydrator.take(0, &post("a", "create", "hello"), now_us());
    answered(&hydrator, "a", "a.example");
    answered(&hydrator, "me", "me.example");
    assert_eq!(document(&hydrator, &like("a")).0, Hydration::Full);
    hydrator.take(0, &account(false, Some("takendown")), now_us());
    let (hydration, shown) = document(&hydrator, &like("a"));
    assert_eq!((hydration, &shown["subject"]["state"]), (Hydration::Partial, &json!("unknown")));
    assert_eq!(shown["subject"]["author"]["state"], "takendown");
    hydrator.take(0, &account(true, None), now_us());
    assert_eq!(document(&hydrator, &like("a")).1["subject"]["author"]["state"], "unknown");
}
