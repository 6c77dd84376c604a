//! Everything around the pipeline: the network with its truth, the servers, and a proxy before each of them.

use crate::act::{Cut, S3Fault, Server};
use crate::manifest::{ARCHIVE, Addresses, BUCKET, DATABASE, NAME, REQUESTS};
use crate::proxy::{Proxy, S3Proxy};
use crate::settings::Settings;
use std::io;
use std::time::Duration;
use tokio::runtime::Handle;
use turbo_sim::{AppViewConfig, HostConfig, Network, NetworkConfig, Pace, WorldConfig};
use turbo_testkit::{Nats, NatsCluster, Postgres, S3};

/// World time goes so many times as fast as the clock: windows of minutes pass in seconds.
const SPEED: u64 = 20;
/// 2025-01-01T00:00:00Z.
const START_US: i64 = 1_735_689_600_000_000;
pub const HOSTS: usize = 3;
/// The window in which the AppView counts.
const WINDOW: Duration = Duration::from_secs(10);
/// What the calls of a window may be above the rate: one of each worker that was there in it.
const SPARE: u32 = 20;

/// What the pipeline is run against.
pub struct Stage {
    pub network: Network,
    pub world: WorldConfig,
    pub nats: NatsServers,
    pub postgres: Postgres,
    pub s3: Option<S3>,
    proxies: Proxies,
}

/// One server, or three.
pub enum NatsServers {
    One(Box<Nats>),
    Three(NatsCluster),
}

struct Proxies {
    nats: Vec<Proxy>,
    postgres: Proxy,
    /// The one before S3 that knows its requests, and the one behind that.
    s3: Option<(S3Proxy, Proxy)>,
}

impl Stage {
    /// Starts everything. `None` where a server is not installed: it was said.
    ///
    /// # Errors
    /// There are no ports.
    pub fn start(settings: &Settings, runtime: &Handle) -> io::Result<Option<Self>> {
        let Some(nats) = NatsServers::start(settings.nats) else { return Ok(None) };
        let Some(postgres) = Postgres::start() else { return Ok(None) };
        let s3 = if ARCHIVE { S3::start() } else { None };
        if ARCHIVE && s3.is_none() {
            return Ok(None);
        }
        postgres.create_database(DATABASE);
        if let Some(s3) = &s3 {
            s3.create_bucket(BUCKET);
        }
        let world = world(settings);
        let network = network(&world, settings).map_err(io::Error::other)?;
        let nats_proxies = nats.nodes().iter().map(|node| Proxy::start(runtime, node.address()));
        let of_s3 = |s3: &S3| {
            let behind = Proxy::start(runtime, s3.url().trim_start_matches("http://").to_owned())?;
            io::Result::Ok((S3Proxy::start(runtime, behind.address())?, behind))
        };
        let proxies = Proxies {
            nats: nats_proxies.collect::<io::Result<_>>()?,
            postgres: Proxy::start(runtime, address(&postgres.url()))?,
            s3: s3.as_ref().map(of_s3).transpose()?,
        };
        Ok(Some(Self { network, world, nats, postgres, s3, proxies }))
    }

    /// Where the pipeline finds all of it.
    pub fn addresses(&self, settings: &Settings) -> Addresses {
        let url = self.database();
        Addresses {
            hosts: (0..self.network.hosts()).map(|host| self.network.url(host)).collect(),
            from_us: self.world.start_us - 3600 * 1_000_000,
            nats: self.proxies.nats.iter().map(Proxy::address).collect(),
            high_water: (settings.events / 10).clamp(2_000, 20_000),
            enriched_gibibytes: 1 + settings.events / if settings.hydrate { 100_000 } else { 250_000 },
            appview: self.network.appview_url(),
            postgres: url.replace(&address(&url), &self.proxies.postgres.address()),
            s3: self.s3.as_ref().zip(self.proxies.s3.as_ref()).map(|(s3, (proxy, _))| {
                let endpoint = format!("http://{}", proxy.address());
                (endpoint, s3.access_key().to_owned(), s3.secret_key().to_owned())
            }),
        }
    }

    /// The URL of the database itself, past the proxy.
    pub fn database(&self) -> String {
        self.postgres.url_of(DATABASE)
    }

    /// The name of the log's stream.
    pub fn stream() -> String {
        format!("tp_default_{NAME}")
    }

