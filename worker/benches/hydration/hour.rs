//! An hour of the network's real pace against an AppView with its real limits, on a clock that goes faster: the pace, the
//! limits and their window, the latency and the times to live are all scaled by it.

use crate::process::{Hydration, Pipeline};
use std::time::{Duration, Instant};
use turbo_sim::{AppViewConfig, HostConfig, Network, NetworkConfig, Pace, WorldConfig};

/// Events in a second of the network's own time.
const RATE: f64 = 500.0;
/// The AppView's limit: so many calls within this, which is 10 in a second.
const LIMIT: (u32, Duration) = (3000, Duration::from_secs(300));
const CALLS: u32 = 10;
const LATENCY: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(60));
const TTL: Duration = Duration::from_secs(3600);
/// Items in a call.
const ITEMS: f64 = 25.0;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What the first claims take is none of it, in the network's own time.
const WARM_UP: Duration = Duration::from_secs(20);
/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(10);

/// What was seen at one moment, in the network's own time.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// How far what has landed is behind, in seconds.
    lag: f64,
    /// Records that wait.
    queue: f64,
    /// How long the oldest of them does, in seconds.
    age: f64,
}

/// What a minute of the network's own time was like.
#[derive(Clone, Copy)]
pub(crate) struct Minute {
    /// Calls for each 1,000 events.
    pub(crate) calls: f64,
    /// What part of the profiles that were wanted was known.
    pub(crate) profiles: f64,
    /// The same of posts.
    pub(crate) posts: f64,
}

/// Counters, as far as they have come.
#[derive(Clone, Copy, Default)]
struct Counted {
    calls: f64,
    events: f64,
    profiles: (f64, f64),
    posts: (f64, f64),
}

impl Counted {
    fn now(pipeline: &Pipeline, network: &Network) -> Self {
        let metrics = pipeline.metrics();
        let value = |name: &str| metrics.iter().find(|(own, _)| own == name).map_or(0.0, |(_, value)| *value);
        let known = |kind: &str| {
            let of = |lookup: &str| value(&format!("turbo_hydration_{kind}_total{{lookup=\"{lookup}\"}}"));
            (of("hit"), of("hit") + of("miss"))
        };
        let (calls, events) = (network.appview_stats().requests as f64, pipeline.committed() as f64);
        Self { calls, events, profiles: known("profiles"), posts: known("posts") }
    }

    fn since(self, before: Self) -> Minute {
        let share = |now: (f64, f64), before: (f64, f64)| (now.0 - before.0) / (now.1 - before.1).max(1.0);
        Minute {
            calls: (self.calls - before.calls) / (self.events - before.events).max(1.0) * 1000.0,
            profiles: share(self.profiles, before.profiles),
            posts: share(self.posts, before.posts),
        }
    }
}

impl Seen {
    fn now(pipeline: &Pipeline, network: &Network, clock: f64) -> Self {
        let committed = pipeline.committed();
        let lag = network.happened().saturating_sub(committed) as f64 / RATE;
        let queue = pipeline.metric("turbo_hydration_queue");
        Self { lag, queue, age: pipeline.metric("turbo_hydration_queue_age_seconds") * clock }
    }

    fn most(self, other: Self) -> Self {
        Self { lag: self.lag.max(other.lag), queue: self.queue.max(other.queue), age: self.age.max(other.age) }
    }
}

fn network(minutes: u64, clock: u32) -> Network {
    let appview = AppViewConfig {
        limit: LIMIT.0,
        window: LIMIT.1 / clock,
        latency: (LATENCY.0 / clock, LATENCY.1 / clock),
        ..AppViewConfig::default()
    };
    let world = WorldConfig { rate: RATE, nasty: 0.0, ..WorldConfig::default() };
    let hosts = vec![HostConfig { lookback_us: 60_000_000, ..HostConfig::default() }];
    let events = Some((RATE * 60.0) as u64 * minutes);
    let pace = Pace::Real { speed: f64::from(clock) };
    Network::start(NetworkConfig { world, hosts, appview: Some(appview), pace, events, ..NetworkConfig::default() })
        .unwrap()
}

