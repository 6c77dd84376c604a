//! Who is asked for hydration, and by whom: over whole processes.

use crate::harness::{PATIENCE, Pipeline, Process, eventually};
use crate::landed::Db;
use serde_json::Value;
use std::net::TcpListener;
use std::time::Duration;
use turbo_sim::{Account, AppViewConfig, Mood, Network, NetworkConfig, Pace, WorldConfig};

const EVENTS: u64 = 500;
const PASSWORD: &str = "abcd-efgh-ijkl-mnop";
/// How each of the AppView's tokens begins.
const TOKEN: &str = "e30.ey";

fn network(account: Option<Account>) -> Network {
    let appview = AppViewConfig { limit: 1_000_000, account, ..AppViewConfig::default() };
    let (world, pace) = (WorldConfig { nasty: 0.0, ..WorldConfig::seeded(31) }, Pace::Full { events: EVENTS });
    Network::start(NetworkConfig { world, pace, appview: Some(appview), ..NetworkConfig::default() }).unwrap()
}

fn of_network(network: &Network) -> String {
    format!("{{jetstream: {{version: v2, endpoints: ['{}'], cursor: 0}}}}", network.url(0))
}

/// Likes with all that they point at, told by these hosts.
fn pipeline(source: &str, hosts: &[&str], calls: u32, more: &str) -> Pipeline {
    let slices = "[{name: likes, collections: [app.bsky.feed.like], hydrate: {author: 1h, subject: 1h}}, {name: rest}]";
    let hosts = hosts.join("', '");
    let more = format!("slices: {slices}\n  hydration: {{hosts: ['{hosts}'], requestsPerSecond: {calls}{more}}}");
    Pipeline::new(source, &more)
}

/// How many likes there are, and how many of them with all that they point at.
fn likes(pipeline: &Pipeline) -> (i64, i64) {
    let likes = "SELECT count(*), coalesce(sum(hydration = 'full'), 0) FROM records WHERE slice = 'likes'";
    Db::open(&pipeline.path("out.sqlite")).rows(likes)[0]
}

fn all_full(pipeline: &Pipeline, process: &Process) {
    process.address();
    eventually(PATIENCE, "all is complete", || {
        let entries = Db::open(&pipeline.path("out.sqlite")).number("SELECT sum(entries) FROM shards");
        let (likes, full) = likes(pipeline);
        entries >= EVENTS as i64 && likes > 100 && likes == full
    });
}

#[test]
fn no_secret_is_shown_anywhere() {
    let lasts = Duration::from_secs(600);
    let network = network(Some(Account { identifier: "me.sim.example".into(), password: PASSWORD.into(), lasts }));
    let session = ", session: {identifier: me.sim.example, passwordFrom: {env: APP_PASSWORD}}";
    let pipeline = pipeline(&of_network(&network), &[&network.appview_url().unwrap()], 2, session);
    let mut process = pipeline.start_as("run", &[("APP_PASSWORD", PASSWORD), ("TURBO_LOG", "trace")]);
    eventually(PATIENCE, "it asks", || network.appview_stats().requests >= 3);
    // What fails is told with more words.
    for mood in [Mood::Broken, Mood::Malformed] {
        network.appview_mood(mood, PATIENCE);
        eventually(PATIENCE, "it fails", || process.stats()["hydration"]["error"].is_string());
        network.appview_mood(mood, Duration::ZERO);
        eventually(PATIENCE, "it is answered", || process.stats()["hydration"]["error"].is_null());
    }
    network.forget_sessions();
    all_full(&pipeline, &process);
    assert_eq!(network.appview_stats().sessions, 2, "one was forgotten");
    let pages = ["/stats", "/metrics", "/"].map(|path| process.get(path).1);
    process.signal("TERM");
    assert!(process.wait().success());
    let log = process.log();
    assert!(log.contains("TRACE") && log.contains("spec.hydration: no answer"), "it tells all that it can");
    for said in pages.iter().chain([&log]) {
        for secret in [PASSWORD, TOKEN] {
            let line = said.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{line:?}");
        }
    }
    for file in
        std::fs::read_dir(pipeline.path("")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&file).unwrap();
        for secret in [PASSWORD, TOKEN] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", file.display());
        }
    }
}

/// Connections are taken, and nothing is said on them.
#[test]
fn where_the_first_host_hangs_the_next_one_completes_everything() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = format!("http://{}", silent.local_addr().unwrap());
    let network = network(None);
    let pipeline = pipeline(&of_network(&network), &[&first, &network.appview_url().unwrap()], 100, "");
    let process = pipeline.start();
    all_full(&pipeline, &process);
    let told = process.stats()["hydration"].clone();
    assert_eq!((&told["held"], &told["hosts"][1]["error"]), (&Value::Null, &Value::Null), "{told}");
}

#[test]
fn a_recording_is_complete_when_the_process_ends() {
    let network = network(None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let like = |n: usize| {
        let subject = format!(r#"{{"uri":"at://did:plc:b{n}/app.bsky.feed.post/3kabcdefgh{n:03}","cid":"c"}}"#);
        format!(
            r#"{{"did":"did:plc:a{n}","time_us":{n},"kind":"commit","commit":{{"rev":"3mptbypluud2a","operation":"create","collection":"app.bsky.feed.like","rkey":"k","record":{{"subject":{subject}}},"cid":"c"}}}}"#
        )
    };
    let lines: Vec<String> = (222..322).map(like).collect();
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let source = format!("{{recording: {{path: '{}'}}}}", file.display());
    let pipeline = pipeline(&source, &[&network.appview_url().unwrap()], 100, "");
    pipeline.run();
    assert_eq!(likes(&pipeline), (100, 100));
    assert_eq!(Db::open(&pipeline.path("out.sqlite")).number("SELECT count(*) FROM hydration_queue"), 0);
}