    /// A server stands still, or goes on.
    pub fn hang(&self, server: Server, hangs: bool) {
        self.proxies_of(server).for_each(|proxy| proxy.hang(hangs));
    }

    /// Each piece of what is said to a server or by it waits for so long.
    pub fn slow(&self, server: Server, each: Duration) {
        self.proxies_of(server).for_each(|proxy| proxy.slow(each));
    }

    /// Cuts all connections to a server.
    pub fn cut(&self, server: Server, how: Cut) {
        self.proxies_of(server).for_each(|proxy| proxy.cut(how));
    }

    /// The next requests to S3 go wrong.
    pub fn fail_s3(&self, how: S3Fault, requests: usize) {
        if let Some((proxy, _)) = &self.proxies.s3 {
            proxy.fail(how, requests);
        }
    }

    /// Stops or kills a server, and starts it again after so long. Blocks.
    pub fn restart(&self, server: Server, crash: bool, down: Duration, nth: usize) {
        let server: &turbo_testkit::Server = match server {
            Server::Nats => self.nats.node(crash, nth),
            Server::Postgres => &self.postgres,
            Server::S3 => match &self.s3 {
                Some(s3) => s3,
                None => return,
            },
        };
        if crash {
            server.kill()
        } else {
            server.stop()
        }
        std::thread::sleep(down);
        server.start();
        if let NatsServers::Three(cluster) = &self.nats {
            // The next one that goes must leave a majority.
            cluster.settle();
        }
    }

    fn proxies_of(&self, server: Server) -> Box<dyn Iterator<Item = &Proxy> + '_> {
        match server {
            Server::Nats => Box::new(self.proxies.nats.iter()),
            Server::Postgres => Box::new(std::iter::once(&self.proxies.postgres)),
            Server::S3 => Box::new(self.proxies.s3.iter().map(|(_, behind)| behind)),
        }
    }
}

impl NatsServers {
    fn start(servers: usize) -> Option<Self> {
        if servers == 1 { Nats::start().map(Box::new).map(Self::One) } else { Nats::cluster(servers).map(Self::Three) }
    }

    /// The servers, in an order that does not change.
    pub fn nodes(&self) -> &[Nats] {
        match self {
            Self::One(nats) => std::slice::from_ref(&**nats),
            Self::Three(cluster) => cluster.nodes(),
        }
    }

    /// The URLs of the servers themselves, past the proxies.
    pub fn urls(&self) -> Vec<String> {
        self.nodes().iter().map(Nats::url).collect()
    }

    /// The one that is to go: the leader of the log, or any.
    fn node(&self, leader: bool, nth: usize) -> &turbo_testkit::Server {
        let nodes = self.nodes();
        let leads = match self {
            Self::Three(cluster) if leader => cluster.stream_leader(&Stage::stream()),
            _ => None,
        };
        &nodes[leads.unwrap_or(nth % nodes.len())]
    }
}

/// A world that is over long ago: so it is the same whenever it is run, and hosts whose clocks differ by ten minutes
/// have something to tell on both sides.
fn world(settings: &Settings) -> WorldConfig {
    WorldConfig {
        accounts: (settings.events / 40).clamp(200, 20_000) as u32,
        rate: settings.rate as f64 / SPEED as f64,
        start_us: START_US,
        resyncs: 0.002,
        removals: 0.001,
        nasty: 0.004,
        ..WorldConfig::seeded(settings.seed)
    }
}

fn network(world: &WorldConfig, settings: &Settings) -> Result<Network, turbo_sim::StartError> {
    // Each worker that comes may have a call of its own in a window.
    let limit = REQUESTS * WINDOW.as_secs() as u32 + SPARE;
    let appview = AppViewConfig { seed: settings.seed, limit, window: WINDOW, ..AppViewConfig::default() };
    let host = HostConfig { skew_us: 1_000_000, lookback_us: i64::MAX / 4, ..HostConfig::default() };
    Network::start(NetworkConfig {
        world: world.clone(),
        hosts: host.several(HOSTS, Duration::from_secs(600)),
        pace: Pace::Real { speed: SPEED as f64 },
        events: Some(settings.events),
        appview: settings.hydrate.then_some(appview),
        ..NetworkConfig::default()
    })
}

/// `host:port` of a URL.
fn address(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_owned()
}
