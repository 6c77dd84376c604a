use super::*;
use crate::truth::Truth;
use crate::{Network, NetworkConfig, Pace, WorldConfig};
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn network(events: u64, appview: AppViewConfig) -> Network {
    let world = WorldConfig { accounts: 300, removals: 0.002, resyncs: 0.002, ..WorldConfig::seeded(5) };
    let appview = AppViewConfig { latency: (Duration::ZERO, Duration::ZERO), ..appview };
    Network::start(NetworkConfig {
        world,
        pace: Pace::Full { events },
        appview: Some(appview),
        ..NetworkConfig::default()
    })
    .unwrap()
}

/// Status, head and body.
async fn get(network: &Network, path: &str, names: &[&str]) -> (u16, String, String) {
    let field = if path.ends_with("getPosts") { "uris" } else { "actors" };
    let query: Vec<String> = names.iter().map(|name| format!("{field}={}", name.replace(':', "%3A"))).collect();
    let url = network.appview_url().unwrap();
    let mut socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("GET /xrpc/{path}?{} HTTP/1.1\r\nHost: sim\r\n\r\n", query.join("&"));
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.split(' ').nth(1).unwrap_or("0").parse().unwrap(), head.into(), body.into())
}

const GET_PROFILES: &str = "app.bsky.actor.getProfiles";
const GET_POSTS: &str = "app.bsky.feed.getPosts";

/// The views of an answer by what names them.
async fn views(network: &Network, path: &str, names: &[&str]) -> Vec<(String, Value)> {
    let (status, _, body) = get(network, path, names).await;
    assert_eq!(status, 200, "{body}");
    let (list, name) = if path == GET_POSTS { ("posts", "uri") } else { ("profiles", "did") };
    let body: Value = serde_json::from_str(&body).unwrap();
    let views = body[list].as_array().unwrap().iter();
    views.map(|view| (view[name].as_str().unwrap().to_owned(), view.clone())).collect()
}

fn uri(did: &str, rkey: &str) -> String {
    format!("at://{did}/app.bsky.feed.post/{rkey}")
}

#[tokio::test]
async fn posts_and_profiles_are_those_of_the_truth() {
    let network = network(20_000, AppViewConfig::default());
    let truth: Truth = network.truth();
    let mut compared = (0, 0);
    for (did, repo) in truth.v2.repos.iter().take(60) {
        let hidden = repo.account.active == Some(false);
        for record in repo.records().filter(|record| record.collection == "app.bsky.feed.post").take(3) {
            let uri = uri(did, record.rkey);
            let views = views(&network, GET_POSTS, &[&uri]).await;
            assert_eq!(views.is_empty(), hidden, "{uri}");
            if let Some((_, view)) = views.first() {
                assert_eq!(view["cid"], record.cid);
                assert_eq!(view["record"], serde_json::from_str::<Value>(record.json).unwrap());
                assert_eq!(view["author"]["did"], **did);
                compared.0 += 1;
            }
        }
        let profiles = views(&network, GET_PROFILES, &[did]).await;
        assert_eq!(profiles.is_empty(), hidden, "{did}");
        if let (Some((_, view)), Some(record)) = (profiles.first(), repo.record("app.bsky.actor.profile", "self")) {
            let record: Value = serde_json::from_str(record.json).unwrap();
            assert_eq!(view["displayName"], record["displayName"]);
            compared.1 += 1;
        }
    }
    assert!(compared.0 > 50 && compared.1 > 5, "{compared:?}");
}

#[tokio::test]
async fn what_is_liked_is_there_but_for_a_few() {
    let network = network(5_000, AppViewConfig { missing: 0.1, ..AppViewConfig::default() });
    let truth = network.truth();
    let records = truth.v2.repos.values().flat_map(|repo| repo.records());
    let likes = records.filter(|record| record.collection == "app.bsky.feed.like");
    let subject = |json: &str| serde_json::from_str::<Value>(json).ok()?["subject"]["uri"].as_str().map(str::to_owned);
    let uris: BTreeSet<String> = likes.filter_map(|like| subject(like.json)).take(500).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    let mut found = 0;
    for uris in uris.chunks(25) {
        found += views(&network, GET_POSTS, uris).await.len();
    }
    let share = found as f64 / uris.len() as f64;
    assert!((0.75..0.98).contains(&share), "{share}");
}