/// Items that a record lacked when it landed, of those that lacked any.
fn lacked(metrics: &[(String, f64)]) -> f64 {
    let sum = |names: [String; 2]| metrics.iter().filter(|(own, _)| names.contains(own)).map(|(_, value)| value).sum();
    let items: f64 = sum(["profiles", "posts"].map(|kind| format!("turbo_hydration_{kind}_total{{lookup=\"miss\"}}")));
    let records: f64 =
        sum(["partial", "none"].map(|known| format!("turbo_hydration_records_total{{hydration=\"{known}\"}}")));
    items / records.max(1.0)
}

/// Runs for so many minutes of the network's own time, which goes `clock` times as fast as that of the wall.
pub(crate) fn measure(minutes: u64, clock: u32) -> Vec<Minute> {
    let network = network(minutes, clock);
    let folder = tempfile::tempdir().unwrap();
    let appview = network.appview_url().unwrap();
    let hydration = Hydration { appview, rate: CALLS * clock, ttl_seconds: TTL.as_secs() / u64::from(clock) };
    let pipeline = Pipeline::start(folder.path(), &network.addr(0).to_string(), Some(&hydration));
    std::thread::sleep(WARM_UP / clock);
    let (factor, began, mut told) = (f64::from(clock), Instant::now(), Instant::now());
    let (mut most, mut lags) = (Seen::default(), Vec::new());
    let (mut counted, mut by_minute) = (Counted::default(), Vec::new());
    while began.elapsed() < Duration::from_secs(60) * minutes as u32 / clock {
        std::thread::sleep(LOOK);
        let seen = Seen::now(&pipeline, &network, factor);
        lags.push(seen.lag);
        most = most.most(seen);
        if began.elapsed().as_secs_f64() * factor >= 60.0 * (by_minute.len() + 1) as f64 {
            let now = Counted::now(&pipeline, &network);
            by_minute.push(now.since(std::mem::replace(&mut counted, now)));
        }
        if told.elapsed() >= TELL {
            let Seen { lag, queue, age } = seen;
            let minute = began.elapsed().as_secs_f64() * factor / 60.0;
            println!("minute {minute:.0} of {minutes}: {lag:.2} s behind, {queue:.0} wait, the oldest for {age:.0} s");
            told = Instant::now();
        }
    }
    lags.sort_by(f64::total_cmp);
    let p99 = lags[lags.len() * 99 / 100];
    let calls = network.appview_stats();
    let window = (LIMIT.1 / clock, f64::from(LIMIT.0));
    let busiest = calls.most_within(window.0) as f64;
    // Two of three calls are for what arrives, one for what waits: docs/hydration.md.
    let each = lacked(&pipeline.metrics());
    let bound = most.queue * each / (ITEMS * f64::from(CALLS) / 3.0);
    println!(
        "bench hydration_hour_lag ratio={:.2} goal=1 p99_seconds={p99:.3} most_seconds={:.3}",
        1.0 / p99,
        most.lag
    );
    println!(
        "bench hydration_hour_wait ratio={:.2} goal=1 most_waiting={:.0} items_each={each:.2} longest_seconds={:.0} bound_seconds={bound:.0}",
        bound / most.age.max(1.0),
        most.queue,
        most.age
    );
    println!(
        "bench hydration_hour_budget ratio={:.3} goal=1 calls={} over={} most_in_a_window={busiest}",
        window.1 / busiest,
        calls.requests,
        calls.over
    );
    let Minute { calls, profiles, posts } = Counted::now(&pipeline, &network).since(Counted::default());
    // Without a cache each record asks for two items and more: 80 calls for 1,000 events at the least.
    println!(
        "bench hydration_cold ratio={:.2} goal=1 calls_per_1000_events={calls:.1} known_profiles={profiles:.3} known_posts={posts:.3}",
        80.0 / calls.max(0.1)
    );
    by_minute
}
