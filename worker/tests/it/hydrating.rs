//! Records land at once with what is known of what they point at, and are completed later.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::landed::{self, Db};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use turbo_sim::{AppViewConfig, Mood, Network, NetworkConfig, Operation, Pace, What, World, WorldConfig};

const EVENTS: u64 = 2_000;
const COLLECTIONS: &str = "app.bsky.feed.post, app.bsky.feed.like, app.bsky.feed.repost, app.bsky.graph.follow";

/// A network whose AppView has room for all that is asked.
fn network(seed: u64) -> Network {
    let appview = AppViewConfig {
        limit: 1_000_000,
        latency: (Duration::ZERO, Duration::from_millis(5)),
        ..AppViewConfig::default()
    };
    let world = WorldConfig::seeded(seed);
    let pace = Pace::Full { events: EVENTS };
    Network::start(NetworkConfig { world, pace, appview: Some(appview), ..NetworkConfig::default() }).unwrap()
}

fn pipeline(network: &Network) -> Pipeline {
    with_rate(network, 200)
}

fn with_rate(network: &Network, calls: u32) -> Pipeline {
    let source = format!("{{jetstream: {{version: v2, endpoints: ['{}'], cursor: 0}}}}", network.url(0));
    let hydrate = "{author: 10m, mentions: 10m, reply: 1h, quote: 1h, subject: 1h}";
    let more = format!(
        "slices: [{{name: shown, collections: [{COLLECTIONS}], partitions: 3, hydrate: {hydrate}}}, {{name: rest, partitions: 2}}]\n  \
         hydration: {{hosts: ['{}'], requestsPerSecond: {calls}}}",
        network.appview_url().unwrap()
    );
    Pipeline::new(&source, &more)
}

/// How many records of the slice have landed, and how many of them with all that they point at.
fn shown(pipeline: &Pipeline) -> (i64, i64) {
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    let rows = db.rows("SELECT count(*), coalesce(sum(hydration = 'full'), 0) FROM records WHERE slice = 'shown'");
    rows[0]
}

fn all_read(pipeline: &Pipeline, process: &Process, events: u64) {
    process.address();
    eventually(PATIENCE, "all is in", || {
        Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards") >= events as i64
            && process.stats()["source"]["time_us"].is_i64()
    });
}

fn all_shown(pipeline: &Pipeline) {
    eventually(PATIENCE, "all is completed", || {
        let (records, full) = shown(pipeline);
        records > 0 && records == full
    });
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM hydration_queue"), 0);
}

/// The network's own pace and the AppView's own limits, both on a clock that goes ten times as fast; `make bench` looks at an
/// hour of it, and at how far what lands is behind.
#[test]
fn minutes_of_the_networks_pace_cost_no_call_too_many_and_end_complete() {
    const CLOCK: u32 = 10;
    const PACED: u64 = 500 * 60 * 5;
    let real = AppViewConfig::default();
    let (least, most) = real.latency;
    let (limit, window) = (real.limit, real.window / CLOCK);
    let appview = AppViewConfig { window, latency: (least / CLOCK, most / CLOCK), ..real };
    let world = WorldConfig { rate: 500.0, ..WorldConfig::seeded(13) };
    let (pace, events) = (Pace::Real { speed: f64::from(CLOCK) }, Some(PACED));
    let network =
        Network::start(NetworkConfig { world, pace, events, appview: Some(appview), ..NetworkConfig::default() });
    let network = network.unwrap();
    let pipeline = with_rate(&network, 10 * CLOCK);
    let mut process = pipeline.start();
    assert!(network.wait_for(PACED, Duration::from_secs(300)));
    all_read(&pipeline, &process, PACED);
    all_shown(&pipeline);
    let calls = network.appview_stats();
    let most = calls.most_within(window);
    assert!(
        calls.over == 0 && most <= limit as usize,
        "{} calls, {} over, {most} in a window",
        calls.requests,
        calls.over
    );
    assert!(calls.requests > 1_000, "{} calls", calls.requests);
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
}

