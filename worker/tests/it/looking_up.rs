//! Looking up against a simulated AppView with a limit and bad manners.

use crate::enriched::log;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use turbo_core::budget::Share;
use turbo_sim::{Account, AppViewConfig, Mood, Network, NetworkConfig, Pace, WorldConfig};
use turbo_testkit::Nats;
use turbo_worker::hydration::cache::{Cache, Known};
use turbo_worker::hydration::changes::Change;
use turbo_worker::hydration::client::AppView;
use turbo_worker::hydration::fetcher::{Fetcher, Handle};
use turbo_worker::hydration::item::Item;
use turbo_worker::hydration::pacer::Shared;
use turbo_worker::hydration::report::Report;
use turbo_worker::hydration::session::{Credentials, Secret};
use turbo_worker::hydration::shared::{Options, SharedCache};
use turbo_worker::hydration::wanted::Want;
use turbo_worker::sources::jetstream::client_config;

const TTL: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);

struct Rig {
    network: Network,
    cache: Arc<Cache>,
    handle: Handle,
    report: Report,
    stop: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Rig {
    /// A fetcher that may send so many calls in a second.
    fn new(rate: f64, appview: AppViewConfig) -> Self {
        Self::asked_by(rate, appview, |_| Credentials::Anonymous)
    }

    /// The same, asked by somebody; where the AppView is, is told.
    fn asked_by(rate: f64, appview: AppViewConfig, by: impl Fn(&str) -> Credentials) -> Self {
        Self::with(rate, appview, by, None)
    }

    /// The same, of a worker that shares what it knows.
    fn with(rate: f64, appview: AppViewConfig, by: impl Fn(&str) -> Credentials, shared: Option<SharedCache>) -> Self {
        let world = WorldConfig::seeded(3);
        let pace = Pace::Full { events: 2_000 };
        let network = Network::start(NetworkConfig { world, pace, appview: Some(appview), ..NetworkConfig::default() });
        let network = network.unwrap();
        let tls = client_config(None).unwrap();
        let client = reqwest::Client::builder().tls_backend_preconfigured((*tls).clone()).build().unwrap();
        let url = network.appview_url().unwrap();
        let host = AppView::new(client, url.parse().unwrap()).asked_by(by(&url));
        let cache = Arc::new(Cache::new(8 << 20));
        let handle = Handle::new(Arc::clone(&cache));
        let share = Shared::new(Share::whole());
        let hosts = vec![host.with_timeout(Duration::from_secs(1))];
        let report = Report::default();
        let fetcher = Fetcher::new(handle.clone(), hosts, rate, share, report.clone()).sharing(shared);
        let stop = CancellationToken::new();
        let _task = AbortOnDropHandle::new(tokio::spawn(fetcher.run(stop.clone())));
        Self { network, cache, handle, report, stop, _task }
    }

    /// Wants these again and again, as those do whose records wait, until all of them are known.
    async fn look_up(&self, items: &[Item]) {
        self.look_up_within(items, TTL).await;
    }

    /// The same, where what is known counts for so long.
    async fn look_up_within(&self, items: &[Item], ttl: Duration) {
        let end = Instant::now() + PATIENCE;
        loop {
            let unknown: Vec<Item> = items.iter().filter(|item| self.cache.get(item, ttl).is_none()).cloned().collect();
            if unknown.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "{} are not known: {unknown:?}", unknown.len());
            let mut landed = self.handle.landed();
            self.handle.deferred(unknown.into_iter().map(|item| Want { item, ttl }));
            let _ = tokio::time::timeout(Duration::from_secs(1), landed.changed()).await;
        }
    }

    fn known(&self, item: &Item) -> Option<Known> {
        self.cache.get(item, TTL).map(|entry| entry.known)
    }
}

fn wants<'a>(items: impl IntoIterator<Item = &'a Item>) -> Vec<Want> {
    items.into_iter().map(|item| Want { item: item.clone(), ttl: TTL }).collect()
}

fn profiles(count: usize) -> Vec<Item> {
    (0..count).map(|number| Item::profile(&format!("did:plc:a{number}")).unwrap()).collect()
}

