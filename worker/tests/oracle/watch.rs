//! How far the pipeline is: asked of Postgres and NATS themselves, past the proxies, from a thread of its own.

use crate::slices::SLICES;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take: servers are down now and then.
const LIMIT: Duration = Duration::from_secs(3);

/// What was seen last.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Events of the world that are committed to Postgres, as its counters say.
    pub committed: u64,
    /// Numbers of the last messages of all shards in the log, added up.
    pub logged: u64,
    /// Numbers of the positions of all shards, added up, by sink.
    pub positions: BTreeMap<String, u64>,
    /// Records that wait to be completed.
    pub waiting: u64,
    /// When it changed last.
    pub changed: Instant,
    /// When both servers answered last.
    pub answered: Instant,
}

impl Seen {
    /// Whether every sink has all that is in the log, and all is completed.
    pub fn all_committed(&self) -> bool {
        self.waiting == 0 && !self.positions.is_empty() && self.positions.values().all(|number| *number == self.logged)
    }

    fn is_other(&self, other: &Self) -> bool {
        (self.committed, self.logged, self.waiting, &self.positions)
            != (other.committed, other.logged, other.waiting, &other.positions)
    }
}

/// Watches until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches this database and the log of this stream.
    pub fn start(runtime: &Handle, database: String, nats: Vec<String>, stream: String) -> Self {
        let now = Instant::now();
        let nothing =
            Seen { committed: 0, logged: 0, positions: BTreeMap::new(), waiting: 0, changed: now, answered: now };
        let seen = Arc::new(Mutex::new(nothing));
        let to = seen.clone();
        let task = runtime.spawn(async move {
            loop {
                // A connection is good until something does not answer.
                let _ = look(&database, &nats, &stream, &to).await;
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { seen, task }
    }

    /// What was seen last.
    pub fn now(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn look(database: &str, nats: &[String], stream: &str, to: &Mutex<Seen>) -> Result<(), Failure> {
    let mut postgres = tokio::time::timeout(LIMIT, PgConnection::connect(database)).await??;
    let nats = async_nats::connect(nats).await?;
    let stream = async_nats::jetstream::new(nats).get_stream(stream).await?;
    loop {
        let logged = tokio::time::timeout(LIMIT, logged(&stream)).await??;
        let (committed, positions, waiting) = tokio::time::timeout(LIMIT, committed(&mut postgres)).await??;
        {
            let mut seen = to.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let mut next = Seen { committed, logged, positions, waiting, changed: seen.changed, answered: now };
            if next.is_other(&seen) {
                next.changed = now;
            }
            *seen = next;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The sum of the last numbers of all shards.
async fn logged(stream: &async_nats::jetstream::stream::Stream) -> Result<u64, Failure> {
    let mut sum = 0;
    for slice in &SLICES {
        for partition in 0..slice.partitions {
            let subject = format!("tp.default.{}.{}.{partition}", crate::manifest::NAME, slice.name);
            match stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => {
                    let number = message.headers.get("Turbo-N").map(|number| number.as_str().parse::<u64>());
                    sum += number.ok_or("a message without Turbo-N")??;
                }
                Err(error)
                    if error.kind() == async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(sum)
}

/// Events committed, the numbers of the positions of each sink, and how many records wait to be completed.
async fn committed(postgres: &mut PgConnection) -> Result<(u64, BTreeMap<String, u64>, u64), Failure> {
    let (commits, others): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(commits), 0)::bigint, coalesce(sum(identities + accounts + syncs), 0)::bigint FROM counters",
    )
    .fetch_one(&mut *postgres)
    .await?;
    let positions: Vec<(String, i64)> = sqlx::query_as("SELECT sink, sum(number)::bigint FROM positions GROUP BY sink")
        .fetch_all(&mut *postgres)
        .await?;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM hydration_queue").fetch_one(postgres).await?;
    let positions = positions.into_iter().map(|(sink, number)| (sink, number as u64)).collect();
    Ok((commits as u64 + others as u64 / SLICES.len() as u64, positions, waiting as u64))
}