/// What the AppView answers itself: the view of one name. An error where that holds what not every reader takes.
fn asked(network: &Network, method: &str, field: &str, name: &str) -> Result<Option<Value>, serde_json::Error> {
    let url = network.appview_url().unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let name = name.replace(':', "%3A").replace('/', "%2F");
    write!(socket, "GET /xrpc/{method}?{field}={name} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1)?;
    let views = body.as_object().unwrap().values().next().unwrap();
    Ok(views.as_array().unwrap().first().cloned())
}

/// Accounts and posts that change in the stream: what landed before that says what was so then.
fn changing(seed: u64) -> HashSet<String> {
    let mut world = World::new(WorldConfig::seeded(seed));
    let changed = (0..EVENTS).filter_map(|_| {
        let happening = world.next();
        match &happening.what {
            What::Commit(commit) if &*commit.collection == "app.bsky.actor.profile" => Some(happening.did.to_string()),
            What::Commit(commit) if commit.operation == Operation::Create => None,
            What::Commit(commit) => Some(format!("at://{}/{}/{}", happening.did, commit.collection, commit.rkey)),
            What::Identity { .. } | What::Account { .. } | What::Sync { .. } => Some(happening.did.to_string()),
        }
    });
    changed.collect()
}

/// Every record of the slice says of what it points at what the AppView says, where that is the same all the time.
fn assert_as_the_appview_says(network: &Network, pipeline: &Pipeline, seed: u64) {
    let changing = changing(seed);
    let changes = |uri: &str| uri.split('/').any(|part| changing.contains(part)) || changing.contains(uri);
    let mut db = Db::open(&pipeline.path("out.sqlite"));
    let rows: Vec<(String, String, String, String)> =
        db.rows("SELECT did, collection, record, hydrated FROM records WHERE slice = 'shown' ORDER BY seq");
    let (mut posts, mut profiles) = (0, 0);
    for (did, collection, record, hydrated) in rows {
        let document: Value = serde_json::from_str(&hydrated).unwrap();
        assert_eq!((&document["version"], &document["author"]["did"]), (&Value::from(1), &Value::from(did)));
        // What strangers write may be more than this reader takes.
        let Ok(record) = serde_json::from_str::<Value>(&record) else { continue };
        let subject = match collection.as_str() {
            "app.bsky.graph.follow" => &record["subject"],
            _ => &record["subject"]["uri"],
        };
        let shown = &document["subject"];
        let named = if shown["did"].is_string() { &shown["did"] } else { &shown["uri"] };
        // What is no name of a post or an account points at nothing.
        if shown.is_null() {
            continue;
        }
        assert_eq!(named, subject, "{document}");
        if profiles + posts > 300 {
            continue;
        }
        if let Some(uri) = shown["uri"].as_str() {
            if changes(uri) {
                continue;
            }
            posts += 1;
            let Ok(view) = asked(network, "app.bsky.feed.getPosts", "uris", uri) else {
                assert_eq!((&shown["state"], &shown["post"]["record"]), (&Value::from("found"), &Value::Null));
                continue;
            };
            assert_eq!(shown["state"] == "found", view.is_some(), "{document}");
            assert_eq!(shown["post"]["record"], view.map(|view| view["record"].clone()).unwrap_or_default());
        } else if let Some(did) = shown["did"].as_str() {
            if changes(did) {
                continue;
            }
            profiles += 1;
            let view = asked(network, "app.bsky.actor.getProfiles", "actors", did).unwrap();
            assert_eq!(shown["state"] == "found", view.is_some(), "{document}");
            assert_eq!(shown["profile"]["handle"], view.map(|view| view["handle"].clone()).unwrap_or_default());
        }
    }
    assert!(posts > 100 && profiles > 10, "{posts} posts, {profiles} profiles");
}

#[test]
fn what_lands_is_completed_with_what_the_appview_says() {
    const SEED: u64 = 11;
    let network = network(SEED);
    let pipeline = pipeline(&network);
    let mut process = pipeline.start();
    all_read(&pipeline, &process, EVENTS);
    all_shown(&pipeline);
    assert_as_the_appview_says(&network, &pipeline, SEED);
    let told = process.stats()["hydration"].clone();
    assert_eq!((&told["error"], &told["held"]), (&Value::Null, &Value::Null), "{told}");
    let metrics = process.get("/metrics").1;
    assert!(metrics.contains("turbo_hydration_requests_total{outcome=\"answered\"}"), "{metrics}");
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
    // The archive keeps what was known when the event landed: of the same version, a document with as much or less.
    let archived = landed::archive(&pipeline.path("archive"));
    let hydrated = archived.iter().filter(|row| row.hydrated.is_some()).count();
    for row in &archived {
        let expected = match &row.hydrated {
            None => "none",
            Some(document) if document.contains(r#""state":"unknown""#) => "partial",
            Some(_) => "full",
        };
        assert_eq!(row.hydration, expected, "{row:?}");
    }
    assert!(hydrated > 0 && archived.iter().all(|row| row.slice == "shown" || row.hydrated.is_none()), "{hydrated}");
}

#[test]
fn while_nobody_answers_records_land_and_a_killed_process_completes_them_afterwards() {
    const SEED: u64 = 12;
    let network = network(SEED);
    network.appview_mood(Mood::Down, Duration::from_secs(3600));
    let pipeline = pipeline(&network);
    let process = pipeline.start();
    all_read(&pipeline, &process, EVENTS);
    eventually(PATIENCE, "it is told", || process.stats()["hydration"]["error"].is_string());
    let (records, full) = shown(&pipeline);
    assert!(records > 1_000 && full < records / 2, "{full} of {records}");
    process.kill();
    let waiting = Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM hydration_queue");
    assert!(waiting >= records - full, "{waiting} wait of {records}, {full} are full");
    network.appview_mood(Mood::Down, Duration::ZERO);
    let mut process = pipeline.start();
    process.address();
    all_shown(&pipeline);
    assert_as_the_appview_says(&network, &pipeline, SEED);
    process.signal("TERM");
    assert!(process.wait().success(), "{}", process.log());
}