#[tokio::test]
async fn calls_are_refused_as_the_lexicon_says() {
    let network = network(100, AppViewConfig::default());
    let many: Vec<String> = (0..26).map(|number| format!("did:plc:{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (status, _, body) = get(&network, GET_PROFILES, &many).await;
    assert!(status == 400 && body.contains("more than 25"), "{status} {body}");
    assert_eq!(views(&network, GET_PROFILES, &many[..25]).await.len(), 25);
    for (path, names) in
        [(GET_PROFILES, &["did:plc:a", "nobody"][..]), (GET_POSTS, &["at://x"][..]), (GET_POSTS, &[][..])]
    {
        let (status, _, body) = get(&network, path, names).await;
        assert!(status == 400 && body.contains("InvalidRequest"), "{status} {body}");
    }
    assert_eq!(get(&network, "app.bsky.feed.getTimeline", &[]).await.0, 404);
}

#[tokio::test]
async fn answers_come_in_any_order() {
    let network = network(100, AppViewConfig::default());
    let names: Vec<String> = (0..25).map(|number| format!("did:plc:{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut orders = BTreeSet::new();
    for _ in 0..4 {
        let views = views(&network, GET_PROFILES, &names).await;
        orders.insert(views.into_iter().map(|(did, _)| did).collect::<Vec<_>>());
    }
    assert!(orders.len() > 1);
    assert!(orders.iter().all(|order| order.iter().collect::<BTreeSet<_>>().len() == 25));
}

#[tokio::test]
async fn the_limit_is_told_with_each_answer_and_kept() {
    let network = network(100, AppViewConfig { limit: 3, window: Duration::from_secs(60), ..AppViewConfig::default() });
    for left in [2, 1, 0] {
        let (status, head, _) = get(&network, GET_PROFILES, &["did:plc:a"]).await;
        assert_eq!(status, 200);
        assert!(head.contains("RateLimit-Limit: 3\r\n") && head.contains("RateLimit-Policy: 3;w=60\r\n"), "{head}");
        assert!(head.contains(&format!("RateLimit-Remaining: {left}\r\n")), "{head}");
    }
    let (status, head, _) = get(&network, GET_PROFILES, &["did:plc:a"]).await;
    assert!(status == 429 && head.contains("Retry-After: "), "{head}");
    let reset = head.split("RateLimit-Reset: ").nth(1).and_then(|rest| rest.split('\r').next()).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now..now + 70).contains(&reset.parse().unwrap()), "{reset}");
    let stats = network.appview_stats();
    assert_eq!((stats.requests, stats.over, stats.names), (4, 1, 3));
}

#[tokio::test]
async fn bad_manners_are_to_be_had() {
    let network = network(100, AppViewConfig::default());
    let long = Duration::from_secs(60);
    network.appview_mood(Mood::Forgetful, long);
    let names: Vec<String> = (0..25).map(|number| format!("did:plc:{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(views(&network, GET_PROFILES, &names).await.len() < 25);
    network.appview_mood(Mood::Malformed, long);
    let (_, _, body) = get(&network, GET_PROFILES, &names).await;
    let parsed = serde_json::from_str::<Value>(&body).ok();
    assert!(parsed.is_none_or(|value| !value["profiles"].is_array()), "{body}");
    network.appview_mood(Mood::Malformed, Duration::ZERO);
    network.appview_mood(Mood::Huge, long);
    assert_eq!(get(&network, GET_PROFILES, &["did:plc:a"]).await.2.len() / 1_000_000, 100);
    network.appview_mood(Mood::Broken, long);
    assert!(get(&network, GET_PROFILES, &["did:plc:a"]).await.0 >= 500);
    network.appview_mood(Mood::Busy, long);
    assert_eq!(get(&network, GET_PROFILES, &["did:plc:a"]).await.0, 429);
    network.appview_mood(Mood::Down, long);
    assert_eq!(get(&network, GET_PROFILES, &["did:plc:a"]).await.0, 0);
}