/// Posts from before the world began.
fn posts(count: usize) -> Vec<Item> {
    let rkey = |number: usize| turbo_core::tid::encode(1_700_000_000_000_000 + number as i64, 0);
    let uri = |number: usize| format!("at://did:plc:b{number}/app.bsky.feed.post/{}", rkey(number));
    (0..count).map(|number| Item::post(&uri(number)).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_is_looked_up_in_full_calls_within_the_rate() {
    let rig = Rig::new(20.0, AppViewConfig { missing: 0.2, ..AppViewConfig::default() });
    let (profiles, posts) = (profiles(500), posts(500));
    rig.handle.fresh(wants(profiles.iter().chain(&posts)));
    rig.look_up(&profiles).await;
    rig.look_up(&posts).await;
    let missing = posts.iter().filter(|post| rig.known(post) == Some(Known::Missing)).count();
    assert!((50..150).contains(&missing), "{missing}");
    let authors: Vec<Item> = posts.iter().map(|post| Item::profile(post.did()).unwrap()).collect();
    let known = authors.iter().filter(|author| rig.known(author).is_some()).count();
    assert_eq!(known, 500 - missing, "a post that is there brings its author");
    let stats = rig.network.appview_stats();
    // The last of each kind need not be full; and one that a busy machine answers late is asked again.
    assert!((40..=48).contains(&stats.requests) && stats.over == 0, "{stats:?}: of 25 each");
    let most = stats.most_within(Duration::from_secs(1));
    assert!(most <= 21, "{most} in a second");
    rig.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_refused_spoils_no_other() {
    let rig = Rig::new(50.0, AppViewConfig { refuses: Some("a17".into()), ..AppViewConfig::default() });
    let profiles = profiles(25);
    rig.look_up(&profiles).await;
    for (number, profile) in profiles.iter().enumerate() {
        assert_eq!(rig.known(profile) == Some(Known::Missing), number == 17, "{profile}");
    }
    let requests = rig.network.appview_stats().requests;
    assert!(requests <= 13, "{requests}: found by halves, and asked for again when another was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_an_appview_with_bad_manners_is_not_believed() {
    let rig = Rig::new(50.0, AppViewConfig { missing: 0.0, ..AppViewConfig::default() });
    let moods = [Mood::Down, Mood::Broken, Mood::Malformed, Mood::Huge, Mood::SlowLoris];
    let posts = posts(25 * moods.len());
    for (mood, posts) in moods.into_iter().zip(posts.chunks(25)) {
        rig.network.appview_mood(mood, PATIENCE);
        let before = rig.network.appview_stats().requests;
        let mut landed = rig.handle.landed();
        rig.handle.fresh(wants(posts));
        landed.changed().await.unwrap();
        assert!(posts.iter().all(|post| rig.known(post).is_none()), "{mood:?}");
        assert!(mood == Mood::Down || rig.network.appview_stats().requests > before, "{mood:?}");
        rig.network.appview_mood(mood, Duration::ZERO);
        rig.look_up(posts).await;
        let found = |post: &Item| matches!(rig.known(post), Some(Known::Found(_)));
        assert!(posts.iter().all(found), "{mood:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appview_that_is_busy_is_left_alone_until_it_says() {
    let limit = AppViewConfig { limit: 5, window: Duration::from_secs(3), ..AppViewConfig::default() };
    let rig = Rig::new(50.0, limit);
    let profiles = profiles(25 * 12);
    rig.look_up(&profiles).await;
    let stats = rig.network.appview_stats();
    assert!(stats.over <= 3, "one call that is refused is enough for a window: {}", stats.over);
    // One that a busy machine answers late is asked again; who does not leave the host alone would send hundreds.
    assert!(stats.requests <= 24 + stats.over, "{}", stats.requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appview_that_is_down_is_tried_less_and_less() {
    let rig = Rig::new(50.0, AppViewConfig::default());
    rig.network.appview_mood(Mood::Broken, PATIENCE);
    let profiles = profiles(25 * 40);
    rig.handle.fresh(wants(&profiles));
    sleep(Duration::from_secs(5)).await;
    let requests = rig.network.appview_stats().requests;
    assert!((3..20).contains(&requests), "{requests} in 5 s, where 250 might have been sent");
    rig.network.appview_mood(Mood::Broken, Duration::ZERO);
    rig.look_up(&profiles).await;
}

const IDENTIFIER: &str = "me.sim.example";
const PASSWORD: &str = "abcd-efgh-ijkl-mnop";

fn account(lasts: Duration) -> AppViewConfig {
    let account = Account { identifier: IDENTIFIER.into(), password: PASSWORD.into(), lasts };
    AppViewConfig { account: Some(account), missing: 0.0, ..AppViewConfig::default() }
}

fn by_password(password: &str) -> Credentials {
    let text = password.to_owned();
    let password: Secret = Arc::new(move || Ok(text.clone()));
    Credentials::Account { identifier: IDENTIFIER.into(), password }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_made_once_refreshed_before_it_ends_and_made_anew_where_the_host_forgets_it() {
    let rig = Rig::asked_by(50.0, account(Duration::from_secs(6)), |_| by_password(PASSWORD));
    let profiles = profiles(25 * 8);
    for some in profiles.chunks(25) {
        rig.look_up(some).await;
        sleep(Duration::from_secs(1)).await;
    }
    let stats = rig.network.appview_stats();
    assert_eq!(stats.sessions, 1, "{} refreshes", stats.refreshes);
    assert!(stats.refreshes >= 1);
    rig.network.forget_sessions();
    rig.look_up(&posts(25)).await;
    assert_eq!(rig.network.appview_stats().sessions, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_answers_are_too_large_for_a_while_makes_nothing_missing() {
    let rig = Rig::new(100.0, AppViewConfig { missing: 0.0, ..AppViewConfig::default() });
    let posts = posts(100);
    rig.look_up(&posts[..25]).await;
    rig.network.appview_mood(Mood::Huge, Duration::from_secs(2));
    rig.look_up(&posts[25..]).await;
    let lies = posts.iter().filter(|post| !matches!(rig.known(post), Some(Known::Found(_)))).count();
    assert_eq!(lies, 0, "all of them are there");
}

/// The token comes as late as any other answer.
#[tokio::test(flavor = "multi_thread")]
async fn calls_do_not_go_at_once_when_their_token_has_come() {
    const SLOW: Duration = Duration::from_millis(800);
    let appview = AppViewConfig { latency: (SLOW, SLOW), ..account(Duration::from_secs(60)) };
    let rig = Rig::asked_by(20.0, appview, |_| by_password(PASSWORD));
    let profiles = profiles(25 * 12);
    rig.handle.fresh(wants(&profiles));
    rig.look_up(&profiles).await;
    let most = rig.network.appview_stats().most_within(Duration::from_millis(200));
    // 4, and one on top, on a machine that is not busy; all that wait for the token would be 16.
    assert!(most <= 10, "{most} in a fifth of a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_credentials_service_is_taken() {
    let service = |url: &str| Credentials::Service(format!("{url}/tokens").parse().unwrap());
    let rig = Rig::asked_by(50.0, account(Duration::from_secs(60)), service);
    rig.look_up(&posts(60)).await;
    assert_eq!(rig.network.appview_stats().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_refused_is_told_without_its_secret_and_not_tried_over_and_over() {
    let rig = Rig::asked_by(50.0, account(Duration::from_secs(60)), |_| by_password("wrong-wrong-wrong"));
    rig.handle.fresh(wants(&profiles(500)));
    sleep(Duration::from_secs(5)).await;
    let told = rig.report.now();
    let error = told.error.unwrap();
    assert!(error.contains("the account or its app password is refused"), "{error}");
    assert!(!error.contains("wrong-wrong"), "{error}");
    assert_eq!(rig.network.appview_stats().requests, 0, "nothing is asked for without a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_worker_was_told_no_other_asks_for_until_the_source_changes_it() {
    let Some(nats) = Nats::start() else { return };
    let log = log(&nats.url(), 1).await;
    let options = Options { max_bytes: 8 << 20, longest: TTL, replicas: 1 };
    let shared = SharedCache::open(&log, &options).await.unwrap();
    let worker = || Rig::with(50.0, AppViewConfig::default(), |_| Credentials::Anonymous, Some(shared.clone()));
    let (profiles, posts) = (profiles(100), posts(100));
    let first = worker();
    first.look_up(&profiles).await;
    first.look_up(&posts).await;
    let asked = first.network.appview_stats().requests;
    // A call may go before all that it could ask for is there.
    assert!((8..=12).contains(&asked), "{asked}: nothing was shared yet");
    // Whoever comes next has its own AppView here, which is asked for nothing.
    let second = worker();
    second.look_up(&profiles).await;
    second.look_up(&posts).await;
    assert_eq!(second.network.appview_stats().requests, 0);
    for item in profiles.iter().chain(&posts) {
        assert_eq!(first.known(item), second.known(item), "{item}");
    }
    // The age of an answer is that of its request, whoever reads it.
    let age = |rig: &Rig| rig.cache.get(&profiles[0], TTL).unwrap().at_us;
    assert_eq!(age(&first), age(&second));
    let now_us = jiff::Timestamp::now().as_microsecond();
    let told = Change::Item(profiles[1].clone(), Some((Known::TakenDown, now_us)));
    shared.tell(&[Change::Item(profiles[0].clone(), None), told, Change::Repo(posts[0].did().into())]).await;
    let third = worker();
    third.look_up(&[&profiles[..2], &posts[..2]].concat()).await;
    assert_eq!(third.known(&profiles[1]), Some(Known::TakenDown));
    assert_eq!(third.network.appview_stats().names, 2, "one profile has changed, and one repository");
    // What is too old for whoever wants it is asked for, however long it counts for others.
    sleep(Duration::from_secs(3)).await;
    let fourth = worker();
    fourth.look_up_within(&profiles[2..22], Duration::from_secs(2)).await;
    assert_eq!(fourth.network.appview_stats().names, 20);
    fourth.look_up(&profiles[22..]).await;
    assert_eq!(fourth.network.appview_stats().names, 20);
}
